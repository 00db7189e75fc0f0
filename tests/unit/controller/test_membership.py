# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from octavia_provider.controller.membership import Membership
from octavia_provider.ports import ControlPlane
from octavia_provider.store import open_store


async def test_each_learns_where_the_living_hear_the_amphorae(tmp_path: Path) -> None:
    now = [100.0]
    store = open_store(f"sqlite:///{tmp_path}/db", tmp_path / "key", clock=lambda: now[0])
    one, two = (Membership(ControlPlane(name=name)) for name in ("one", "two"))
    one.hears_at("10.0.0.1:1")
    two.hears_at("10.0.0.1:2")
    for member in (one, two, one):
        await store.write(lambda tx, member=member: member.stay(tx, 10))  # type: ignore[misc]
    assert one.receivers == ("10.0.0.1:1", "10.0.0.1:2")
    assert two.receivers == ("10.0.0.1:2", "10.0.0.1:1"), "its own comes first"
    one.changed.clear()
    await store.write(lambda tx: one.stay(tx, 10))
    assert not one.changed.is_set()
    now[0] += 11
    await store.write(lambda tx: one.stay(tx, 10))
    assert one.changed.is_set()
    assert one.receivers == ("10.0.0.1:1",), "who says nothing is left out"
    assert one.as_of == now[0]
    await store.write(one.leave)
    assert await store.read(lambda tx: [process.name for process in tx.control_planes()]) == ["two"]
    await store.close()
