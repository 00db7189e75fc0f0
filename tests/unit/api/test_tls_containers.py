# SPDX-License-Identifier: Apache-2.0
"""TLS containers in the API: what is shown and what never is, who may use them, and what their change raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pem
from unit.api.settling import Plane

PAIR = pem.make("a.test")
CA, OTHER = pem.authority(), pem.authority("other")
TLS = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443}


async def listener(plane: Plane, **values: Any) -> dict[str, Any]:
    balancer = await plane.balancer()
    return await plane.make("listener", name="web", loadbalancer_id=balancer["id"], **{**TLS, **values})


async def generation(plane: Plane, scope_id: str) -> int:
    scope = await plane.store.read(lambda tx: tx.scope(scope_id))
    assert scope is not None
    return scope.generation


def database(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("octavia.db*")))


async def test_facts_are_shown__secrets_are_not(plane: Plane, tmp_path: Path) -> None:
    key = PAIR.sealed_key("hush hush")
    made = await plane.make("tls_container", name="cert", certificate=PAIR.pem, private_key=key, passphrase="hush hush")
    assert made["subject"] == "CN=a.test"
    assert made["subject_alternative_names"] == ["a.test"]
    assert made["not_after"] == PAIR.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S")
    assert made["fingerprint"] == PAIR.certificate.fingerprint(pem.hashes.SHA256()).hex()
    listed = await plane.call("GET", "/octavia/tls-containers")
    assert "tls_containers" in listed.body
    text = json.dumps([made, listed.body])
    assert "hush" not in text
    assert "PRIVATE" not in text
    (record,) = await plane.records()
    assert record.spec["private_key"] == record.accepted["private_key"] == key  # type: ignore[index]
    await plane.store.write(lambda tx: tx.update(record.id, record.spec))
    content = database(tmp_path)
    assert b"BEGIN CERTIFICATE" in content
    assert not any(secret in content for secret in (b"hush", b"PRIVATE", key.splitlines()[1].encode()))


async def test_what_is_used_stays__and_its_change_raises_the_users_generation(plane: Plane) -> None:
    cert = await plane.make("tls_container", name="cert", **PAIR.container())
    extra = await plane.make("tls_container", name="extra", **PAIR.container())
    web = await listener(plane, default_tls_container_ref=f"https://x/{cert['id']}/", sni_container_refs=[extra["id"]])
    assert (web["default_tls_container_ref"], web["sni_container_refs"]) == (f"https://x/{cert['id']}/", [extra["id"]])
    (found,) = (await plane.call("GET", f"/lbaas/listeners?default_tls_container_ref={cert['id']}")).body["listeners"]
    assert found["id"] == web["id"], "found by what it means, whatever its spelling"
    scope = web["loadbalancers"][0]["id"]
    for one in (cert, extra):
        path = f"/octavia/tls-containers/{one['id']}"
        assert (await plane.call("DELETE", path)).status == 409
        before = await generation(plane, scope)
        answer = await plane.call("PUT", path, {"tls_container": pem.make("a.test").container()}, wait=10)
        assert answer.body["tls_container"]["provisioning_status"] == "ACTIVE"
        assert await generation(plane, scope) == before + 1
    await plane.call("PUT", f"/lbaas/listeners/{web['id']}", {"listener": {"sni_container_refs": []}}, wait=10)
    assert (await plane.call("DELETE", f"/octavia/tls-containers/{extra['id']}", wait=10)).status == 204


async def test_a_container_in_use_stays_of_its_sort(plane: Plane) -> None:
    cert = await plane.make("tls_container", name="cert", **PAIR.container())
    await listener(plane, default_tls_container_ref=cert["id"])
    change = {"certificate": None, "private_key": None, "ca_certificates": CA.pem}
    answer = await plane.call("PUT", f"/octavia/tls-containers/{cert['id']}", {"tls_container": change})
    assert answer.status == 400
    assert "listener web uses it, and its default_tls_container_ref needs a certificate" in answer.body["faultstring"]


async def test_what_ends_soon_is_told_wherever_it_is_used(plane: Plane) -> None:
    soon, over, good = (
        pem.make("soon.test", days=12),
        pem.make("over.test", since=90, days=-3),
        pem.make("good.test", days=90),
    )
    old = pem.make("old", authority=True, days=5)
    ids = [
        (await plane.make("tls_container", name=name, **pair.container()))["id"]
        for name, pair in (("soon", soon), ("over", over), ("good", good))
    ]
    authorities = (await plane.make("tls_container", name="authorities", ca_certificates=old.pem))["id"]
    web = await listener(plane, default_tls_container_ref=ids[2], sni_container_refs=ids[:2], client_authentication="OPTIONAL", client_ca_tls_container_ref=authorities)  # fmt: skip
    warned = [(one["valid"], one["message"]) for one in web["certificate_warnings"]]
    assert [(valid, message.partition(", on ")[0]) for valid, message in warned] == [
        (True, "TLS container soon: the certificate (CN=soon.test) ends in 11 days"),
        (False, "TLS container over: the certificate (CN=over.test) ended 3 days ago"),
        (True, "TLS container authorities: of ca_certificates, number 1 (CN=old) ends in 4 days"),
    ]
    scope = web["loadbalancers"][0]["id"]
    pool = await plane.make("pool", loadbalancer_id=scope, protocol="HTTP", lb_algorithm="ROUND_ROBIN", tls_enabled=True, ca_tls_container_ref=authorities)  # fmt: skip
    assert len(pool["certificate_warnings"]) == 1
    statuses = (await plane.call("GET", f"/lbaas/loadbalancers/{scope}/status", X_Octavia_Form="model")).body[
        "statuses"
    ]["loadbalancer"]
    assert statuses["listeners"][0]["certificate_warnings"] == web["certificate_warnings"]
    assert statuses["pools"][0]["certificate_warnings"] == pool["certificate_warnings"]
    containers = (await plane.call("GET", "/octavia/tls-containers")).body["tls_containers"]
    assert {one["name"]: len(one["certificate_warnings"]) for one in containers} == {
        "soon": 1,
        "over": 1,
        "good": 0,
        "authorities": 1,
    }
    assert (await plane.call("GET", "/octavia/tls-containers?certificate_warnings=x")).body["tls_containers"] == []
