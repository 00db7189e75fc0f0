# SPDX-License-Identifier: Apache-2.0
"""References to a certificate manager: taken where TLS containers are, refused before anything is written, followed, let go of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import pem
from fake_barbican import HREF, SERVICE_USER, FakeBarbican
from octavia_provider.api import Users
from octavia_provider.model import graph as graphs
from octavia_provider.model.events import EventFilter
from octavia_provider.ports import Record
from unit.api import settling
from unit.api.test_authorization import BLUE, POLICY, RED, Keystone, Shared

CA = pem.authority()
PAIR, OTHER = pem.make("a.test"), pem.make("b.test")
PARTS = PAIR.container()
MISSING = f"{HREF}/containers/11111111-1111-4111-8111-111111111111"


@pytest.fixture
def barbican() -> FakeBarbican:
    return FakeBarbican()


@pytest.fixture
async def plane(tmp_path: Path, barbican: FakeBarbican) -> AsyncIterator[settling.Plane]:
    async with settling.plane(tmp_path, certificates=barbican.manager()) as made:
        yield made


def id_of(href: str) -> str:
    return href.rpartition("/")[2]


async def post(plane: settling.Plane, **values: Any) -> settling.Answer:
    balancers = await plane.store.read(lambda tx: tx.find("load_balancer"))
    balancer = balancers[0].id if balancers else (await plane.balancer())["id"]
    given = {"name": "web", "loadbalancer_id": balancer, "protocol": "TERMINATED_HTTPS", "protocol_port": 443, **values}
    return await plane.post("listener", given)


async def put(plane: settling.Plane, listener: dict[str, Any], **values: Any) -> settling.Answer:
    return await plane.call("PUT", f"/lbaas/listeners/{listener['id']}", {"listener": values}, wait=10)


async def copies(plane: settling.Plane) -> list[Record]:
    return await plane.store.read(lambda tx: tx.find("tls_container"))


async def reasons(plane: settling.Plane) -> list[tuple[str, str]]:
    found = await plane.store.read(lambda tx: list(tx.events(EventFilter(), limit=100)))
    return [(one.reason, one.message) for one in found if one.reason.startswith("Certificate")]


async def test_references_are_taken_wherever_octavia_takes_them(plane: settling.Plane, barbican: FakeBarbican) -> None:
    default, sni = barbican.container(**PARTS), barbican.container(**OTHER.container())
    authorities, lists = barbican.secret(CA.pem), barbican.secret(pem.crl(CA))
    made = await post(
        plane, default_tls_container_ref=default, sni_container_refs=[sni], client_ca_tls_container_ref=authorities,
        client_crl_container_ref=lists, client_authentication="MANDATORY",
    )  # fmt: skip
    assert made.status == 201, made.body
    web = made.body["listener"]
    assert web["default_tls_container_ref"] == default, "as it was spelled"
    assert web["sni_container_refs"] == [sni]
    pool = await plane.make(
        "pool", listener_id=web["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN", tls_enabled=True,
        tls_container_ref=default, ca_tls_container_ref=authorities, crl_container_ref=lists,
    )  # fmt: skip
    assert pool["provisioning_status"] == "ACTIVE"
    shown = {one["id"]: one for one in (await plane.call("GET", "/octavia/tls-containers")).body["tls_containers"]}
    assert {one["source"] for one in shown.values()} == {default, sni, authorities, lists}
    assert shown[id_of(default)]["fingerprint"]
    (record,) = [one for one in await copies(plane) if one.id == id_of(default)]
    assert record.spec["private_key"] == PAIR.key_pem
    served: Any = graphs.build(record.kind, record.spec, id=record.id)
    assert served.served() == PAIR.pem + PAIR.key_pem, "as haproxy loads those of our own"


async def test_what_cannot_be_had_is_refused_with_its_place__and_nothing_is_written(
    plane: settling.Plane, barbican: FakeBarbican
) -> None:
    unmatched = barbican.container(certificate=PAIR.pem, private_key=OTHER.key_pem)
    closed = barbican.container(**PARTS, readable=False)
    refused = await post(plane, default_tls_container_ref=unmatched, sni_container_refs=[MISSING, closed])
    assert refused.status == 400
    found = dict(refused.violations)
    assert "private_key: does not belong to the certificate" in found["default_tls_container_ref",]
    assert "Barbican says (404)" in found["sni_container_refs", 0]
    assert "openstack acl user add" in found["sni_container_refs", 1]
    authorities = barbican.secret(CA.pem)
    refused = await post(plane, default_tls_container_ref=authorities)
    assert [path for path, _ in refused.violations] == [("default_tls_container_ref",)]
    assert "needs a certificate with its private key" in refused.violations[0][1]
    barbican.down = True
    unreachable = await post(plane, default_tls_container_ref=barbican.container(**PARTS))
    assert unreachable.status == 503
    assert "Barbican does not answer" in unreachable.body["faultstring"]
    assert not await copies(plane)


async def test_a_load_balancer_made_in_one_call_names_them_at_any_depth(
    plane: settling.Plane, barbican: FakeBarbican
) -> None:
    network = await plane.make("local_network", name="net")
    listener = {"name": "web", "protocol": "TERMINATED_HTTPS", "protocol_port": 443, "sni_container_refs": [MISSING]}
    whole = {"name": "lb", "vip_network_id": network["id"], "listeners": [listener]}
    refused = await plane.post("load_balancer", whole)
    assert [path for path, _ in refused.violations] == [("listeners", 0, "sni_container_refs", 0)]
    listener["sni_container_refs"] = [barbican.container(**PARTS)]
    assert (await plane.post("load_balancer", whole)).status == 201


async def test_whoever_sets_a_reference_again_has_it_read_again__and_it_holds_where_barbican_is_down(
    plane: settling.Plane, barbican: FakeBarbican
) -> None:
    href = barbican.container(**PARTS)
    web = (await post(plane, default_tls_container_ref=href)).body["listener"]
    part = barbican.of(href)["shown"]["secret_refs"]
    part[:] = [{"name": n, "secret_ref": barbican.secret(v)} for n, v in OTHER.container().items()]
    before = (await plane.store.read(lambda tx: tx.scope(web["loadbalancers"][0]["id"]))).generation  # type: ignore[union-attr]
    assert (await put(plane, web, default_tls_container_ref=href)).status == 200
    (record,) = await copies(plane)
    assert record.spec["certificate"] == OTHER.pem
    after = (await plane.store.read(lambda tx: tx.scope(web["loadbalancers"][0]["id"]))).generation  # type: ignore[union-attr]
    assert after == before + 1, "it goes to amphorae"
    barbican.down = True
    assert (await put(plane, web, default_tls_container_ref=href, description="changed")).status == 200
    barbican.down = False
    barbican.forget(href)
    assert (await put(plane, web, default_tls_container_ref=href)).status == 200, "it goes on with what it has"
    assert (await put(plane, web, sni_container_refs=[MISSING])).status == 400


async def test_a_copy_is_nobodys_to_change__and_is_read_again_on_demand(
    plane: settling.Plane, barbican: FakeBarbican
) -> None:
    href = barbican.container(**PARTS)
    await post(plane, default_tls_container_ref=href)
    own = await plane.make("tls_container", name="own", **PARTS)
    path = f"/octavia/tls-containers/{id_of(href)}"
    for answer in (await plane.call("PUT", path, {"tls_container": {"name": "x"}}), await plane.call("DELETE", path)):
        assert answer.status == 409
        assert f"it is a copy of {href}" in answer.body["faultstring"]
    answer = await plane.call("PUT", f"{path}/reread")
    assert (answer.status, answer.body) == (200, {"id": id_of(href), "source": href, "changed": False})
    assert (await plane.call("PUT", f"/octavia/tls-containers/{own['id']}/reread")).status == 409
    barbican.of(href)["users"].clear()
    answer = await plane.call("PUT", f"{path}/reread")
    assert answer.status == 403
    assert "openstack acl user add" in answer.body["faultstring"]


async def test_users_are_consumers__and_what_nobody_uses_goes(plane: settling.Plane, barbican: FakeBarbican) -> None:
    href = barbican.container(**PARTS)
    web = (await post(plane, default_tls_container_ref=href)).body["listener"]
    watch = plane.operations.watch
    await watch.look()
    assert [one["URL"] for one in barbican.of(href)["consumers"]] == [f"octavia://cp/listener/{web['id']}"]
    asked = len(barbican.asked)
    await watch.look()
    assert len(barbican.asked) == asked, "nothing is due"
    await plane.call("DELETE", f"/lbaas/listeners/{web['id']}", wait=10)
    barbican.down = True
    await watch.look()
    assert await copies(plane), "its consumer cannot be taken away yet"
    barbican.down = False
    await watch.look()
    assert not barbican.of(href)["consumers"]
    async with plane.store.watch() as changes:
        while await copies(plane):
            await changes.changed()
    assert (await post(plane, default_tls_container_ref=href)).status == 201


async def test_a_form_that_may_be_gone_back_to_keeps_its_certificate(
    plane: settling.Plane, barbican: FakeBarbican
) -> None:
    first, second = barbican.container(**PARTS), barbican.container(**OTHER.container())
    web = (await post(plane, default_tls_container_ref=first)).body["listener"]
    plane.refuse.add("refused")
    await put(plane, web, name="refused", default_tls_container_ref=second)
    await plane.operations.watch.look()
    assert {one.id for one in await copies(plane) if not one.deleting} == {id_of(first), id_of(second)}


async def test_a_running_watch_tells_what_is_in_the_way_and_what_will_end(
    plane: settling.Plane, barbican: FakeBarbican, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = pem.make("soon.test", days=5)
    href = barbican.container(**soon.container())
    await post(plane, default_tls_container_ref=href)
    watch = plane.operations.watch
    monkeypatch.setattr(watch, "_interval", 0.001)
    barbican.of(href)["users"].clear()
    watch.start()
    async with plane.store.watch("events") as changes, asyncio.timeout(60):
        while {reason for reason, _ in await reasons(plane)} != {"CertificateNotRead", "CertificateExpires"}:
            await changes.changed()
    await watch.stop()
    told = dict(await reasons(plane))
    assert "Load balancers go on with what was read before" in told["CertificateNotRead"]
    assert "the certificate (CN=soon.test) ends in 4 days" in told["CertificateExpires"]


async def test_what_will_end_is_told_as_soon_as_it_is_used(plane: settling.Plane, barbican: FakeBarbican) -> None:
    expired = barbican.container(**pem.make("old.test", since=90, days=-3).container())
    web = (await post(plane, default_tls_container_ref=expired)).body["listener"]
    assert [one["valid"] for one in web["certificate_warnings"]] == [False], "taken, as of our own containers"
    await plane.operations.watch.look()
    ((reason, message),) = await reasons(plane)
    assert (reason, f"{expired}: the certificate (CN=old.test) ended 3 days ago" in message) == (
        "CertificateExpires",
        True,
    )


async def test_another_content_is_put_in_force_and_told(plane: settling.Plane, barbican: FakeBarbican) -> None:
    href = barbican.secret(CA.pem)
    await post(
        plane, default_tls_container_ref=barbican.container(**PARTS), client_ca_tls_container_ref=href,
        client_authentication="OPTIONAL",
    )  # fmt: skip
    new = pem.authority("new")
    barbican.of(href)["payload"] = new.pem.encode()
    answer = await plane.call("PUT", f"/octavia/tls-containers/{id_of(href)}/reread")
    assert answer.body["changed"] is True
    assert [reason for reason, _ in await reasons(plane)] == ["CertificateChanged"]
    barbican.of(href)["payload"] = pem.crl(new).encode()
    answer = await plane.call("PUT", f"/octavia/tls-containers/{id_of(href)}/reread")
    assert "holds crl now, and ca_certificates before" in answer.body["faultstring"]


async def test_a_user_names_what_they_see__also_where_another_project_uses_it(
    tmp_path: Path, barbican: FakeBarbican
) -> None:
    users = Users(identity=Keystone(), policy=POLICY)
    async with settling.plane(tmp_path, users=users, certificates=barbican.manager()) as plane:
        shared = Shared(plane)
        network = await plane.make("local_network", name="net")
        href = barbican.container(**PARTS, project=f"{RED}/member", readable=False)
        tls = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": href}
        listeners = "/v2/lbaas/listeners"
        balancers = {}
        for project in (RED, BLUE):
            values = {"name": project[:3], "vip_network_id": network["id"]}
            made = await shared.make(f"{project}/member", "/v2/lbaas/loadbalancers", "loadbalancer", **values)
            balancers[project] = made["id"]
        red = {"listener": {**tls, "name": "red", "loadbalancer_id": balancers[RED]}}
        blue = {"listener": {**tls, "name": "blue", "loadbalancer_id": balancers[BLUE]}}
        refused = await shared.call(f"{BLUE}/member", "POST", listeners, blue)
        assert (refused.status, [path for path, _ in refused.violations]) == (400, [("default_tls_container_ref",)])
        assert "you may not see it" in refused.body["faultstring"]
        assert (await shared.call(f"{RED}/member", "POST", listeners, red)).status == 201
        assert barbican.of(href)["users"] == [SERVICE_USER], "by the user's token"
        (record,) = await copies(plane)
        for ref in (href, record.id):
            blue["listener"]["default_tls_container_ref"] = ref
            answer = await shared.call(f"{BLUE}/member", "POST", listeners, blue)
            assert answer.status == 400, "a copy is no way around Barbican"
        assert (
            await shared.call(f"{BLUE}/member", "PUT", f"/v2/octavia/tls-containers/{record.id}/reread")
        ).status == 403
        barbican.open_metadata = True
        assert (await shared.call(f"{BLUE}/member", "POST", listeners, blue)).status == 201
