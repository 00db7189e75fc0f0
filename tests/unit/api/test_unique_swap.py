# SPDX-License-Identifier: Apache-2.0
"""Objects that change places: each wants what another has, and at no time do two have the same."""

from __future__ import annotations

import asyncio
from typing import Any

from unit.api.settling import Answer, Plane

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}


async def listeners(plane: Plane, *ports: int) -> list[str]:
    lb = await plane.balancer()
    made = [
        await plane.make("listener", name=f"p{port}", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=port)
        for port in ports
    ]
    return [listener["id"] for listener in made]


async def to(plane: Plane, id_: str, port: int, wait: float | None = 10) -> Answer:
    return await plane.call("PUT", f"/lbaas/listeners/{id_}", {"listener": {"protocol_port": port}}, wait=wait)


async def waiting(plane: Plane, work: Any) -> asyncio.Task[Answer]:
    """A PUT that stands and waits; when this returns, the control plane has it."""
    plane.busy.clear()
    task = asyncio.ensure_future(work)
    await plane.busy.wait()
    await plane.records()  # its first try went to the store before this
    return task


async def ports(plane: Plane) -> list[int]:
    found = (await plane.call("GET", "/lbaas/listeners")).body["listeners"]
    assert {listener["provisioning_status"] for listener in found} == {"ACTIVE"}
    return [listener["protocol_port"] for listener in found]


async def test_two_listeners_swap_their_ports(plane: Plane) -> None:
    a, b = await listeners(plane, 80, 81)
    answers = await asyncio.gather(to(plane, a, 81), to(plane, b, 80))
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.body["listener"]["protocol_port"] for answer in answers] == [81, 80]
    assert await ports(plane) == [81, 80]


async def test_a_ring_of_three_and_one_that_follows_it(plane: Plane) -> None:
    a, b, c, d = await listeners(plane, 1, 2, 3, 4)
    answers = await asyncio.gather(to(plane, a, 2), to(plane, b, 3), to(plane, c, 1))
    assert [answer.status for answer in answers] == [200] * 3
    assert await ports(plane) == [2, 3, 1, 4]
    answers = await asyncio.gather(to(plane, a, 3), to(plane, b, 4), to(plane, d, 5))  # a queue: the last goes first
    assert [answer.status for answer in answers] == [200] * 3
    assert await ports(plane) == [3, 4, 1, 5]


async def test_one_that_is_deleted_gives_its_port_to_who_waits(plane: Plane) -> None:
    a, b = await listeners(plane, 80, 81)
    moved = await waiting(plane, to(plane, a, 81))
    assert (await plane.call("DELETE", f"/lbaas/listeners/{b}", wait=10)).status == 204
    assert (await moved).status == 200
    assert await ports(plane) == [81]


async def test_where_nobody_moves_it_is_a_conflict(plane: Plane) -> None:
    a, _ = await listeners(plane, 80, 81)
    for wait in (None, 0.3):
        answer = await to(plane, a, 81, wait)
        assert (answer.status, answer.violations[0][0]) == (409, ("protocol_port",))
        assert "taken on this load balancer by listener p81" in answer.body["faultstring"]
    assert await ports(plane) == [80, 81]


async def test_if_one_of_the_ring_is_refused_none_is_changed(plane: Plane) -> None:
    a, b = await listeners(plane, 80, 81)
    pool = await plane.make("pool", listener_id=a, **POOL)
    tcp = await plane.make("pool", loadbalancer_id=pool["loadbalancer_id"], **{**POOL, "protocol": "TCP"})
    first = await waiting(plane, to(plane, a, 81))
    bad = {"protocol_port": 80, "default_pool_id": tcp["id"]}
    second = await plane.call("PUT", f"/lbaas/listeners/{b}", {"listener": bad}, wait=0.5)
    assert (second.status, second.violations[0][0]) == (400, ("default_pool_id",))
    good = await to(plane, b, 80)
    assert ((await first).status, good.status) == (200, 200)
    assert await ports(plane) == [81, 80]


async def test_members_change_places_too(plane: Plane) -> None:
    lb = await plane.balancer()
    pool = await plane.make("pool", loadbalancer_id=lb["id"], **POOL)
    url = f"/lbaas/pools/{pool['id']}/members"
    one, two = [
        await plane.make("member", pool_id=pool["id"], address=f"10.1.0.{n}", protocol_port=80) for n in (10, 11)
    ]
    answers = await asyncio.gather(
        plane.call("PUT", f"{url}/{one['id']}", {"member": {"address": "10.1.0.11"}}, wait=10),
        plane.call("PUT", f"{url}/{two['id']}", {"member": {"address": "10.1.0.10"}}, wait=10),
    )
    assert [answer.status for answer in answers] == [200, 200]
    found = (await plane.call("GET", url)).body["members"]
    assert [(m["id"], m["address"]) for m in found] == [(one["id"], "10.1.0.11"), (two["id"], "10.1.0.10")]


async def test_what_was_exchanged_is_unique_afterwards(plane: Plane) -> None:
    a, b = await listeners(plane, 80, 81)
    await asyncio.gather(to(plane, a, 81), to(plane, b, 80))
    for id_, port in ((a, 80), (b, 81)):
        assert (await to(plane, id_, port, None)).status == 409
