# SPDX-License-Identifier: Apache-2.0
"""What null means in a PUT: no pool, no reference, the default; and what is read as Octavia reads it."""

from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.model.kinds import BALANCER_KINDS, KINDS
from octavia_provider.model.metadata import inputs
from unit.api.settling import WORDS, Plane

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
NEVER_NULL = {"lb_algorithm", "protocol", "protocol_port", "address", "type", "delay", "timeout", "max_retries", "action",
              "compare_type", "value"}  # fmt: skip


async def change(plane: Plane, kind: str, shown: dict[str, Any], **values: Any) -> dict[str, Any]:
    answer = await plane.call("PUT", f"{plane.place(kind, shown)}/{shown['id']}", {WORDS[kind]: values}, wait=10)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.body[WORDS[kind]]
    return found


async def web(plane: Plane) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A load balancer, a listener and the pool that names it."""
    lb = await plane.balancer()
    listener = await plane.make("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    return lb, listener, await plane.make("pool", name="first", listener_id=listener["id"], **POOL)


async def default_pool(plane: Plane, listener: dict[str, Any]) -> Any:
    return (await plane.call("GET", f"/lbaas/listeners/{listener['id']}")).body["listener"]["default_pool_id"]


@pytest.mark.parametrize("none", [None, ""])
async def test_null_is_no_pool_though_one_names_the_listener(plane: Plane, none: str | None) -> None:
    _, listener, pool = await web(plane)
    assert (await change(plane, "listener", listener, default_pool_id=none))["default_pool_id"] is None
    shown = (await plane.call("GET", f"/lbaas/pools/{pool['id']}")).body["pool"]
    assert shown["listeners"] == []
    assert (await change(plane, "listener", listener, name="x"))["default_pool_id"] is None, "it stays so"
    assert (await change(plane, "pool", pool, name="y"))["listeners"] == []
    assert (await change(plane, "listener", listener, default_pool_id=pool["id"]))["default_pool_id"] == pool["id"]
    assert (await change(plane, "listener", listener, name="z"))["default_pool_id"] == pool["id"]


async def test_after_another_pool_null_brings_nothing_back(plane: Plane) -> None:
    lb, listener, first = await web(plane)
    second = await plane.make("pool", name="second", loadbalancer_id=lb["id"], **POOL)
    await change(plane, "listener", listener, default_pool_id=second["id"])
    assert (await change(plane, "pool", first, description="still there"))["listeners"] == []
    assert (await change(plane, "listener", listener, default_pool_id=None))["default_pool_id"] is None
    third = await plane.make("pool", name="third", listener_id=listener["id"], **POOL)
    assert await default_pool(plane, listener) == third["id"], "a new pool may name it"
    taken = await plane.post("pool", {"listener_id": listener["id"], **POOL})
    assert taken.status == 400
    await plane.call("DELETE", f"/lbaas/pools/{third['id']}", wait=10)
    assert await default_pool(plane, listener) is None


async def test_a_pool_that_goes_brings_no_other_back(plane: Plane) -> None:
    lb, listener, _ = await web(plane)
    second = await plane.make("pool", name="second", loadbalancer_id=lb["id"], **POOL)
    await change(plane, "listener", listener, default_pool_id=second["id"])
    await plane.call("DELETE", f"/lbaas/pools/{second['id']}", wait=10)
    assert await default_pool(plane, listener) is None


async def test_the_protocol_of_a_pool_that_was_let_go_is_nobody_s_business(plane: Plane) -> None:
    _, listener, pool = await web(plane)
    await change(plane, "listener", listener, default_pool_id=None)
    assert (await change(plane, "pool", pool, protocol="TCP"))["protocol"] == "TCP"
    assert (await change(plane, "listener", listener, name="x"))["default_pool_id"] is None


async def test_null_where_there_is_no_pool_writes_nothing(plane: Plane) -> None:
    lb = await plane.balancer()
    listener = await plane.make("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
    before = {r.id: r.generation for r in await plane.records()}
    await change(plane, "listener", listener, default_pool_id=None)
    assert {r.id: r.generation for r in await plane.records()} == before


@pytest.mark.parametrize("kind", BALANCER_KINDS)
async def test_null_puts_every_attribute_back_to_its_default(plane: Plane, kind: str) -> None:
    lb, listener, pool = await web(plane)
    policy = {"listener_id": listener["id"], "action": "REJECT"}
    made = {
        "load_balancer": lb, "listener": listener, "pool": pool,
        "member": await plane.make("member", pool_id=pool["id"], address="10.0.0.9", protocol_port=80, weight=7),
        "health_monitor": await plane.make("health_monitor", pool_id=pool["id"], **MONITOR, max_retries_down=5),
        "l7_policy": (rejecting := await plane.make("l7_policy", **policy)),
        "l7_rule": await plane.make(
            "l7_rule", l7policy_id=rejecting["id"], type="PATH", compare_type="EQUAL_TO", value="/a", invert=True
        ),
    }[kind]  # fmt: skip
    for name, attribute in inputs(KINDS[kind]).items():
        if attribute.replaces or name in {*NEVER_NULL, "default_pool_id", "position"}:
            continue
        shown = await change(plane, kind, made, **{name: None})
        default = list(attribute.default) if isinstance(attribute.default, tuple) else attribute.default
        empty = attribute.null if attribute.null is not None else default
        assert shown[name] == empty or shown[name] in (None, "GET", "/", "200"), name


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"action": "REJECT", "redirect_url": "http://a.example"}, {"action": "REJECT", "redirect_url": None}),
        ({"action": "REJECT", "redirect_http_code": 302}, {"redirect_http_code": None}),
        (
            {"action": "REJECT", "redirect_prefix": "http://a.example"},
            {"action": "REDIRECT_PREFIX", "redirect_http_code": 302},
        ),
        (
            {"action": "REDIRECT_TO_URL", "redirect_url": "http://a.example", "redirect_prefix": "http://b.example"},
            {"action": "REDIRECT_TO_URL", "redirect_prefix": None},
        ),
    ],
)
async def test_a_policy_is_read_as_octavia_reads_it(plane: Plane, given: dict[str, Any], shown: dict[str, Any]) -> None:
    _, listener, _ = await web(plane)
    made = await plane.make("l7_policy", listener_id=listener["id"], **given)
    assert {name: made[name] for name in shown} == shown
    rejecting = await plane.make("l7_policy", listener_id=listener["id"], action="REJECT")
    changed = await change(plane, "l7_policy", rejecting, **given)
    assert {name: changed[name] for name in shown} == shown


async def test_a_persistence_without_a_type_keeps_it(plane: Plane) -> None:
    lb = await plane.balancer()
    persistence = {"type": "SOURCE_IP", "persistence_timeout": 5}
    made = await plane.make(
        "pool", loadbalancer_id=lb["id"], protocol="UDP", lb_algorithm="ROUND_ROBIN", session_persistence=persistence
    )
    shown = await change(plane, "pool", made, session_persistence={"persistence_timeout": 7})
    assert shown["session_persistence"] == {**made["session_persistence"], "persistence_timeout": 7}
    assert (await change(plane, "pool", made, session_persistence={}))["session_persistence"] is None
