# SPDX-License-Identifier: Apache-2.0
"""What is nested in a POST: how pools are named in it, what it may not say, and in whose words it is refused."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from octavia_provider.api.graph_create import create_requests
from octavia_provider.model.errors import Invalid
from unit.api import settling
from unit.api.settling import PROJECT, Plane

SOMETHING = str(uuid.UUID(int=7))
POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MEMBER = {"address": "10.1.0.7", "protocol_port": 80}
MONITOR = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
WEB = {"protocol": "HTTP", "protocol_port": 80}
TO_POOL = {"action": "REDIRECT_TO_POOL"}
RULE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/a"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unchanged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Plane, str]]:
    """One control plane, and a network in it, for all that is refused."""
    async with settling.plane(Path(tmp_path_factory.mktemp("orders"))) as plane:
        yield plane, (await plane.make("local_network"))["id"]


async def test_a_pool_is_named_wherever_it_stands_in_the_request(plane: Plane) -> None:
    network = (await plane.make("local_network"))["id"]
    first = {
        **WEB,
        "l7policies": [{**TO_POOL, "redirect_pool": {"name": "own"}}, {**TO_POOL, "redirect_pool": {"name": "late"}}],
    }
    second = {**WEB, "protocol_port": 81, "default_pool": {**POOL, "name": "own"}}
    third = {**WEB, "protocol_port": 82, "l7policies": [{**TO_POOL, "redirect_pool": {**POOL, "name": "late"}}]}
    made = await plane.make("load_balancer", vip_network_id=network, listeners=[first, second, third])
    ids = {pool["name"]: pool["id"] for pool in made["pools"]}
    assert [p["redirect_pool_id"] for p in made["listeners"][0]["l7policies"]] == [ids["own"], ids["late"]]
    assert made["listeners"][1]["default_pool_id"] == ids["own"]
    alone = {
        **first,
        "protocol_port": 83,
        "default_pool": {**POOL, "name": "own"},
        "l7policies": first["l7policies"][:1],
    }
    listener = await plane.make("listener", loadbalancer_id=made["id"], **alone)
    (policy,) = (await plane.call("GET", f"/lbaas/l7policies?listener_id={listener['id']}")).body["l7policies"]
    assert policy["redirect_pool_id"] == listener["default_pool_id"] != ids["own"]


def _pools(*pools: Any) -> dict[str, Any]:
    return {
        "pools": [{**POOL, "name": f"p{i}", **pool} if isinstance(pool, dict) else pool for i, pool in enumerate(pools)]
    }


def _web(**more: Any) -> dict[str, Any]:
    return {"listeners": [{**WEB, **more}]}


def _policy(**more: Any) -> dict[str, Any]:
    return _web(l7policies=[{"action": "REJECT", **more}])


POLICY = ("listeners", 0, "l7policies", 0)
NO_PARENT = "belong to what they stand in"
NOT_NAMED = "must be the name of a pool"
REFUSED: list[tuple[dict[str, Any], list[tuple[tuple[Any, ...], str]]]] = [
    # the names of pools
    (_pools({"name": "a"}, {"name": "a"}), [(("pools", 1, "name"), "'a' is the name of pools[0] too")]),
    ({**_pools({"name": "a"}), **_web(default_pool={**POOL, "name": "a"})},
     [(("listeners", 0, "default_pool", "name"), "'a' is the name of pools[0] too")]),
    (_pools({"name": ""}, {"name": None}), [(("pools", 0, "name"), "is required"), (("pools", 1, "name"), "is required")]),
    (_web(default_pool=POOL), [(("listeners", 0, "default_pool", "name"), "is required")]),
    (_web(default_pool={"name": "a"}), [(("listeners", 0, "default_pool", "name"), "no pool of this request has the name 'a'")]),
    (_web(default_pool={"name": None}), [(("listeners", 0, "default_pool", "name"), NOT_NAMED)]),
    (_web(default_pool={"name": 3}), [(("listeners", 0, "default_pool", "name"), NOT_NAMED)]),
    (_policy(**TO_POOL, redirect_pool={"name": "a"}), [((*POLICY, "redirect_pool", "name"), "no pool of this request")]),
    # parents
    (_web(loadbalancer_id=SOMETHING), [(("listeners", 0, "loadbalancer_id"), NO_PARENT)]),
    (_pools({"loadbalancer_id": SOMETHING}), [(("pools", 0, "loadbalancer_id"), NO_PARENT)]),
    (_pools({"listener_id": SOMETHING}), [(("pools", 0, "listener_id"), NO_PARENT)]),
    (_pools({"members": [{**MEMBER, "pool_id": SOMETHING}]}), [(("pools", 0, "members", 0, "pool_id"), NO_PARENT)]),
    (_pools({"healthmonitor": {**MONITOR, "pool_id": SOMETHING}}), [(("pools", 0, "healthmonitor", "pool_id"), NO_PARENT)]),
    (_policy(listener_id=SOMETHING), [((*POLICY, "listener_id"), NO_PARENT)]),
    (_policy(rules=[{**RULE, "l7policy_id": SOMETHING}]), [((*POLICY, "rules", 0, "l7policy_id"), NO_PARENT)]),
    (_web(default_pool={**POOL, "name": "a", "listener_id": SOMETHING}), [(("listeners", 0, "default_pool", "listener_id"), NO_PARENT)]),
    ({**_pools({}), **_web(default_pool={"name": "p0"}, default_pool_id=SOMETHING)},
     [(("listeners", 0, "default_pool_id"), "does not go with default_pool")]),
    ({**_pools({}), **_policy(**TO_POOL, redirect_pool={"name": "p0"}, redirect_pool_id=SOMETHING)},
     [((*POLICY, "redirect_pool_id"), "does not go with redirect_pool")]),
    # shapes, and nothing else of what has none
    (_pools(3), [(("pools", 0), "must be an object")]),
    ({"listeners": ["x", None]}, [(("listeners", 0), "must be an object"), (("listeners", 1), "must be an object")]),
    ({"listeners": {}}, [(("listeners",), "must be a list")]),
    ({"pools": ""}, [(("pools",), "must be a list")]),
    (_pools({"members": [[]]}), [(("pools", 0, "members", 0), "must be an object")]),
    (_pools({"healthmonitor": []}), [(("pools", 0, "healthmonitor"), "must be an object")]),
    (_web(default_pool=5), [(("listeners", 0, "default_pool"), "must be an object")]),
    (_policy(**TO_POOL, redirect_pool=False), [((*POLICY, "redirect_pool"), "must be an object")]),
    # words
    (_policy(**TO_POOL), [((*POLICY, "redirect_pool"), "is required with REDIRECT_TO_POOL")]),
    (_web(default_pool_id=SOMETHING), [(("listeners", 0, "default_pool_id"), f"pool {SOMETHING} does not exist on load balancer of this")]),
    ({"name": "lb", **_web(default_pool_id=SOMETHING)}, [(("listeners", 0, "default_pool_id"), "not exist on load balancer lb")]),
    (_web(protocol="TCP", l7policies=[{"action": "REJECT"}]), [(POLICY, "an L7 policy (listeners[0].l7policies[0])")]),
    ({"listeners": [WEB, WEB]}, [(("listeners", 1, "protocol_port"), "by listener listeners[0]")]),
    ({"vip_network_id": "x", **_web(default_pool={**POOL, "name": "a"})}, [(("vip_network_id",), "is not a UUID")]),
]  # fmt: skip


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("body", "expected"), REFUSED)
async def test_it_is_refused_in_the_words_of_the_request(
    unchanged: tuple[Plane, str], body: dict[str, Any], expected: list[tuple[tuple[Any, ...], str]]
) -> None:
    plane, network = unchanged
    answer = await plane.post("load_balancer", {"vip_network_id": network, **body})
    assert answer.status in (400, 409), answer.body
    assert [path for path, _ in answer.violations] == [path for path, _ in expected]
    for (_, message), (_, words) in zip(answer.violations, expected, strict=True):
        assert words in message
    assert set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", answer.body["faultstring"])) <= {SOMETHING}
    assert len(await plane.records()) == 1


def test_a_parent_that_is_no_id_is_refused_once() -> None:
    listener = {**WEB, "loadbalancer_id": "x", "default_pool": {**POOL, "members": [MEMBER]}}
    with pytest.raises(Invalid) as refused:
        create_requests("listener", listener, PROJECT)
    assert [v.path for v in refused.value.violations] == [("loadbalancer_id",)]
