# SPDX-License-Identifier: Apache-2.0
"""Events: recorded with what follows from them, folded, found, forgotten; on both databases."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from octavia_provider.model.errors import LeaseLost
from octavia_provider.model.events import ERROR, WARNING, Event, EventFilter, Reason
from octavia_provider.ports import EVENTS_CHANGED, Record, Settlement, fenced
from octavia_provider.store import SqlStore
from unit.store.opening import opened, record

ALL = EventFilter()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, url: str, clock: Clock) -> AsyncIterator[SqlStore]:
    found = opened(tmp_path, url, clock)
    yield found
    await found.close()


async def balancer(store: SqlStore, name: str = "web") -> Record:
    return await store.write(lambda tx: tx.insert(record("load_balancer", name=name)))


async def events(store: SqlStore, wanted: EventFilter = ALL, limit: int = 1000, **more: Any) -> list[Event]:
    return await store.read(lambda tx: tx.events(wanted, limit=limit, **more))


def told(found: list[Event]) -> list[tuple[str, int]]:
    return [(event.message, event.count) for event in found]


async def test_an_event_has_what_it_is_about_and_what_was_so_then(store: SqlStore, clock: Clock) -> None:
    lb = await balancer(store)
    event = Reason.AmphoraBooted.event(
        "runs", load_balancer_id=lb.id, amphora_id="a", control_plane="one", data={"seconds": 2.5}
    )
    await store.write(lambda tx: [tx.touch(lb.id), tx.record(event)])
    (found,) = await events(store)
    assert found == dataclasses.replace(
        event, id=1, sequence=1, first_at=clock.now, last_at=clock.now, generation=2, project_id="p",
        load_balancer_name="web",
    )  # fmt: skip
    assert await store.read(lambda tx: tx.newest_event()) == 1


async def test_what_outlives_its_load_balancer_keeps_its_name(store: SqlStore) -> None:
    lb = await balancer(store)
    generation = await store.write(lambda tx: tx.mark_deleting([lb.id]))
    await store.write(
        lambda tx: [
            tx.record(Reason.LoadBalancerDeleted.event("is gone", load_balancer_id=lb.id)),
            tx.settle(Settlement(scope_id=lb.id, generation=generation)),
        ]
    )
    (found,) = await events(store, EventFilter(load_balancer_ids=(lb.id,)))
    assert (found.load_balancer_name, found.project_id, found.generation) == ("web", "p", 2)


async def test_what_is_not_written_is_not_recorded(store: SqlStore) -> None:
    lb = await balancer(store)
    scope = await store.write(lambda tx: tx.acquire(lb.id, "one", 60))
    assert scope is not None
    stale = dataclasses.replace(scope, fence=scope.fence - 1)
    with pytest.raises(LeaseLost):
        await store.write(fenced(stale, lambda tx: tx.record(Reason.AmphoraLost.event("lost", load_balancer_id=lb.id))))
    assert await events(store) == []


async def test_equal_events_are_one__with_a_count_the_last_time_and_a_new_place(store: SqlStore, clock: Clock) -> None:
    lb = await balancer(store)

    def failed(message: str = "no route", **about: Any) -> Event:
        return Reason.ReconcileFailed.event(message, load_balancer_id=lb.id, **about)

    begin = clock.now
    for tries in (1, 2, 3):
        await store.write(lambda tx, tries=tries: tx.record(failed(data={"tries": tries})))
        await store.write(lambda tx: tx.record(failed("another reason")))
        clock.now += 100
    await store.write(lambda tx: tx.record(failed(amphora_id="a")))
    first, other, of_amphora = await events(store)
    assert (first.count, first.first_at, first.last_at, first.data) == (3, begin, begin + 200, {"tries": 3})
    assert (first.id, first.sequence, other.id, other.sequence, of_amphora.sequence) == (1, 5, 2, 6, 7)
    clock.now = begin + 3600
    await store.write(lambda tx: tx.record(failed()))
    assert told(await events(store)) == [("no route", 3), ("another reason", 3), ("no route", 1), ("no route", 1)]


async def test_nothing_is_folded_over_what_changed_its_load_balancer(store: SqlStore) -> None:
    def lost(lb: str) -> Event:
        return Reason.AmphoraLost.event(f"lost of {lb}", load_balancer_id=lb)

    for lb, booted in (("x", False), ("x", False), ("y", False), ("x", True), ("x", False), ("y", False), ("x", False)):
        event = Reason.AmphoraBooted.event("runs", load_balancer_id=lb) if booted else lost(lb)
        await store.write(lambda tx, event=event: tx.record(event))
    assert told(await events(store)) == [("lost of x", 2), ("runs", 1), ("lost of y", 2), ("lost of x", 2)]


async def test_what_changes_a_state_is_not_folded(store: SqlStore) -> None:
    event = Reason.AmphoraBooted.event("runs", amphora_id="a")
    for _ in range(2):
        await store.write(lambda tx: tx.record(event))
    assert told(await events(store)) == [("runs", 1), ("runs", 1)]


async def test_a_filter_finds_in_the_store_what_it_matches(store: SqlStore, clock: Clock) -> None:
    lbs = [await balancer(store, name) for name in ("web", "other")]
    for number, (lb, reason, amphora) in enumerate(
        itertools.product(lbs, (Reason.AmphoraBooted, Reason.AmphoraLost, Reason.ConfigurationRefused), "ab")
    ):
        event = reason.event(str(number), load_balancer_id=lb.id, amphora_id=amphora)
        await store.write(lambda tx, event=event: tx.record(event))
        clock.now += 1
    everything = await events(store)
    assert len(everything) == 12
    for of, amphora, reasons, severity, since, after in itertools.product(
        ((), (lbs[0].id,), ("nobody", lbs[1].id)), (None, "a"), ((), ("AmphoraLost", "AmphoraBooted")), ("info", WARNING, ERROR),
        (None, everything[4].last_at), (0, 7),
    ):  # fmt: skip
        wanted = EventFilter(
            load_balancer_ids=of, amphora_id=amphora, reasons=reasons, severity=severity, since=since, after=after
        )
        matching = [event for event in everything if wanted.matches(event)]
        assert await events(store, wanted) == matching
        assert await events(store, wanted, limit=2) == matching[:2]
        assert await events(store, wanted, limit=2, newest=True) == matching[-2:]
        before = [event for event in matching if event.sequence < 9]
        assert await events(store, wanted, limit=2, newest=True, before=9) == before[-2:]


async def test_old_events_and_those_beyond_a_number_are_forgotten__a_place_is_never_given_twice(
    store: SqlStore, clock: Clock
) -> None:
    for lb, number in (("x", 3), ("y", 1), (None, 2)):
        for i in range(number):
            event = Reason.AmphoraBooted.event(f"{lb} {i}", load_balancer_id=lb)
            await store.write(lambda tx, event=event: tx.record(event))
            clock.now += 1
    assert await store.write(lambda tx: tx.trim_events(clock.now - 6, 2)) == 1
    assert await store.write(lambda tx: tx.trim_events(clock.now - 4, 2)) == 1
    assert [message for message, _ in told(await events(store))] == ["x 2", "y 0", "None 0", "None 1"]
    assert await store.write(lambda tx: tx.trim_events(clock.now + 100, 0)) == 3
    assert await store.read(lambda tx: tx.newest_event()) == 6
    await store.write(lambda tx: tx.record(Reason.ControlPlaneStarted.event("began")))
    assert [(event.id, event.sequence) for event in await events(store)] == [(6, 6), (7, 7)]


async def test_events_wake_those_who_watch_them__and_nobody_who_watches_objects(store: SqlStore) -> None:
    lb = await balancer(store)
    async with store.watch(EVENTS_CHANGED) as events_watch, store.watch() as all_watch, store.watch(lb.id) as lb_watch:
        await store.write(lambda tx: tx.record(Reason.AmphoraLost.event("lost", load_balancer_id=lb.id)))
        await events_watch.changed()
        await store.write(lambda tx: [tx.touch(lb.id), tx.record(Reason.AmphoraBooted.event("runs"))])
        await events_watch.changed()
        assert set(await all_watch.changed()) == {lb.id}
        assert set(await lb_watch.changed()) == {lb.id}
        assert not [w for w in (all_watch, lb_watch) if await _stirs(w.changed())]


async def _stirs(changed: Any) -> bool:
    task = asyncio.ensure_future(changed)
    await asyncio.sleep(0)
    task.cancel()
    return task.done() and not task.cancelled()
