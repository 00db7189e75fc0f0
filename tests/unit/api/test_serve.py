# SPDX-License-Identifier: Apache-2.0
"""Serving: who is admitted, sockets, the control plane itself, amphorae."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from octavia_amphora.wire.messages import Counters
from octavia_provider import __version__
from octavia_provider.api import serve_tcp, serve_unix
from octavia_provider.api.compat.versions import VERSIONS
from octavia_provider.api.serve import PATH_BYTES
from octavia_provider.model.errors import Conflict, Refused, Unreachable
from octavia_provider.ports import AGENT, CERTIFICATE, Amphora
from unit.api.settling import Plane

ASK = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendall(b"GET / HTTP/1.1\\r\\nHost: o\\r\\nConnection: close\\r\\n\\r\\n")
while data := s.recv(65536): sys.stdout.buffer.write(data)
"""


async def test_only_its_user_is_answered(plane: Plane) -> None:
    assert stat.S_IMODE(plane.path.stat().st_mode) == 0o600
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    for place in (plane.path, plane.path.parent):
        place.chmod(0o777)  # without the kernel's walls, ours must hold
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, str(plane.path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.startswith(b"HTTP/1.1 403")
    assert b"this control plane serves the user with uid 0, and the caller has uid 65534" in out
    assert (await plane.call("GET", "http://o/")).status == 200


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_socket_is_removed_at_the_end_and_a_dead_one_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = await serve_unix(web.Application(), path)
    with pytest.raises(Conflict, match="another control plane serves there"):
        await serve_unix(web.Application(), path)
    await first.close()
    assert not path.exists()
    path.touch()
    second = await serve_unix(web.Application(), path)
    path.unlink()
    third = await serve_unix(web.Application(), path)
    await second.close()
    assert path.is_socket(), "a successor's socket stays"
    await third.close()
    assert files(tmp_path) == []


async def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=f"longer than {PATH_BYTES} bytes"):
        await serve_unix(web.Application(), tmp_path / ("x" * PATH_BYTES))


async def test_tcp() -> None:
    server = await serve_tcp(web.Application(), "127.0.0.1", 0)
    host, port = server.address
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/") as response:
        assert response.status == 404
    with pytest.raises(Refused, match="in use"):
        await serve_tcp(web.Application(), host, port)
    await server.close()


async def test_waits_end_when_the_server_does(plane: Plane) -> None:
    plane.held.clear()
    made = await plane.make_pending("local_network")
    plane.busy.clear()
    waiting = asyncio.create_task(plane.call("GET", f"/local/networks/{made['id']}", wait=50))
    async with asyncio.timeout(30):
        await plane.busy.wait()
        await plane.server.close()
        answer = await waiting
    assert answer.body["network"]["provisioning_status"] == "PENDING_CREATE"


async def test_the_control_plane_tells_of_itself_and_stops(plane: Plane) -> None:
    await plane.make("local_network")
    facts = (await plane.call("GET", "/octavia/control-plane")).body["control_plane"]
    assert facts["id"] == plane.store.control_plane_id
    assert (facts["pid"], facts["version"], facts["objects"]) == (os.getpid(), __version__, 1)
    assert (facts["cloud"], facts["schema"]) == ("netns", plane.store.schema)
    assert (await plane.call("POST", "/octavia/control-plane/stop")).status == 202
    assert plane.stopped == [True]
    assert sum(plane.activity) == 0


async def test_versions_and_prefixes(plane: Plane) -> None:
    for path, base in (
        ("/", ""), ("/v2", ""), ("/v2.0", ""), ("/v2/", ""), ("/load-balancer", "/load-balancer"),
        ("/load-balancer/", "/load-balancer"), ("/load-balancer/v2.0", "/load-balancer"),
    ):  # fmt: skip
        found = (await plane.call("GET", f"http://o{path}")).body["versions"]
        assert found[0] == {
            "id": "v2.0", "status": "SUPPORTED", "updated": "2016-12-11T00:00:00Z",
            "links": [{"rel": "self", "href": f"http://o{base}/v2"}],
        }  # fmt: skip
        assert [v["id"] for v in found if v["status"] == "CURRENT"] == [found[-1]["id"]]
        numbers = [int(v["id"].removeprefix("v2.")) for v in found]
        assert numbers == sorted(numbers)
        assert {1, 5, 6, 12, 14, 16, 26} <= set(numbers), "what cloud-provider-openstack and others look for"
    told = (Path(__file__).parents[3] / "docs/reference/api.md").read_text()
    for version in VERSIONS:
        assert bool(version.lacking) == (f"| {version.id} |" in told), "each gap is told"


async def test_collections_are_found_without_the_word_and_with_a_slash(plane: Plane) -> None:
    made = await plane.balancer()
    prefixes = [f"{p}{v}{w}" for p in ("", "/load-balancer") for v in ("/v2", "/v2.0") for w in ("/lbaas", "")]
    for prefix in prefixes:
        listed = (await plane.call("GET", f"http://o{prefix}/loadbalancers")).body
        assert [lb["id"] for lb in listed["loadbalancers"]] == [made["id"]]
        for path in (
            "listeners", "pools", "healthmonitors", "l7policies", "quotas", "quotas/defaults", "quotas/demo",
            "quotas/demo/default", "flavors", "flavorprofiles", "availabilityzones", "availabilityzoneprofiles", "providers",
            "providers/amphora/flavor_capabilities", "providers/amphora/availability_zone_capabilities",
            f"loadbalancers/{made['id']}", f"loadbalancers/{made['id']}/status", f"loadbalancers/{made['id']}/stats",
        ):  # fmt: skip
            answer = await plane.call("GET", f"http://o{prefix}/{path}")
            assert answer.status == 200, path
            again = await plane.call("GET", f"http://o{prefix}/{path}/")
            assert (again.status, again.body) == (200, answer.body), path
        failover = await plane.call("PUT", f"http://o{prefix}/loadbalancers/x/failover")
        assert failover.status == 404
    for prefix in ("/v2", "/v2.0"):
        assert (await plane.call("GET", f"http://o{prefix}/octavia/amphorae/")).status == 200
        for word in ("lbaas", "octavia"):
            assert (await plane.call("GET", f"http://o{prefix}/{word}")).body == "v2"
    put = await plane.call("PUT", "http://o/v2.0/quotas/demo/", {"quota": {"pool": 3}})
    assert put.body["quota"]["pool"] == 3
    for path in ("/v2/nowhere/", "/v2//"):
        assert (await plane.call("GET", f"http://o{path}")).status == 404
    assert (await plane.call("POST", "http://o/v2/quotas/")).status == 405


async def test_amphorae_and_configuration(plane: Plane) -> None:
    lb = await plane.balancer()
    found = Amphora(
        id="00000000-0000-0000-0000-00000000000a", load_balancer_id=lb["id"], heartbeat_key=b"secret",
        certificate_expires="2026-12-01T02:00:00+02:00", management_address="10.0.0.9", compute_id="server",
    )  # fmt: skip
    listener = await plane.make("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    plane.status_cache.counters[listener["id"]] = Counters(bytes_in=3)
    await plane.store.write(lambda tx: tx.put_amphora(found))
    (shown,) = (await plane.call("GET", f"/octavia/amphorae?loadbalancer_id={lb['id']}")).body["amphorae"]
    assert (shown["role"], shown["status"], shown["compute_id"]) == ("STANDALONE", "BOOTING", "server")
    assert (shown["vrrp_ip"], shown["ha_ip"], shown["vrrp_id"]) == (lb["vip_address"], lb["vip_address"], 1)
    assert (shown["lb_network_ip"], shown["cert_expiration"]) == ("10.0.0.9", "2026-12-01T00:00:00")
    assert (shown["updated_at"], len(shown["created_at"])) == (None, len("2026-12-01T00:00:00"))
    assert "heartbeat_key" not in shown
    await plane.store.write(lambda tx: tx.put_amphora(replace(found, status="ALLOCATED")))
    again = (await plane.call("GET", f"/octavia/amphorae/{found.id}?fields=created_at&fields=updated_at")).body[
        "amphora"
    ]
    assert again["created_at"] == shown["created_at"]
    assert again["updated_at"] is not None
    (stats,) = (await plane.call("GET", f"/octavia/amphorae/{found.id}/stats")).body["amphora_stats"]
    assert stats == {
        "id": found.id, "loadbalancer_id": lb["id"], "listener_id": listener["id"], "bytes_in": 3, "bytes_out": 0,
        "active_connections": 0, "total_connections": 0, "request_errors": 0,
    }  # fmt: skip
    at = f"/octavia/amphorae/{found.id}"
    assert (await plane.call("PUT", f"{at}/config")).status == 202
    assert plane.operations.configured == [found.id]
    plane.operations.refused = Unreachable("no answer", subject="the amphora")
    assert (await plane.call("PUT", f"{at}/config")).status == 503
    generation = await plane.store.read(lambda tx: tx.scope(lb["id"]).generation)
    for path, request in (("certificate", CERTIFICATE), ("agent", AGENT)):
        assert (await plane.call("PUT", f"{at}/{path}")).status == 202
        (known,) = await plane.store.read(lambda tx: tx.amphorae(lb["id"]))
        assert known.requests == {request}
        assert (await plane.call("GET", at)).body["amphora"]["cert_busy"] is (request == CERTIFICATE)
        assert (await plane.call("PUT", f"{at}/{path}", wait=0.01)).status == 202, "it is not done yet"
        await plane.store.write(lambda tx, request=request: tx.fulfil([found.id], request))
    assert await plane.store.read(lambda tx: tx.scope(lb["id"]).generation) == generation + 4, "its reconciler is woken"
    assert (await plane.call("POST", "/octavia/certificate-authority/rotation")).status == 202
    assert plane.operations.rotations == 1
    for path in ("config", "certificate", "agent"):
        assert (await plane.call("PUT", f"/octavia/amphorae/{lb['id']}/{path}")).status == 404
    kept = await plane.call("DELETE", at)
    assert kept.status == 409
    assert "only one in ERROR" in kept.body["faultstring"]
    assert (await plane.call("PUT", f"{at}/drain")).status == 409, "it is alone"
    other = Amphora(id="other", load_balancer_id=lb["id"], role="BACKUP", status="ALLOCATED")
    await plane.store.write(lambda tx: tx.put_amphora(other))
    assert (await plane.call("PUT", f"{at}/drain")).status == 202
    assert (await plane.call("GET", at)).body["amphora"]["draining"] is True
    assert (await plane.call("DELETE", f"{at}/drain")).status == 204
    assert (await plane.call("GET", at)).body["amphora"]["draining"] is False
    assert (await plane.call("PUT", f"{at}/failover", wait=10)).status == 202, "it is settled, and not replaced"
    statuses = [one["status"] for one in (await plane.call("GET", "/octavia/amphorae")).body["amphorae"]]
    assert statuses == ["PENDING_DELETE", "ALLOCATED"]
    assert (await plane.call("PUT", f"/lbaas/loadbalancers/{lb['id']}/failover")).status == 202
    assert all(amphora.retiring for amphora in await plane.store.read(lambda tx: tx.amphorae()))
    for method, path in (("PUT", "failover"), ("PUT", "drain"), ("DELETE", "drain")):
        assert (await plane.call(method, f"/octavia/amphorae/{lb['id']}/{path}")).status == 404
    for method, path in (("GET", "nobody/stats"), ("DELETE", "nobody")):
        assert (await plane.call(method, f"/octavia/amphorae/{path}")).status == 404
    assert (await plane.call("GET", "/octavia/amphorae/nobody")).status == 404
    url = f"/octavia/loadbalancers/{lb['id']}/configuration"
    text = f"# {lb['id']}"
    assert (await plane.call("GET", url)).body == {"haproxy": text}
    plane.texts.change = " 1"
    shown = (await plane.call("GET", f"{url}?rendered=true")).body
    assert (await plane.call("POST", url)).status == 202
    assert (await plane.call("GET", url)).body == {"haproxy": f"{text} 1"}
    assert (await plane.call("GET", f"{url}?rendered=zz")).violations[0][0] == ("rendered",)
    assert shown == {"haproxy": text, "next": f"{text} 1", "shipped": ""}
    assert (await plane.call("POST", "/octavia/loadbalancers/nobody/configuration")).status == 404
    plane.care = True
    assert (await plane.call("PUT", f"/lbaas/loadbalancers/{lb['id']}/failover", wait=10)).status == 204


async def test_an_address_that_is_not_there_is_said(plane: Plane) -> None:
    answer = await plane.call("GET", "/lbaas/pols")
    assert (answer.status, answer.body["faultstring"]) == (404, "/v2/lbaas/pols: this API has no such address")
    answer = await plane.call("POST", "/lbaas/quotas")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert answer.body["faultstring"] == "/v2/lbaas/quotas: this API has no POST of this address, but GET, HEAD"


async def test_a_fault_of_ours_is_one_line_for_the_user(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("inner detail")

    monkeypatch.setattr(plane.store, "read", broken)
    answer = await plane.call("GET", "/lbaas/pools")
    assert (answer.status, answer.body["faultcode"]) == (500, "Server")
    assert "inner detail" not in answer.body["faultstring"]


async def test_an_amphora_that_could_not_be_made_is_in_error_and_can_be_deleted(plane: Plane) -> None:
    plane.refuse.add("lb")
    lb = await plane.balancer()
    assert lb["provisioning_status"] == "ERROR"
    amphora = Amphora(id="00000000-0000-0000-0000-00000000000a", load_balancer_id=lb["id"])
    await plane.store.write(lambda tx: tx.put_amphora(amphora))
    at = f"/octavia/amphorae/{amphora.id}"
    assert (await plane.call("GET", at)).body["amphora"]["status"] == "ERROR"
    assert (await plane.call("DELETE", at)).status == 204
    assert (await plane.call("GET", at)).body["amphora"]["status"] == "PENDING_DELETE"
