# SPDX-License-Identifier: Apache-2.0
"""What the store is told for one change does not depend on how much there is beside it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from unit.api.settling import Plane


async def test_a_change_costs_the_same_among_three_members_and_among_three_hundred(plane: Plane) -> None:
    lb = (await plane.balancer())["id"]
    few, many = [
        (await plane.make("pool", name=str(count), loadbalancer_id=lb, protocol="HTTP", lb_algorithm="ROUND_ROBIN"), count)
        for count in (3, 300)
    ]  # fmt: skip
    for pool, count in (few, many):
        members = [{"address": f"10.9.{i // 250}.{i % 250 + 1}", "protocol_port": 80} for i in range(count)]
        await plane.call("PUT", f"/lbaas/pools/{pool['id']}/members", {"members": members}, wait=20)
    assert await statements(plane, few[0]["id"]) == await statements(plane, many[0]["id"])


async def statements(plane: Plane, pool_id: str) -> list[str]:
    """What the store is told to add a member, to change and to delete it, and to settle that."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SAVEPOINT" not in statement:
            found.append(statement)

    engine = plane.store._engines[0]  # that of the writes
    plane.held.clear()  # settling comes when we say
    event.listen(engine, "before_cursor_execute", note)
    spec = {"pool_id": pool_id, "address": "10.99.0.1", "protocol_port": 80}
    made = (await plane.post("member", spec, wait=None)).body["member"]
    url = f"/lbaas/pools/{pool_id}/members/{made['id']}"
    for method, body in (("PUT", {"member": {"weight": 3}}), ("DELETE", None)):
        await plane.store.write(plane._settle_all)
        assert (await plane.call(method, url, body)).status < 300
    await plane.store.write(plane._settle_all)
    event.remove(engine, "before_cursor_execute", note)
    plane.held.set()
    return found
