# SPDX-License-Identifier: Apache-2.0
"""L7 policies and rules in the API: positions, what may go with what, what deleting does, one call for many."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from unit.api.settling import Plane

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
RULE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}
PROVIDER = str(uuid.UUID(int=5))


async def listener(plane: Plane, **values: Any) -> dict[str, Any]:
    balancer = await plane.balancer()
    return await plane.make(
        "listener", **{"loadbalancer_id": balancer["id"], "protocol": "HTTP", "protocol_port": 80, **values}
    )


async def policy(plane: Plane, where: dict[str, Any], name: str, position: int | None = None, **values: Any) -> Any:
    return await plane.make(
        "l7_policy", listener_id=where["id"], name=name, action="REJECT", position=position, **values
    )


async def order(plane: Plane, where: dict[str, Any]) -> list[tuple[str, int]]:
    answer = await plane.call("GET", f"/lbaas/l7policies?listener_id={where['id']}&sort=position")
    return [(p["name"], p["position"]) for p in answer.body["l7policies"]]


async def test_positions_are_kept_without_gaps_as_octavia_does(plane: Plane) -> None:
    web = await listener(plane)
    a, b = await policy(plane, web, "a"), await policy(plane, web, "b")
    await policy(plane, web, "c", 1)
    assert await order(plane, web) == [("c", 1), ("a", 2), ("b", 3)]
    await policy(plane, web, "d", 2)
    await policy(plane, web, "e", 77)
    assert await order(plane, web) == [("c", 1), ("d", 2), ("a", 3), ("b", 4), ("e", 5)]
    await plane.call("PUT", f"/lbaas/l7policies/{b['id']}", {"l7policy": {"position": 1}}, wait=10)
    assert await order(plane, web) == [("b", 1), ("c", 2), ("d", 3), ("a", 4), ("e", 5)]
    await plane.call("PUT", f"/lbaas/l7policies/{b['id']}", {"l7policy": {"position": None}}, wait=10)
    assert (await order(plane, web))[-1] == ("b", 5)
    await plane.call("DELETE", f"/lbaas/l7policies/{a['id']}", wait=10)
    assert await order(plane, web) == [("c", 1), ("d", 2), ("e", 3), ("b", 4)]
    shown = await plane.call("GET", f"/lbaas/listeners/{web['id']}")
    assert len(shown.body["listener"]["l7policies"]) == 4


@pytest.mark.parametrize("made", [(30, 20, 10), (10, 20, 30), (20, 30, 10), (3, 2, 1), (2, 1, 3)])
async def test_policies_of_a_program_stand_as_it_wrote_them(plane: Plane, made: tuple[int, ...]) -> None:
    """In whatever order the engine makes them; one that another client puts between stays where it put it."""
    web = await listener(plane)
    for position in made:
        spec = {"listener_id": web["id"], "name": str(position), "action": "REJECT", "position": position}
        answer = await plane.post("l7_policy", spec, owner={"provider": PROVIDER, "urn": f"urn:{position}"})
        assert answer.status == 201
        assert answer.body["l7policy"]["asked_position"] == position
    assert [name for name, _ in await order(plane, web)] == [str(p) for p in sorted(made)]
    await policy(plane, web, "x", 2)
    assert [name for name, _ in await order(plane, web)].index("x") == 1


async def test_a_pool_that_a_policy_redirects_to_stays(plane: Plane) -> None:
    web = await listener(plane)
    pool = await plane.make("pool", name="target", loadbalancer_id=web["loadbalancer_id"], **POOL)
    made = await plane.make(
        "l7_policy", listener_id=web["id"], name="p", action="REDIRECT_TO_POOL", redirect_pool_id=pool["id"]
    )
    url = f"/lbaas/pools/{pool['id']}"
    assert (await plane.call("GET", url)).body["pool"]["listeners"] == [{"id": web["id"]}]
    refused = await plane.call("DELETE", url)
    assert (refused.status, "L7 policy p redirects to it" in refused.body["faultstring"]) == (409, True)
    assert (await plane.call("PUT", url, {"pool": {"protocol": "TCP"}})).violations[0][0] == ("protocol",)
    changed = await plane.call(
        "PUT", f"/lbaas/l7policies/{made['id']}", {"l7policy": {"redirect_url": "http://a.b"}}, wait=10
    )
    shown = changed.body["l7policy"]
    assert (shown["action"], shown["redirect_pool_id"], shown["redirect_http_code"]) == ("REDIRECT_TO_URL", None, 302)
    assert (await plane.call("DELETE", url, wait=10)).status == 204


async def test_a_policy_has_fifty_rules_at_most__in_one_call_too(plane: Plane) -> None:
    web = await listener(plane)
    rules = [{**RULE, "value": f"/{n}"} for n in range(51)]
    answer = await plane.post("l7_policy", {"listener_id": web["id"], "action": "REJECT", "rules": rules})
    assert (answer.status, answer.violations[0][0]) == (400, ("rules", 50))
    assert await order(plane, web) == []
    made = await policy(plane, web, "p", rules=rules[:50])
    assert len(made["rules"]) == 50
    answer = await plane.post("l7_rule", {**RULE, "l7policy_id": made["id"]})
    assert "has 50 rules already" in answer.violations[0][1]
    first = f"/lbaas/l7policies/{made['id']}/rules/{made['rules'][0]['id']}"
    assert (await plane.call("PUT", first, {"rule": {"value": "/changed"}}, wait=10)).body["rule"][
        "value"
    ] == "/changed"
    assert (await plane.call("DELETE", first, wait=10)).status == 204
    assert (await plane.call("GET", first)).status == 404
    assert (await plane.post("l7_rule", {**RULE, "l7policy_id": made["id"]})).status == 201


async def test_one_call_for_all__with_the_same_checks(plane: Plane) -> None:
    network = await plane.make("local_network", name="net")
    policies = [
        {"name": "b", "position": 2, "action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "other"}, "rules": [RULE]},
        {
            "name": "a",
            "position": 1,
            "action": "REDIRECT_TO_POOL",
            "redirect_pool": {**POOL, "name": "own"},
            "rules": [RULE],
        },
    ]
    spec = {
        "name": "lb", "vip_network_id": network["id"], "pools": [{**POOL, "name": "other"}],
        "listeners": [{"name": "web", "protocol": "HTTP", "protocol_port": 80, "l7policies": policies}],
    }  # fmt: skip
    bad = {**policies[0], "rules": [RULE, {**RULE, "compare_type": "REGEX", "value": "("}]}
    answer = await plane.post("load_balancer", {**spec, "listeners": [{**spec["listeners"][0], "l7policies": [bad]}]})
    assert (answer.status, answer.violations[0][0]) == (400, ("listeners", 0, "l7policies", 0, "rules", 1, "value"))
    made = await plane.make("load_balancer", **spec)
    (web,) = made["listeners"]
    assert [(p["name"], p["position"], len(p["rules"])) for p in web["l7policies"]] == [("a", 1, 1), ("b", 2, 1)]
    tree = await plane.call("GET", f"/lbaas/loadbalancers/{made['id']}/status", X_Octavia_Form="model")
    (node,) = tree.body["statuses"]["loadbalancer"]["listeners"]
    assert [p["action"] for p in node["l7policies"]] == ["REDIRECT_TO_POOL"] * 2
    assert node["l7policies"][0]["rules"][0]["type"] == "PATH"
    assert sorted(p["name"] for p in node["pools"]) == ["other", "own"]
    assert (await plane.call("DELETE", f"/lbaas/listeners/{web['id']}", wait=10)).status == 204
    assert {r.kind for r in await plane.records()} == {"local_network", "load_balancer", "pool"}
