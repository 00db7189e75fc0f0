# SPDX-License-Identifier: Apache-2.0
"""Certificates from a real Barbican: read by reference, served, followed, let go of; what it refuses, and what happens while it is away."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openstack
import pytest
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12

import pem
from netns.installation import Installation
from netns.tls_client import ask, context, refused
from octavia_provider.client.deadline import Deadline
from octavia_provider.controller.certificate_copies import spec_of
from octavia_provider.model.errors import (
    Forbidden,
    Invalid,
    NotFound,
    OctaviaError,
    Refused,
    TransientError,
    Unreachable,
)
from octavia_provider.ports import Consumer, Readable

from .clients import users
from .guests import Guests
from .project import Project
from .secrets import Secrets, Way
from .serving import serving
from .site import opened
from .waiting import until

ROOT = pem.authority("root")
MIDDLE = pem.authority("middle", ROOT)
PAIR, OTHER = pem.make("a.test", MIDDLE), pem.make("b.test", MIDDLE)
PARTS = {
    "certificate": PAIR.pem,
    "private_key": PAIR.sealed_key("hush"),
    "private_key_passphrase": "hush",
    "intermediates": MIDDLE.pem,
}
BUNDLE = pkcs12.serialize_key_and_certificates(
    None, OTHER.key, OTHER.certificate, [ROOT.certificate, MIDDLE.certificate], NoEncryption()
)
PORT = 8443


@pytest.fixture
def kept(cloud_project: Project) -> Iterator[Secrets]:
    """What the project's user keeps, whose is the control plane too."""
    with Secrets(cloud_project.user) as made:
        yield made
    assert "secrets" not in cloud_project.left()


def wanted(href: str, token: str | None = None) -> Readable:
    collection, id_ = href.split("/")[-2:]
    return Readable(id=id_, collection=collection, token=token)


async def read(href: str, token: str | None = None) -> dict[str, Any]:
    """As it is kept: Barbican takes the end of the last line away."""
    async with opened() as cloud:
        assert cloud.certificates
        return spec_of(await cloud.certificates.read(wanted(href, token)))


async def refusal(href: str, token: str | None = None) -> OctaviaError:
    with pytest.raises(OctaviaError) as error:
        await read(href, token)
    return error.value


# ── the adapter ──────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.usefixtures("environment")
async def test_containers_and_secrets_of_all_sorts_are_read(kept: Secrets) -> None:
    given = await read(kept.container(**PARTS))
    assert {name: given[name] for name in ("certificate", "private_key", "intermediates")} == {
        name: PARTS[name] for name in ("certificate", "private_key", "intermediates")
    }
    assert given["passphrase"] == "hush"
    given = await read(kept.secret(BUNDLE))
    assert (given["certificate"], given["private_key"]) == (OTHER.pem, OTHER.key_pem)
    assert given["intermediates"] == MIDDLE.pem + ROOT.pem
    assert (await read(kept.secret(ROOT.pem)))["ca_certificates"] == ROOT.pem
    assert (await read(kept.secret(pem.crl(ROOT))))["crl"]
    href = kept.secret(ROOT.pem)
    async with opened() as cloud:
        assert cloud.certificates
        found = await cloud.certificates.read(Readable(id=href.rpartition("/")[2]))
        assert found.source == href, "an id alone"
        assert (await cloud.certificates.read(wanted(href), found.state)).inputs is None


@pytest.mark.usefixtures("environment")
async def test_what_barbican_refuses(kept: Secrets, cloud_project: Project, tmp_path: Path) -> None:
    error = await refusal(f"https://else.where/v1/containers/{uuid.uuid4()}")
    assert isinstance(error, NotFound)
    assert "Barbican says (404): Secrets container not found" in error.message
    error = await refusal(kept.container(type_="generic", anything=kept.secret("x")))
    assert isinstance(error, Refused)
    assert "is of the type generic" in error.message
    assert "holds no certificate that can be used" in (await refusal(kept.secret("x"))).message
    with users(cloud_project, tmp_path, tmp_path / "none") as everybody:
        for cloud in (text := json.loads(everybody.clouds_file.read_text()))["clouds"].values():
            del cloud["cacert"]
        everybody.clouds_file.write_text(json.dumps(text))
        bob, ann = everybody.connect("bob"), everybody.connect("ann")
        with Secrets(bob) as bobs:
            parts = {name: bobs.secret(part) for name, part in PARTS.items()}
            href = bobs.container(**parts)
            me = cloud_project.user.current_user_id
            error = await refusal(href)
            assert isinstance(error, Forbidden)
            assert f"openstack acl user add --user {me} --operation-type read" in error.hint
            bobs.let(href, me)
            error = await refusal(href)
            assert "(secret " in error.subject, "a container's readers are not those of its secrets"
            for part in parts.values():
                bobs.let(part, me)
            assert (await read(href))["certificate"] == PAIR.pem
            error = await refusal(href, token=ann.auth_token)
            assert "you may not see it" in error.message, "though the control plane may read it"
            for one in (href, *parts.values()):
                bobs.let(one, None)
            assert (await read(href, token=bob.auth_token))["certificate"] == PAIR.pem
            assert all(bobs.readers(one) == [me] for one in (href, *parts.values())), "as Octavia does"


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("what", ["container", "secret"])
async def test_consumers_are_registered_and_taken_away(kept: Secrets, what: str) -> None:
    href = kept.container(**PARTS) if what == "container" else kept.secret(BUNDLE)
    web, pool = (Consumer(kind=kind, id=str(uuid.uuid4())) for kind in ("listener", "pool"))
    mine = str(uuid.uuid4())
    async with opened(mine) as cloud, opened() as other:
        assert cloud.certificates
        assert other.certificates
        await other.certificates.register(href, [web])
        for consumers, count in (([web, pool], 3), ([web, pool], 3), ([pool], 2)):
            await cloud.certificates.register(href, consumers)
            assert len(kept.consumers(href)) == count
    async with opened(mine) as cloud:
        assert cloud.certificates
        await cloud.certificates.register(href, [])
    assert len(kept.consumers(href)) == 1, "another control plane's"
    kept.delete(href)
    async with opened(mine) as cloud:
        assert cloud.certificates
        await cloud.certificates.register(href, [web])


@pytest.mark.usefixtures("environment")
async def test_barbican_is_away(kept: Secrets, cloud_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    href = kept.secret(ROOT.pem)
    with through_a_way(cloud_project, monkeypatch) as way:
        assert (await read(href))["ca_certificates"] == ROOT.pem
        way.close()
        error = await refusal(href)
        assert isinstance(error, Unreachable)
        assert "Barbican does not answer" in error.message
        way.open()
        assert await read(href)


class through_a_way(ExitStack):  # noqa: N801 - a function that makes a context
    """The control plane's Barbican is at the end of a way that can be closed."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._project, self._monkeypatch = project, monkeypatch

    def __enter__(self) -> Way:  # type: ignore[override]
        way = self.enter_context(Way(self._project.user.key_manager.get_endpoint()))
        clouds = json.loads(self._project.clouds_file.read_text())
        clouds["clouds"]["test"]["key_manager_endpoint_override"] = way.url
        changed = self._project.clouds_file.with_name(f"{uuid.uuid4()}.yaml")
        changed.write_text(json.dumps(clouds))
        self._monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(changed))
        return way


# ── a control plane ──────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.timeout(600)
def test_tls_is_served_with_what_barbican_has(
    cloud_project: Project, environment: dict[str, str], kept: Secrets, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the first reference to the last: a container, PKCS #12 by SNI, authorities, revocation lists; Barbican away meanwhile."""
    default, sni = kept.container(**PARTS), kept.secret(BUNDLE)
    client, revoked = pem.make("client", ROOT), pem.make("revoked", ROOT)
    authorities, lists = kept.secret(ROOT.pem), kept.secret(pem.crl(ROOT, revoked))
    monkeypatch.setenv("OCTAVIA_CERTIFICATE_INTERVAL", "1")
    site = Installation(tmp_path / "h", options=("--cloud", "openstack", "--os-cloud", "test"))
    with through_a_way(cloud_project, monkeypatch) as way, Guests(cloud_project), running(site):
        made = active(site, "load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"])
        with pytest.raises(Invalid, match="needs a certificate with its private key"):
            listener(site, made, default_tls_container_ref=authorities)
        web = listener(site, made, default_tls_container_ref=default, sni_container_refs=[sni])
        assert web["default_tls_container_ref"].endswith(default.rpartition("/")[2])
        url = f"https://{made['vip_address']}:{PORT}/"
        assert [ask(url, name).serial for name in ("a.test", "b.test", "c.test")] == [
            PAIR.serial, OTHER.serial, PAIR.serial,
        ]  # fmt: skip
        site.update(
            "listener", web["id"], client_authentication="MANDATORY", client_ca_tls_container_ref=authorities,
            client_crl_container_ref=lists,
        )  # fmt: skip
        assert not refused(url, using=context(client=client))
        assert refused(url)
        assert refused(url, using=context(client=revoked))
        for href in (default, sni, authorities, lists):
            until(lambda href=href: len(kept.consumers(href)) == 1, what="a consumer")  # type: ignore[misc]
        way.close()
        until(lambda: told(site, "CertificateNotRead"), what="an event")
        assert not refused(url, using=context(client=client))
        site.update("listener", web["id"], default_tls_container_ref=default, description="goes on")
        with pytest.raises(TransientError, match="Barbican does not answer"):
            site.update("listener", web["id"], default_tls_container_ref=kept.container(**OTHER.container()))
        site.kill()
        site.start()
        assert site.get("listener", web["id"])["description"] == "goes on"
        way.open()
        site.update("listener", web["id"], sni_container_refs=[])
        until(lambda: not kept.consumers(sni), what="its consumer to go")
        site.client.request("DELETE", f"/v2/lbaas/loadbalancers/{made['id']}?cascade=true", deadline=Deadline(60.0))
        for href in (default, authorities, lists):
            until(lambda href=href: not kept.consumers(href), what="consumers to go")  # type: ignore[misc]
        until(lambda: not containers(site), what="copies to go")
        cloud_project.until_empty("secrets", seconds=60)


@contextmanager
def running(site: Installation) -> Iterator[None]:
    """Ended whatever happens: it would go on making what the test takes away."""
    site.start()
    try:
        yield
    finally:
        site.stop()
        site.client.close()


def listener(site: Installation, balancer: dict[str, Any], **values: Any) -> dict[str, Any]:
    tls = {"protocol": "TERMINATED_HTTPS", "protocol_port": PORT}
    return active(site, "listener", loadbalancer_id=balancer["id"], **tls, **values)


def active(site: Installation, kind: str, **values: Any) -> dict[str, Any]:
    """Made and in force: a cloud under test may take its time to boot."""
    made = site.create(kind, wait=False, **values)
    until(
        lambda: site.get(kind, made["id"])["provisioning_status"] == "ACTIVE", seconds=240, what=f"{kind} to be ACTIVE"
    )
    return site.get(kind, made["id"])


def containers(site: Installation) -> list[Any]:
    answer = site.client.request("GET", "/v2/octavia/tls-containers", deadline=Deadline(30.0))
    return list(answer.json()["tls_containers"])


def told(site: Installation, reason: str) -> bool:
    answer = site.client.request("GET", f"/v2/octavia/events?reason={reason}", deadline=Deadline(30.0))
    return bool(answer.json()["events"])


@pytest.mark.usefixtures("environment")
def test_users_name_what_is_theirs_alone(cloud_project: Project, tmp_path: Path) -> None:
    """By openstacksdk, as with Octavia."""
    with Guests(cloud_project), serving(cloud_project, tmp_path, "openstack") as served:
        ann, bob = (served.users.connect(name) for name in ("ann", "bob"))
        with Secrets(ann) as anns:
            href = anns.container(**PARTS)
            for one in (href, *anns.parts(href)):
                anns.let(one, None, project=False)
            made = ann.load_balancer.create_load_balancer(name="web", vip_subnet_id=cloud_project.subnets["vips"])
            tls = {
                "load_balancer_id": made.id, "protocol": "TERMINATED_HTTPS", "protocol_port": PORT,
                "default_tls_container_ref": href,
            }  # fmt: skip
            with pytest.raises(openstack.exceptions.BadRequestException, match="you may not see it"):
                bob.load_balancer.create_listener(**tls)
            web = ann.load_balancer.create_listener(**tls)
            assert web.default_tls_container_ref == href
            until(lambda: anns.consumers(href), what="a consumer")
            assert anns.consumers(href)[0]["URL"].endswith(f"/listener/{web.id}")
            ann.load_balancer.delete_load_balancer(made.id, cascade=True)
            until(lambda: not anns.consumers(href), seconds=90, what="its consumer to go")
            until(lambda: not containers(served.site), what="the copy to go")
        cloud_project.until_empty("secrets")
