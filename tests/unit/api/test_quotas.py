# SPDX-License-Identifier: Apache-2.0
"""Quotas: Octavia's paths, and no create beyond the limit, however many come at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from octavia_provider.api.quotas import OLDER
from unit.api.settling import PROJECT, Answer, Plane

OWN = f"/lbaas/quotas/{PROJECT}"
KINDS = ("loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule")
POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}


async def limit(plane: Plane, **limits: Any) -> None:
    assert (await plane.call("PUT", OWN, {"quota": limits})).status == 200


def met(answer: Answer, what: str, limit_: int, *at: str | int, project: str = PROJECT) -> None:
    """Refused, and where many are made in one call, ``at`` the one that is too many."""
    assert answer.status == 403
    assert [path for path, _ in answer.violations] == ([at] if at else [])
    assert (
        f"Quota has been met for resources: {what} (project {project} may have {limit_})" in answer.body["faultstring"]
    )


@pytest.mark.covers("quota.project_id")
async def test_show_set_reset(plane: Plane) -> None:
    plane.held.clear()
    defaults = (await plane.call("GET", "/lbaas/quotas/defaults")).body["quota"]
    assert defaults == dict.fromkeys((*KINDS, *OLDER), -1)
    assert (await plane.call("GET", "/lbaas/quotas")).body == {"quotas": [], "quotas_links": []}
    assert defaults.items() <= (await plane.call("GET", OWN)).body["quota"].items()
    hexadecimal = "0123456789abcdef0123456789abcdef"
    for project in ("demo", hexadecimal):
        put = await plane.call("PUT", f"/lbaas/quotas/{project}", {"quota": {"pool": 7, "project_id": "other"}})
        assert {**defaults, "pool": 7, "project_id": project, "id": project}.items() <= put.body["quota"].items()
    put = await plane.call("PUT", "/lbaas/quotas/demo", {"quota": {"listener": 3}})
    assert (put.body["quota"]["pool"], put.body["quota"]["listener"]) == (7, 3)
    put = await plane.call("PUT", "/lbaas/quotas/demo", {"quota": {"pool": None}})
    assert (put.body["quota"]["pool"], put.body["quota"]["listener"]) == (-1, 3)
    listed = (await plane.call("GET", "/lbaas/quotas")).body["quotas"]
    assert [q["project_id"] for q in listed] == [hexadecimal, "demo"]
    assert (await plane.call("GET", "/lbaas/quotas?project_id=demo")).body["quotas"] == listed[1:]
    for _ in range(2):
        assert (await plane.call("DELETE", "/lbaas/quotas/demo")).status == 204
    assert defaults.items() <= (await plane.call("GET", "/lbaas/quotas/demo")).body["quota"].items()
    wrong = await plane.call("PUT", "/lbaas/quotas/demo", {"quota": {"pool": -2, "member": 2_000_000_001, "x": 1}})
    assert {path for path, _ in wrong.violations} == {("pool",), ("member",), ("x",)}


async def test_two_limits_have_an_older_spelling(plane: Plane) -> None:
    put = await plane.call("PUT", OWN, {"quota": {"load_balancer": 3, "health_monitor": 4}})
    both = {"loadbalancer": 3, "load_balancer": 3, "healthmonitor": 4, "health_monitor": 4}
    assert both.items() <= put.body["quota"].items()
    put = await plane.call("PUT", OWN, {"quota": {"load_balancer": "6", "loadbalancer": 6}})
    assert (put.body["quota"]["load_balancer"], put.body["quota"]["healthmonitor"]) == (6, 4)
    for older in (-5, 5, None):
        both = {"load_balancer": older, "loadbalancer": 6, "health_monitor": -5, "healthmonitor": -6, "pool": "x"}
        wrong = await plane.call("PUT", OWN, {"quota": both})
        names = ("load_balancer", "health_monitor", "healthmonitor", "pool")
        assert (wrong.status, sorted(path for path, _ in wrong.violations)) == (400, sorted((n,) for n in names))
    assert (await plane.call("GET", OWN)).body["quota"]["loadbalancer"] == 6
    wrong = await plane.call("PUT", OWN, {"quota": {"health_monitor": -2, "loadbalancer": "x", "y": 1}})
    assert {path for path, _ in wrong.violations} == {("health_monitor",), ("loadbalancer",), ("y",)}


async def test_a_balancer_is_made_for_the_project_that_is_given_and_counts_there(plane: Plane) -> None:
    network = (await plane.make("local_network"))["id"]
    assert (await plane.call("PUT", "/lbaas/quotas/other", {"quota": {"member": 1, "loadbalancer": 2}})).status == 200
    pool = {"name": "p", **POOL, "members": [{"address": "10.1.0.9", "protocol_port": 80, "project_id": "nobody's"}]}
    lb = await plane.make(
        "load_balancer", vip_network_id=network, project_id="other", tenant_id="ignored", pools=[pool]
    )
    assert (lb["project_id"], lb["pools"][0]["members"][0]["project_id"]) == ("other", "other")
    member = {"pool_id": lb["pools"][0]["id"], "address": "10.1.0.10", "protocol_port": 80}
    met(await plane.post("member", member), "member", 1, project="other")
    batch = {"members": [member, {**member, "protocol_port": 81}]}
    full = await plane.call("PUT", f"/lbaas/pools/{member['pool_id']}/members", batch)
    met(full, "member", 1, "members", 1, project="other")
    older = await plane.make("load_balancer", vip_network_id=network, tenant_id="other")
    assert older["project_id"] == "other"
    met(
        await plane.post("load_balancer", {"vip_network_id": network, "project_id": "other"}),
        "load balancer",
        2,
        project="other",
    )
    own = await plane.make("load_balancer", vip_network_id=network, project_id=None)
    assert own["project_id"] == PROJECT
    listed = (await plane.call("GET", "/lbaas/loadbalancers?project_id=other")).body["loadbalancers"]
    assert [one["id"] for one in listed] == [lb["id"], older["id"]]
    for name, wrong in (("project_id", 5), ("tenant_id", "a/b"), ("project_id", "x" * 65)):
        refused = await plane.post("load_balancer", {"vip_network_id": network, name: wrong})
        assert (refused.status, [path for path, _ in refused.violations]) == (400, [(name,)])


async def test_fifty_at_once_at_a_limit_of_ten_make_ten(plane: Plane) -> None:
    lb = await plane.balancer()
    await limit(plane, listener=10)
    spec = {"loadbalancer_id": lb["id"], "protocol": "TCP"}
    posts = [plane.post("listener", {**spec, "protocol_port": port}, wait=None) for port in range(1, 51)]
    answers = await asyncio.gather(*posts)
    assert Counter(a.status for a in answers) == {201: 10, 403: 40}
    met(next(a for a in answers if a.status == 403), "listener", 10)
    made = (await plane.call("GET", "/lbaas/listeners")).body["listeners"]
    assert len(made) == 10
    # one that is being deleted leaves its place
    plane.held.clear()
    assert (await plane.call("DELETE", f"/lbaas/listeners/{made[0]['id']}")).status == 204
    assert (await plane.post("listener", {**spec, "protocol_port": 99}, wait=None)).status == 201
    met(await plane.post("listener", {**spec, "protocol_port": 98}, wait=None), "listener", 10)


@pytest.mark.covers(
    "quota.loadbalancer", "quota.listener", "quota.pool", "quota.member", "quota.healthmonitor", "quota.l7policy",
    "quota.l7rule",
)  # fmt: skip
async def test_every_kind_has_its_limit(plane: Plane) -> None:
    lb = await plane.balancer()
    pool = await plane.make("pool", loadbalancer_id=lb["id"], **POOL)
    network = (await plane.call("GET", "/local/networks")).body["networks"][0]["id"]
    web = await plane.make("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    policy = await plane.make("l7_policy", listener_id=web["id"], action="REJECT")
    await limit(plane, loadbalancer=1, pool=1, member=0, healthmonitor=0, listener=0, l7policy=1, l7rule=0)
    met(await plane.post("l7_policy", {"listener_id": web["id"], "action": "REJECT"}), "L7 policy", 1)
    rule = {"l7policy_id": policy["id"], "type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
    met(await plane.post("l7_rule", rule), "L7 rule", 0)
    met(await plane.post("load_balancer", {"vip_network_id": network}), "load balancer", 1)
    met(await plane.post("pool", {"loadbalancer_id": lb["id"], **POOL}), "pool", 1)
    met(await plane.post("member", {"pool_id": pool["id"], "address": "10.1.0.9", "protocol_port": 80}), "member", 0)
    met(await plane.post("health_monitor", {"pool_id": pool["id"], **MONITOR}), "health monitor", 0)
    met(
        await plane.post("listener", {"loadbalancer_id": lb["id"], "protocol": "TCP", "protocol_port": 1}),
        "listener",
        0,
    )
    await plane.make("local_network")  # of which there may be any number
    assert (await plane.call("DELETE", OWN)).status == 204
    await plane.make("load_balancer", vip_network_id=network)


async def test_a_call_that_makes_many_makes_all_or_nothing(plane: Plane) -> None:
    network = await plane.make("local_network")
    members = [{"address": f"10.1.0.{n}", "protocol_port": 80} for n in range(10, 14)]
    body = {
        "vip_network_id": network["id"],
        "pools": [{"name": "one", **POOL, "members": members[:2]}, {"name": "two", **POOL, "members": members[2:]}],
    }
    await limit(plane, member=3)
    before = await plane.records()
    met(await plane.post("load_balancer", body), "member", 3, "pools", 1, "members", 1)
    assert await plane.records() == before
    await limit(plane, member=4)
    lb = (await plane.post("load_balancer", body)).body["loadbalancer"]
    met(await plane.post("member", {"pool_id": lb["pools"][0]["id"], **members[3]}), "member", 4)


async def test_a_batch_counts_what_stays_and_what_comes(plane: Plane) -> None:
    lb = await plane.balancer()
    pool = await plane.make("pool", loadbalancer_id=lb["id"], **POOL)
    await limit(plane, member=3)
    url = f"/lbaas/pools/{pool['id']}/members"

    async def batch(*numbers: int, more: str = "") -> Answer:
        named = [{"address": f"10.1.0.{n}", "protocol_port": 80} for n in numbers]
        return await plane.call("PUT", url + more, {"members": named}, wait=10)

    assert (await batch(10, 11, 12)).status == 200
    met(await batch(10, 11, 12, 13), "member", 3, "members", 3)
    assert (await batch(12, 13, 14)).status == 200  # those that go make room
    met(await batch(15, more="?additive_only=true"), "member", 3, "members", 0)
    found = (await plane.call("GET", url)).body["members"]
    assert sorted(m["address"] for m in found) == ["10.1.0.12", "10.1.0.13", "10.1.0.14"]
