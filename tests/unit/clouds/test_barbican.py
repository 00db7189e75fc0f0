# SPDX-License-Identifier: Apache-2.0
"""Certificates from Barbican, at the requests of the adapter. The real one: tests/openstack/test_barbican.py."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, pkcs12

import pem
from fake_barbican import HREF, SERVICE_USER, FakeBarbican
from octavia_provider.clouds.openstack import secret_content
from octavia_provider.model.errors import Forbidden, NotFound, OctaviaError, Refused, TransientError, Unreachable
from octavia_provider.ports import Consumer, Readable

ROOT = pem.authority("root")
MIDDLE = pem.authority("middle", ROOT)
PAIR = pem.make("a.test", MIDDLE)
PARTS = {"certificate": PAIR.pem, "private_key": PAIR.key_pem, "intermediates": MIDDLE.pem}
OLD = {"service": "octavia/other", "resource_type": "listener", "resource_id": "1"}


def wanted(href: str, token: str | None = None) -> Readable:
    collection, id_ = href.split("/")[-2:]
    return Readable(id=id_, collection=collection, token=token)


def bundle(*more: pem.Pair, password: str = "") -> bytes:
    how: Any = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(
        None, PAIR.key, PAIR.certificate, [one.certificate for one in more], how
    )


async def test_a_container_is_read_with_all_its_parts() -> None:
    barbican = FakeBarbican()
    sealed = {**PARTS, "private_key": PAIR.sealed_key("hush"), "private_key_passphrase": "hush"}
    for parts, passphrase in (
        (PARTS, None),
        (sealed, "hush"),
        ({**PARTS, "private_key_passphrase": "not needed"}, None),
    ):
        href = barbican.container(**parts)
        found = await barbican.manager().read(wanted(href))
        assert (found.source, found.id) == (href, href.rpartition("/")[2])
        assert found.inputs
        assert found.inputs["private_key"] == parts["private_key"]
        assert (found.inputs["name"], found.inputs["intermediates"]) == ("from Barbican", MIDDLE.pem)
        assert found.inputs.get("passphrase") == passphrase
        barbican.asked.clear()
        again = await barbican.manager().read(wanted(href), known=found.state)
        assert again.inputs is None, "nothing has changed"
        assert not any("payload" in path for _, path in barbican.asked)


async def test_a_bare_id_is_that_of_a_container_or_of_a_secret() -> None:
    barbican = FakeBarbican()
    for href in (barbican.container(**PARTS), barbican.secret(ROOT.pem)):
        found = await barbican.manager().read(Readable(id=href.rpartition("/")[2]))
        assert found.source == href


def test_pkcs12_without_a_password_is_read__its_chain_put_in_order() -> None:
    given = secret_content.of_secret(bundle(ROOT, MIDDLE))
    assert given == {"certificate": PAIR.pem, "private_key": PAIR.key_pem, "intermediates": MIDDLE.pem + ROOT.pem}
    assert secret_content.of_secret(bundle()) == {"certificate": PAIR.pem, "private_key": PAIR.key_pem}


def test_what_a_secret_by_itself_can_be() -> None:
    lists = pem.crl(ROOT)
    assert secret_content.of_secret(ROOT.pem.encode()) == {"ca_certificates": ROOT.pem}
    assert secret_content.of_secret(ROOT.certificate.public_bytes(Encoding.DER)) == {"ca_certificates": ROOT.pem}
    assert secret_content.of_secret(lists.encode()) == {"crl": lists}


def test_der_and_a_chain_in_the_certificate_are_taken() -> None:
    der = PAIR.certificate.public_bytes(Encoding.DER)
    assert secret_content.of_container({"certificate": der}) == {"certificate": PAIR.pem}
    chain = (PAIR.pem + MIDDLE.pem).encode()
    assert secret_content.of_container({"certificate": chain}) == {"certificate": PAIR.pem, "intermediates": MIDDLE.pem}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x00\x01 nothing", "holds no certificate that can be used"),
        (b"hello", "holds no certificate that can be used"),
        (PAIR.key_pem.encode(), "holds a private key in PEM"),
        (bundle(password="hush"), "is PKCS #12 with a password"),
    ],
)
def test_what_is_none_of_it_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        secret_content.of_secret(content)


async def refusal(barbican: FakeBarbican, href: str, token: str | None = None) -> OctaviaError:
    with pytest.raises(OctaviaError) as error:
        await barbican.manager().read(wanted(href, token))
    assert href.rpartition("/")[2] in error.value.subject
    return error.value


async def test_who_may_not_read_is_told_what_to_do() -> None:
    barbican = FakeBarbican()
    error = await refusal(barbican, barbican.container(**PARTS, readable=False))
    assert isinstance(error, Forbidden)
    assert f"openstack acl user add --user {SERVICE_USER} --operation-type read" in error.hint
    part = barbican.secret(PAIR.key_pem, readable=False)
    error = await refusal(barbican, barbican.container(certificate=PAIR.pem, private_key=part))
    assert "its private_key" in error.subject, "the container's list says nothing of its secrets"
    assert part.partition("/v1/")[2] in error.hint


async def test_what_is_not_there_or_of_a_wrong_type_is_refused() -> None:
    barbican = FakeBarbican()
    error = await refusal(barbican, f"{HREF}/containers/{uuid.uuid4()}")
    assert isinstance(error, NotFound)
    assert "has expired" in error.hint
    error = await refusal(barbican, barbican.container(type_="generic", **PARTS))
    assert isinstance(error, Refused)
    assert "is of the type generic" in error.message
    error = await refusal(barbican, barbican.secret(None))
    assert "has no payload yet" in error.message


async def test_barbican_fails_now_and_then__and_is_asked_again() -> None:
    barbican = FakeBarbican()
    href = barbican.container(**PARTS)
    barbican.failing = [500, 500]
    assert (await barbican.manager().read(wanted(href))).inputs
    barbican.failing = [500] * 3
    assert isinstance(await refusal(barbican, href), TransientError)
    barbican.failing.clear()
    barbican.down = True
    error = await refusal(barbican, href)
    assert isinstance(error, Unreachable)
    assert error.hint == "try again later"


async def test_a_user_must_see_what_they_name__and_lets_the_control_plane_read_it() -> None:
    barbican = FakeBarbican()
    href = barbican.container(**PARTS, readable=False)
    assert isinstance(await refusal(barbican, href, token="bob"), Forbidden)
    assert not barbican.of(href)["users"]
    assert (await barbican.manager().read(wanted(href, "ann"))).inputs
    assert barbican.of(href)["users"] == [SERVICE_USER]
    assert all(one["users"] == [SERVICE_USER] for one in barbican.secrets.values())
    barbican.open_metadata = True  # an administrator sees it, and no content
    alone = barbican.secret(ROOT.pem, readable=False)
    assert "openstack acl user add" in (await refusal(barbican, alone)).hint
    assert (await barbican.manager().read(wanted(alone, "ann"))).inputs
    barbican.open_metadata = False
    readable = barbican.container(**PARTS)
    error = await refusal(barbican, readable, token="bob")
    assert "you may not see it" in error.message, "though the control plane may"


@pytest.mark.parametrize("what", ["container", "secret"])
async def test_consumers_are_those_that_use_it__others_stay(what: str) -> None:
    barbican = FakeBarbican()
    href = barbican.container(**PARTS) if what == "container" else barbican.secret(ROOT.pem)
    others = {"name": "octavia", "URL": "octavia://other/listener/1"} if what == "container" else OLD
    barbican.of(href)["consumers"].append(others)
    manager = barbican.manager()
    web, pool = Consumer(kind="listener", id="1"), Consumer(kind="pool", id="2")
    for consumers, count in (([web, pool], 3), ([web, pool], 3), ([pool], 2), ([], 1)):
        await manager.register(href, consumers)
        assert len(barbican.of(href)["consumers"]) == count
    assert barbican.of(href)["consumers"] == [others]
    barbican.forget(href)
    await manager.register(href, [web])
