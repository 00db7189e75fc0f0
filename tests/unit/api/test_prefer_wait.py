# SPDX-License-Identifier: Apache-2.0
"""``Prefer: wait``: the answer comes when the object itself is at rest."""

from __future__ import annotations

import asyncio
from typing import Any

from octavia_provider.model import statuses
from octavia_provider.ports import Record, Settlement, Transaction
from unit.api.settling import PROJECT, Plane

REJECT = {"action": "REJECT", "position": 1}


async def listening(plane: Plane) -> dict[str, Any]:
    lb = await plane.balancer()
    return await plane.make("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)


async def until(plane: Plane, name: str) -> Record:
    async with asyncio.timeout(30), plane.store.watch() as watch:
        while True:
            found = [r for r in await plane.records() if r.spec.get("name") == name]
            if found:
                return found[0]
            await watch.changed()


async def test_who_waits_goes_on_where_a_sibling_wrote_the_object_again(plane: Plane) -> None:
    listener = (await listening(plane))["id"]
    plane.held.clear()
    waiting = asyncio.create_task(plane.post("l7_policy", {"name": "a", "listener_id": listener, **REJECT}, wait=20))
    first = await until(plane, "a")
    await plane.make_pending("l7_policy", name="b", listener_id=listener, **REJECT)
    assert (await until(plane, "a")).generation > first.generation, "it made room"

    def settle(tx: Transaction) -> None:
        good = {first.id: first.spec}
        tx.settle(Settlement(scope_id=first.scope_id, generation=first.generation, accepted=good))

    await plane.store.write(settle)
    reading = asyncio.create_task(plane.call("GET", f"/lbaas/l7policies/{first.id}", wait=20))
    done, _ = await asyncio.wait({waiting, reading}, timeout=0.3)
    assert not done, "it is pending, and time is left"
    plane.held.set()
    answer = await waiting
    assert (answer.status, answer.body["l7policy"]["provisioning_status"]) == (201, statuses.ACTIVE)
    assert (await reading).body["l7policy"]["provisioning_status"] == statuses.ACTIVE


async def test_a_load_balancer_is_pending_while_anything_in_it_is_but_not_to_who_waits_for_it(plane: Plane) -> None:
    listener = await listening(plane)
    url = f"/lbaas/loadbalancers/{listener['loadbalancer_id']}"
    changes: list[tuple[str, str, Any]] = [
        ("PUT", f"/lbaas/listeners/{listener['id']}", {"listener": {"description": "changed"}}),
        ("POST", "/lbaas/l7policies", {"l7policy": {"listener_id": listener["id"], **REJECT}}),
        ("DELETE", f"/lbaas/listeners/{listener['id']}", None),
    ]
    for method, path, body in changes:
        plane.held.clear()
        assert (await plane.call(method, path, body)).status < 300
        (listed,) = (await plane.call("GET", "/lbaas/loadbalancers?provisioning_status=PENDING_UPDATE")).body[
            "loadbalancers"
        ]
        shown = (await plane.call("GET", url)).body["loadbalancer"]
        tree = (await plane.call("GET", f"{url}/status")).body["statuses"]["loadbalancer"]
        assert [one["provisioning_status"] for one in (listed, shown, tree)] == [statuses.PENDING_UPDATE] * 3, method
        owned = await plane.call("GET", url, None, **{"X-Octavia-Owner": f"{PROJECT} urn"})
        assert owned.body["loadbalancer"]["provisioning_status"] == statuses.ACTIVE
        async with asyncio.timeout(15):
            for answer in (
                await plane.call("GET", url, wait=20),
                await plane.call("PUT", url, {"loadbalancer": {}}, wait=20),
            ):
                assert (answer.status, answer.body["loadbalancer"]["provisioning_status"]) == (200, statuses.ACTIVE)
        plane.held.set()
        await plane.call("GET", path if method == "PUT" else f"/lbaas/listeners/{listener['id']}", wait=10)
        async with asyncio.timeout(30), plane.store.watch() as watch:
            while (await plane.call("GET", url)).body["loadbalancer"]["provisioning_status"] != statuses.ACTIVE:
                await watch.changed()


async def test_policies_at_one_position_side_by_side_are_all_answered_settled(plane: Plane) -> None:
    listener = (await listening(plane))["id"]
    posts = [plane.post("l7_policy", {"name": f"p{i}", "listener_id": listener, **REJECT}, wait=20) for i in range(4)]
    answers = await asyncio.gather(*posts)
    assert [(a.status, a.body["l7policy"]["provisioning_status"]) for a in answers] == [(201, statuses.ACTIVE)] * 4
