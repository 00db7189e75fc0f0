# SPDX-License-Identifier: Apache-2.0
"""Objects through the API: shapes, waiting, changes, deletion, one call for a whole balancer."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import event

from octavia_amphora.wire.messages import Counters
from octavia_provider.model import statuses
from unit.api.settling import PROJECT, Plane

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}


async def whole(plane: Plane) -> dict[str, dict[str, Any]]:
    """A balancer with one of each."""
    lb = await plane.balancer("web")
    listener = await plane.make("listener", name="http", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    pool = await plane.make("pool", name="app", listener_id=listener["id"], **POOL)
    member = await plane.make("member", name="m0", pool_id=pool["id"], address="10.1.0.50", protocol_port=8080)
    monitor = await plane.make("health_monitor", name="hm", pool_id=pool["id"], **MONITOR)
    return {"lb": lb, "listener": listener, "pool": pool, "member": member, "monitor": monitor}


async def test_a_whole_balancer_is_shown_as_octavia_shows_it(plane: Plane) -> None:
    made = await whole(plane)
    lb = (await plane.call("GET", f"/lbaas/loadbalancers/{made['lb']['id']}")).body["loadbalancer"]
    assert lb["listeners"] == [{"id": made["listener"]["id"]}]
    assert lb["pools"] == [{"id": made["pool"]["id"]}]
    assert lb["provisioning_status"] == "ACTIVE"
    assert lb["project_id"] == lb["tenant_id"] == PROJECT
    assert lb["vip_address"] == "10.1.0.2"
    assert lb["vip_subnet_id"] == lb["vip_network_id"]
    assert lb["published_address"].startswith("127.88.")
    assert {"flavor_id", "availability_zone", "vip_qos_policy_id", "vip_port_id", "additional_vips"} <= lb.keys()
    listener = (await plane.call("GET", f"/lbaas/listeners/{made['listener']['id']}")).body["listener"]
    assert listener["loadbalancers"] == [{"id": lb["id"]}]
    assert listener["default_pool_id"] == made["pool"]["id"]
    assert listener["url"] == f"http://{lb['published_address']}:80"
    assert listener["l7policies"] == []
    pool = (await plane.call("GET", f"/lbaas/pools/{made['pool']['id']}")).body["pool"]
    assert pool["listeners"] == [{"id": listener["id"]}]
    assert pool["members"] == [{"id": made["member"]["id"]}]
    assert pool["healthmonitor_id"] == made["monitor"]["id"]
    assert pool["loadbalancer_id"] == lb["id"]
    assert made["monitor"]["pools"] == [{"id": pool["id"]}]
    assert made["member"]["operating_status"] == "ONLINE"


async def test_every_answer_names_the_control_plane(plane: Plane) -> None:
    for method, path in (("GET", "/lbaas/pools"), ("GET", "/nowhere"), ("POST", "/lbaas/pools"), ("DELETE", "")):
        answer = await plane.call(method, path)
        assert answer.headers["X-Octavia-Control-Plane"] == plane.store.control_plane_id
    assert answer.status == 405
    assert answer.body["faultcode"] == "Client"


async def test_the_status_tree_and_the_statistics(plane: Plane) -> None:
    made = await whole(plane)
    loose = await plane.make("pool", name="loose", loadbalancer_id=made["lb"]["id"], **POOL)
    lb_url = f"/lbaas/loadbalancers/{made['lb']['id']}"
    root = (await plane.call("GET", f"{lb_url}/status")).body["statuses"]["loadbalancer"]
    pool = root["listeners"][0]["pools"][0]
    assert pool["members"][0]["address"] == "10.1.0.50"
    assert pool["health_monitor"]["type"] == "HTTP"
    assert root.keys() == {"id", "name", "provisioning_status", "operating_status", "listeners"}
    assert root["listeners"][0].keys() == {"id", "name", "provisioning_status", "operating_status", "pools"}
    more = (await plane.call("GET", f"{lb_url}/status", X_Octavia_Form="model")).body["statuses"]["loadbalancer"]
    assert [p["id"] for p in more["pools"]] == [loose["id"]]
    assert more["listeners"][0]["pools"][0]["healthmonitor"]["type"] == "HTTP"
    plane.status_cache.counters[made["listener"]["id"]] = Counters(bytes_in=3, total_connections=2)
    stats = (await plane.call("GET", f"{lb_url}/stats")).body["stats"]
    assert stats == {
        "bytes_in": 3, "bytes_out": 0, "active_connections": 0, "total_connections": 2, "request_errors": 0,
    }  # fmt: skip
    assert (await plane.call("GET", f"/lbaas/listeners/{made['listener']['id']}/stats")).body["stats"] == stats


async def test_without_prefer_the_answer_comes_at_once_and_pending(plane: Plane) -> None:
    plane.held.clear()
    answer = await plane.post("local_network", {"name": "n"}, wait=None)
    assert answer.status == 201
    assert answer.body["network"]["provisioning_status"] == statuses.PENDING_CREATE
    waited = await plane.post("local_network", {"name": "m"}, wait=0.05)
    assert waited.status == 202
    assert waited.headers["Preference-Applied"] == "wait=0.05"
    waiting = asyncio.create_task(plane.call("GET", f"/local/networks/{waited.body['network']['id']}", wait=20))
    plane.held.set()
    assert (await waiting).body["network"]["provisioning_status"] == statuses.ACTIVE


async def test_an_object_that_is_refused_is_shown_in_error_and_heals(plane: Plane) -> None:
    lb = await plane.balancer()
    plane.refuse.add("bad")
    pool = await plane.make("pool", name="bad", loadbalancer_id=lb["id"], **POOL)
    assert pool["provisioning_status"] == statuses.ERROR
    assert pool["provisioning_error"] == "haproxy said no"
    plane.refuse.clear()
    healed = await plane.call("PUT", f"/lbaas/pools/{pool['id']}", {"pool": {}}, wait=10)
    assert healed.status == 200
    assert healed.body["pool"]["provisioning_status"] == statuses.ACTIVE


async def test_put_changes_what_is_given_and_null_gives_the_default(plane: Plane) -> None:
    made = await whole(plane)
    url = f"/lbaas/pools/{made['pool']['id']}/members/{made['member']['id']}"
    changed = (await plane.call("PUT", url, {"member": {"weight": 7}}, wait=10)).body["member"]
    assert (changed["weight"], changed["address"]) == (7, "10.1.0.50")
    before = await plane.store.read(lambda tx: tx.scope(made["lb"]["id"]))
    same = await plane.call("PUT", url, {"member": {"weight": 7, "pool_id": made["pool"]["id"]}}, wait=10)
    assert same.status == 200
    assert await plane.store.read(lambda tx: tx.scope(made["lb"]["id"])) == before
    back = (await plane.call("PUT", url, {"member": {"weight": None}}, wait=10)).body["member"]
    assert back["weight"] == 1


async def test_a_null_takes_out_of_service_as_in_octavia(plane: Plane) -> None:
    off = {"admin_state_up": None}
    lb = (await whole(plane))["lb"]
    pool = await plane.make("pool", loadbalancer_id=lb["id"], **POOL, **off, healthmonitor={**MONITOR, **off})
    assert pool["admin_state_up"] is False
    monitor = (await plane.call("GET", f"/lbaas/healthmonitors/{pool['healthmonitor_id']}")).body["healthmonitor"]
    assert monitor["admin_state_up"] is False
    members = f"/lbaas/pools/{pool['id']}/members"
    spec = {"address": "10.1.0.7", "protocol_port": 80}
    batch = await plane.call("PUT", members, {"members": [{**spec, **off}]}, wait=10)
    assert batch.body["members"][0]["admin_state_up"] is False
    batch = await plane.call("PUT", members, {"members": [{**spec, "admin_state_up": True}]}, wait=10)
    assert batch.body["members"][0]["admin_state_up"] is True
    put = await plane.call("PUT", f"/lbaas/loadbalancers/{lb['id']}", {"loadbalancer": off}, wait=10)
    assert put.body["loadbalancer"]["admin_state_up"] is False


async def test_what_cannot_be_changed_is_refused_by_its_path_with_all_else_that_is_wrong(plane: Plane) -> None:
    made = await whole(plane)
    url = f"/lbaas/loadbalancers/{made['lb']['id']}"
    answer = await plane.call("PUT", url, {"loadbalancer": {"vip_address": "10.1.0.9", "name": "a\nb"}})
    assert answer.status == 400
    assert {path for path, _ in answer.violations} == {("vip_address",), ("name",)}
    kept = await plane.call("PUT", url, {"loadbalancer": {"vip_address": None, "name": "new"}}, wait=10)
    assert kept.body["loadbalancer"]["vip_address"] == made["lb"]["vip_address"]


async def test_a_balancer_with_children_goes_by_cascade_only(plane: Plane) -> None:
    made = await whole(plane)
    url = f"/lbaas/loadbalancers/{made['lb']['id']}"
    refused = await plane.call("DELETE", url, wait=10)
    assert refused.status == 400
    assert "cascade" in refused.body["faultstring"]
    for word in ("maybe", "cascade", "2", "no&cascade=yes"):
        refused = await plane.call("DELETE", f"{url}?cascade={word}", wait=10)
        assert (refused.status, refused.violations[0][0]) == (400, ("cascade",))
    assert (await plane.call("DELETE", f"{url}?cascade=Off", wait=10)).status == 400
    assert not any(r.deleting for r in await plane.records())
    assert (await plane.call("DELETE", f"{url}?cascade=Yes", wait=10)).status == 204
    assert {r.kind for r in await plane.records()} == {"local_network"}
    assert (await plane.call("GET", url)).status == 404
    assert (await plane.call("DELETE", url, wait=1)).status == 404


async def test_while_it_is_being_deleted(plane: Plane) -> None:
    made = await whole(plane)
    plane.held.clear()
    url = f"/lbaas/pools/{made['pool']['id']}"
    assert (await plane.call("DELETE", url, wait=0.05)).status == 202
    assert (await plane.call("DELETE", url)).status == 204  # Octavia's answer to those who do not wait
    shown = (await plane.call("GET", url)).body["pool"]
    assert shown["provisioning_status"] == statuses.PENDING_DELETE
    assert (await plane.call("PUT", url, {"pool": {"name": "x"}})).status == 404
    child = await plane.post("member", {"pool_id": made["pool"]["id"], "address": "10.1.0.9", "protocol_port": 1})
    assert child.status == 400
    assert child.violations == [(("pool_id",), "pool " + made["pool"]["id"] + " is being deleted")]
    gone = asyncio.create_task(plane.call("GET", url, wait=20))
    plane.held.set()
    assert (await gone).status == 404


async def test_deleting_a_pool_takes_its_parts_and_frees_its_listeners(plane: Plane) -> None:
    made = await whole(plane)
    named = await plane.make(
        "listener", loadbalancer_id=made["lb"]["id"], protocol="HTTP", protocol_port=81,
        default_pool_id=made["pool"]["id"],
    )  # fmt: skip
    assert (await plane.call("DELETE", f"/lbaas/pools/{made['pool']['id']}", wait=10)).status == 204
    for listener in (named, made["listener"]):
        shown = (await plane.call("GET", f"/lbaas/listeners/{listener['id']}")).body["listener"]
        assert shown["default_pool_id"] is None
    assert {r.kind for r in await plane.records()} == {"local_network", "load_balancer", "listener"}


async def test_deleting_a_listener_leaves_its_pool(plane: Plane) -> None:
    made = await whole(plane)
    assert (await plane.call("DELETE", f"/lbaas/listeners/{made['listener']['id']}", wait=10)).status == 204
    pool = (await plane.call("GET", f"/lbaas/pools/{made['pool']['id']}")).body["pool"]
    assert (pool["listener_id"], pool["listeners"]) == (None, [])


@pytest.mark.covers("load_balancer.vip_subnet_id")
async def test_one_call_makes_a_whole_balancer(plane: Plane) -> None:
    network = await plane.make("local_network")
    pools = [
        {"name": "app", **POOL, "members": [{"address": "10.1.0.7", "protocol_port": 80}], "healthmonitor": MONITOR}
    ]
    listeners = [
        {"name": "a", "protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "app"}},
        {
            "name": "b",
            "protocol": "TCP",
            "protocol_port": 81,
            "default_pool": {"name": "own", **POOL, "protocol": "TCP"},
        },
    ]
    made = await plane.make("load_balancer", vip_subnet_id=network["id"], pools=pools, listeners=listeners)
    assert [listener["name"] for listener in made["listeners"]] == ["a", "b"]
    by_name = {pool["name"]: pool for pool in made["pools"]}
    assert made["listeners"][0]["default_pool_id"] == by_name["app"]["id"]
    assert made["listeners"][1]["default_pool_id"] == by_name["own"]["id"]
    assert by_name["app"]["members"][0]["provisioning_status"] == "ACTIVE"
    assert by_name["app"]["healthmonitor"]["type"] == "HTTP"


async def test_a_listener_may_bring_its_pool_and_a_pool_its_parts(plane: Plane) -> None:
    lb = await plane.balancer()
    parts = {"members": [{"address": "10.1.0.7", "protocol_port": 80}], "healthmonitor": MONITOR}
    listener = await plane.make(
        "listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80, default_pool={**POOL, **parts}
    )
    pool = (await plane.call("GET", f"/lbaas/pools/{listener['default_pool_id']}")).body["pool"]
    assert (len(pool["members"]), pool["healthmonitor_id"] is not None) == (1, True)
    other = await plane.make("pool", loadbalancer_id=lb["id"], **POOL, **parts)
    assert len(other["members"]) == 1
    bad = {**POOL, "protocol": "TCP"}
    refused = await plane.post(
        "listener", {"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": 81, "default_pool": bad}
    )
    assert (refused.status, refused.violations[0][0]) == (400, ("default_pool",))
    assert len([r for r in await plane.records() if r.kind == "pool"]) == 2


async def test_one_call_with_faults_makes_nothing_and_names_each(plane: Plane) -> None:
    network = await plane.make("local_network")
    spec = {
        "vip_network_id": network["id"],
        "pools": [{**POOL, "members": [{"address": "x", "protocol_port": 80}, {"protocol_port": 0, "address": "10.1.0.3"}]}],
        "listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "nobody"}}, 3],
    }  # fmt: skip
    answer = await plane.post("load_balancer", spec)
    assert answer.status == 400
    assert {path for path, _ in answer.violations} >= {
        ("pools", 0, "members", 0, "address"), ("pools", 0, "members", 1, "protocol_port"),
        ("listeners", 0, "default_pool", "name"), ("listeners", 1),
    }  # fmt: skip
    twice = [{"protocol": "HTTP", "protocol_port": 80}, {"protocol": "TCP", "protocol_port": 80}]
    taken = await plane.post("load_balancer", {"vip_network_id": network["id"], "listeners": twice})
    assert taken.status == 409
    assert taken.violations[0][0] == ("listeners", 1, "protocol_port")
    assert {r.kind for r in await plane.records()} == {"local_network"}


async def test_the_batch_of_members(plane: Plane) -> None:
    made = await whole(plane)
    url = f"/lbaas/pools/{made['pool']['id']}/members"
    wanted = [{"address": f"10.1.1.{i}", "protocol_port": 80, "weight": i} for i in range(1, 4)]
    full = await plane.call("PUT", url, {"members": wanted}, wait=10)
    assert full.status == 200
    assert [m["weight"] for m in full.body["members"]] == [1, 2, 3]
    ids = [m["id"] for m in full.body["members"]]
    more = await plane.call("PUT", f"{url}?additive_only=true", {"members": [{**wanted[0], "weight": 9}]}, wait=10)
    assert [(m["id"], m["weight"]) for m in more.body["members"]] == list(zip(ids, (9, 2, 3), strict=True))
    assert (await plane.call("PUT", url, {"members": wanted})).status == 202
    bad = [wanted[0], wanted[0], {"address": "no"}, 5, {**wanted[1], "pool_id": str(uuid.UUID(int=7))}]
    answer = await plane.call("PUT", url, {"members": bad})
    assert {path for path, _ in answer.violations} == {
        ("members", 1, "address"), ("members", 2, "address"), ("members", 2, "protocol_port"), ("members", 3),
        ("members", 4, "pool_id"),
    }  # fmt: skip


async def test_a_batch_of_many_takes_as_many_statements_as_one_of_few(plane: Plane) -> None:
    pool = (await whole(plane))["pool"]["id"]
    statements: list[str] = []
    event.listen(plane.store._engines[0], "before_cursor_execute", lambda *call: statements.append(call[2]))
    counts = []
    for network, count in ((1, 5), (2, 100)):
        members = [{"address": f"10.{network}.1.{i}", "protocol_port": 80} for i in range(1, count + 1)]
        plane.held.clear()  # what settles it is not counted
        statements.clear()
        made = await plane.call("PUT", f"/lbaas/pools/{pool}/members?additive_only=true", {"members": members})
        assert made.status == 202, made.body
        counts.append(len(statements))
        plane.held.set()
    assert counts[0] == counts[1] < 20, statements


@pytest.mark.covers("local_network.cidr", "local_host.network_id", "local_host.address")
async def test_networks_and_hosts(plane: Plane) -> None:
    first, second = [await plane.make("local_network") for _ in range(2)]
    assert (first["cidr"], second["cidr"]) == ("10.1.0.0/24", "10.1.1.0/24")
    overlap = await plane.post("local_network", {"cidr": "10.1.0.128/25"})
    assert (overlap.status, overlap.violations[0][0]) == (409, ("cidr",))
    reserved = await plane.post("local_network", {"cidr": "10.0.7.0/24"})
    assert (reserved.status, reserved.violations[0][0]) == (409, ("cidr",))
    host = await plane.make("local_host", network_id=first["id"], command=["true"])
    assert (host["address"], host["running"]) == ("10.1.0.2", True)
    used = await plane.call("DELETE", f"/local/networks/{first['id']}", wait=5)
    assert (used.status, "stands in it" in used.body["faultstring"]) == (409, True)
    assert (await plane.call("DELETE", f"/local/hosts/{host['id']}", wait=5)).status == 204
    again = await plane.make("local_host", network_id=first["id"], command=["true"], address="10.1.0.2")
    assert again["address"] == "10.1.0.2"


async def test_vip_rules_of_the_embedded_cloud(plane: Plane) -> None:
    network = await plane.make("local_network", cidr="10.9.0.0/24")
    nowhere = str(uuid.uuid4())
    cases = [
        ({"vip_network_id": nowhere}, 400, "vip_network_id"),
        ({"vip_subnet_id": nowhere}, 400, "vip_subnet_id"),
        ({"vip_network_id": network["id"], "vip_subnet_id": nowhere}, 400, "vip_subnet_id"),
        ({"vip_port_id": nowhere}, 400, "vip_port_id"),
        ({"vip_network_id": network["id"], "vip_address": "10.8.0.5"}, 400, "vip_address"),
        ({"vip_network_id": network["id"], "vip_address": "10.9.0.1"}, 400, "vip_address"),
        ({"vip_network_id": network["id"], "vip_address": "10.9.0.255"}, 400, "vip_address"),
    ]
    for spec, status, path in cases:
        answer = await plane.post("load_balancer", spec)
        assert (answer.status, answer.violations[0][0]) == (status, (path,)), answer.body
    one = await plane.make("load_balancer", vip_network_id=network["id"], vip_address="10.9.0.5")
    taken = await plane.post("load_balancer", {"vip_network_id": network["id"], "vip_address": "10.9.0.5"})
    assert (taken.status, taken.violations[0][0]) == (409, ("vip_address",))
    other = await plane.make("load_balancer", vip_network_id=network["id"])
    assert one["published_address"] != other["published_address"]
    assert len(await plane.records()) == 3


async def test_300_at_once(plane: Plane) -> None:
    made = await whole(plane)
    specs = [
        {"pool_id": made["pool"]["id"], "address": f"10.2.{i // 250}.{i % 250 + 1}", "protocol_port": 80}
        for i in range(300)
    ]
    answers = await asyncio.gather(*(plane.post("member", spec) for spec in specs))
    assert {a.status for a in answers} == {201}
    listed = (await plane.call("GET", f"/lbaas/pools/{made['pool']['id']}/members")).body["members"]
    assert len({m["id"] for m in listed}) == 301
    assert {m["provisioning_status"] for m in listed} == {"ACTIVE"}


async def test_what_older_code_took_stands_in_the_way_of_no_other_change(plane: Plane) -> None:
    """A name of before that a program could not give any more: other attributes change, and it goes with a new name."""
    balancer = await plane.balancer()
    old = "evil\u202eman"
    await plane.store.write(
        lambda tx: tx.update(balancer["id"], {**tx.get("load_balancer", balancer["id"]).spec, "name": old})  # type: ignore[union-attr]
    )
    url = f"/lbaas/loadbalancers/{balancer['id']}"
    changed = await plane.call("PUT", url, {"loadbalancer": {"description": "new"}}, wait=10)
    assert (changed.status, changed.body["loadbalancer"]["description"]) == (200, "new")
    again = await plane.call("PUT", url, {"loadbalancer": {"name": old}})
    assert (again.status, again.violations[0][0]) == (400, ("name",))
    assert (await plane.call("PUT", url, {"loadbalancer": {"name": "good"}}, wait=10)).body["loadbalancer"][
        "name"
    ] == "good"


@pytest.mark.parametrize("none", ["", "  "])
async def test_empty_text_is_null(plane: Plane, none: str) -> None:
    balancer = await plane.balancer(vip_address=none, availability_zone=none, flavor_id=none, provider=none)
    url = f"/lbaas/loadbalancers/{balancer['id']}"
    same = await plane.call(
        "PUT", url, {"loadbalancer": {"vip_address": none, "vip_network_id": none, "provider": none}}, wait=10
    )
    assert (same.status, same.body["loadbalancer"]["vip_address"]) == (200, balancer["vip_address"])
    web = await plane.make(
        "listener", loadbalancer_id=balancer["id"], protocol="HTTP", protocol_port=80, default_pool_id=none
    )
    assert web["default_pool_id"] is None
    refused = await plane.call(
        "POST",
        "/lbaas/listeners",
        {"listener": {"loadbalancer_id": balancer["id"], "protocol": none, "protocol_port": 81}},
    )
    assert refused.violations == [(("protocol",), "is required")]
