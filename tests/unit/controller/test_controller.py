# SPDX-License-Identifier: Apache-2.0
"""The controller over the real store: who is woken, what is tried again, what is given up, and leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from builders import record, scope
from octavia_provider.controller import controller as module
from octavia_provider.controller.controller import Controller
from octavia_provider.controller.membership import Membership
from octavia_provider.model.errors import PermanentError, Refused, Unreachable
from octavia_provider.ports import Amphora, ControlPlane, Inventory, Record, Scope, Settlement, fenced
from octavia_provider.store import SqlStore, open_store
from octavia_provider.store.transaction import SqlTransaction


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 0.005)
    monkeypatch.setattr(module, "LAST_RETRY", 0.02)
    monkeypatch.setattr(module, "FIRST_ERROR_RETRY", 1e6)  # a test may last longer on a busy machine


class Clock:
    """By which leases run out."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/octavia.db", tmp_path / "octavia.key", clock=clock)
    yield opened
    await opened.close()


class Worker:
    """A reconciler that settles everything, after it has raised what it was told to."""

    def __init__(self, store: SqlStore, leased: Scope) -> None:
        self.store, self.leased = store, leased
        self.raises: list[Exception] = []
        self.writes: list[Amphora] = []
        self.passes = self.forgotten = 0
        self.failures: list[str] = []
        self.tells = True
        self.going = asyncio.Event()
        self.going.set()

    def forget(self) -> None:
        self.forgotten += 1

    def missing(self, inventory: Inventory) -> bool:
        return False

    async def reconcile(self) -> bool:
        self.passes += 1
        await self.going.wait()
        for amphora in self.writes:
            await self.store.write(fenced(self.leased, lambda tx, amphora=amphora: tx.put_amphora(amphora)))  # type: ignore[misc]
        if self.raises:
            raise self.raises.pop(0)
        now = await self.store.read(lambda tx: tx.scope(self.leased.id))
        if now is None:
            return False
        records = await self.store.read(lambda tx: tx.find(scope_id=now.id))
        accepted = {r.id: r.spec for r in records}
        done = Settlement(scope_id=now.id, generation=now.generation, accepted=accepted)
        await self.store.write(fenced(self.leased, lambda tx: tx.settle(done)))
        return not records[0].deleting

    async def fail(self, reason: str) -> bool:
        self.failures.append(reason)
        refused = Settlement(scope_id=self.leased.id, generation=99, errors={self.leased.id: reason})
        if self.tells:
            await self.store.write(fenced(self.leased, lambda tx: tx.settle(refused)))
        return self.tells


class Site:
    """A controller whose reconcilers can be looked at."""

    def __init__(self, store: SqlStore, holder: str = "me", **options: Any) -> None:
        self.store = store
        self.workers: dict[str, Worker] = {}
        self.raises: list[Exception] = []
        self.writes: list[Amphora] = []
        self.tells = True
        self.controller = Controller(store, {"load_balancer": self.make}, holder=holder, **options)

    def make(self, leased: Scope) -> Worker:
        worker = Worker(self.store, leased)
        worker.raises, worker.tells, worker.writes = self.raises, self.tells, self.writes
        return self.workers.setdefault(leased.id, worker)

    async def insert(self, id_: str = "lb") -> None:
        await self.store.write(lambda tx: tx.insert(balancer(id_)))


def balancer(id_: str) -> Record:
    return record("load_balancer", id_, scope_id=id_)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.002)  # the rate of looking, not what is waited for


@pytest.fixture
async def site(store: SqlStore) -> AsyncIterator[Site]:
    running = Site(store)
    await running.controller.start()
    yield running
    await running.controller.stop()


async def applied(store: SqlStore, id_: str = "lb") -> bool:
    found = await store.read(lambda tx: tx.scope(id_))
    return found is not None and found.applied == found.generation > 0


async def test_a_commit_wakes_the_scope_it_concerns(site: Site) -> None:
    await site.insert("a")
    await site.insert("b")
    await until(lambda: applied(site.store, "a"))
    await until(lambda: applied(site.store, "b"))
    passes = site.workers["b"].passes
    await site.store.write(lambda tx: tx.touch("a"))
    await until(lambda: applied(site.store, "a"))
    assert site.workers["b"].passes == passes


async def test_a_commit_reads_the_scopes_that_it_wrote_alone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for id_ in "abc":
        await site.insert(id_)
        await until(lambda id_=id_: applied(site.store, id_))  # type: ignore[misc]
    read = reads_of_scopes(monkeypatch)
    await site.store.write(lambda tx: tx.touch("b"))
    await until(lambda: applied(site.store, "b"))
    await site.store.write(lambda tx: tx.touch("c"))
    await until(lambda: applied(site.store, "c"))
    assert set(read) == {"b", "c"}


def reads_of_scopes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scopes that are read from now on, "*" for all at once."""
    read: list[str] = []
    one, every = SqlTransaction.scope, SqlTransaction.scopes
    monkeypatch.setattr(SqlTransaction, "scope", lambda tx, id_: read.append(id_) or one(tx, id_))
    monkeypatch.setattr(SqlTransaction, "scopes", lambda tx: read.append("*") or every(tx))
    return read


async def test_what_may_pass_is_tried_again_and_shown_meanwhile(site: Site) -> None:
    site.raises += [Unreachable("nobody there"), OSError("cut"), TimeoutError("slow")]
    await site.insert()
    await until(lambda: applied(site.store))
    await until(lambda: site.controller.troubles() == {})  # the moment after the store has been told
    assert site.workers["lb"].failures == []
    assert site.workers["lb"].forgotten == 3


async def test_what_its_reconciler_writes_wakes_a_scope_before_its_time_no_more_than_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY", 1e6)
    site.writes = [Amphora(id="a", load_balancer_id="lb", role="BACKUP")]
    site.raises += [Unreachable("nobody there")]
    await site.insert()
    await until(lambda: site.workers["lb"].passes == 1 if "lb" in site.workers else False)
    await site.insert("later")
    await until(lambda: applied(site.store, "later"))  # what was written before it has been heard of
    assert site.workers["lb"].passes == 1
    await site.store.write(lambda tx: tx.touch("lb"))
    await until(lambda: applied(site.store))
    assert site.workers["lb"].passes == 2


async def test_what_will_not_pass_is_written_down_once(site: Site) -> None:
    site.raises += [Refused("no such network")]
    await site.insert()
    await until(lambda: bool(site.workers) and site.workers["lb"].failures == ["no such network"])
    assert site.workers["lb"].passes == 1


async def test_what_nobody_can_be_told_is_tried_again(site: Site) -> None:
    site.raises += [PermanentError("broken")] * 2
    site.tells = False
    await site.insert()
    await until(lambda: applied(site.store))
    assert site.workers["lb"].failures == ["broken"] * 2


async def test_an_internal_error_stops_neither_the_scope_nor_the_others(site: Site) -> None:
    site.raises += [ZeroDivisionError("oops")]
    await site.insert("a")
    await site.insert("b")
    await until(lambda: applied(site.store, "a"))
    await until(lambda: applied(site.store, "b"))


async def test_a_scope_that_is_gone_has_no_worker(site: Site) -> None:
    await site.insert()
    await until(lambda: applied(site.store))
    await site.store.write(lambda tx: tx.mark_deleting(["lb"]))
    await until(lambda: site.controller.reconciler("lb") is None)
    assert await site.store.read(lambda tx: tx.scope("lb")) is None


async def test_poke_all_forgets_and_looks(site: Site) -> None:
    await site.insert()
    await until(lambda: applied(site.store))
    before = site.workers["lb"].passes
    site.controller.poke_all()
    await until(lambda: site.workers["lb"].passes > before)
    assert site.workers["lb"].forgotten == 1


async def test_one_writer_a_scope_and_the_next_one_has_a_higher_fence(store: SqlStore) -> None:
    first, second = Site(store, "first"), Site(store, "second")
    await first.insert()
    await first.controller.start()
    await until(lambda: applied(store))
    await second.controller.start()
    assert second.workers == {}
    await first.controller.stop()
    await store.write(lambda tx: tx.touch("lb"))
    await until(lambda: bool(second.workers))
    await until(lambda: applied(store))
    assert second.workers["lb"].leased.fence > first.workers["lb"].leased.fence
    await second.controller.stop()


@pytest.mark.parametrize("outcome", [None, Refused("no such network")], ids=["done", "refused"])
async def test_who_has_lost_the_lease_drops_its_work_and_marks_nothing(
    store: SqlStore, clock: Clock, outcome: Exception | None
) -> None:
    """It hangs in a pass for longer than its lease, and another control plane takes it over meanwhile."""
    first, second = Site(store, "first"), Site(store, "second")
    await first.insert()
    await first.controller.start()
    await until(lambda: applied(store))
    hung = first.workers["lb"]
    hung.going.clear()
    hung.raises += [outcome] if outcome else []
    passes = hung.passes
    await store.write(lambda tx: tx.update("lb", balancer("lb").spec))
    await until(lambda: hung.passes > passes)
    clock.now += 2 * module.LEASE_SECONDS
    await second.controller.start()
    await until(lambda: applied(store))
    settled = await store.read(lambda tx: (tx.scope("lb"), tx.get("load_balancer", "lb")))
    hung.going.set()
    await until(lambda: first.controller.reconciler("lb") is None)
    assert await store.read(lambda tx: (tx.scope("lb"), tx.get("load_balancer", "lb"))) == settled
    assert settled[1] is not None
    assert settled[1].error is None
    assert first.controller.troubles() == {}
    await first.controller.stop()
    assert second.controller.reconciler("lb") is not None
    await second.controller.stop()


async def test_who_waits_for_a_lease_is_woken_when_it_is_given_up(store: SqlStore) -> None:
    first, second = Site(store, "first"), Site(store, "second")
    await first.insert()
    await first.controller.start()
    await until(lambda: applied(store))
    await second.controller.start()
    assert second.controller.reconciler("lb") is None
    await first.controller.stop()
    await until(lambda: second.controller.reconciler("lb") is not None)
    await second.controller.stop()


async def test_one_that_comes_later_is_given_its_share(store: SqlStore) -> None:
    sites = [
        Site(store, name, membership=Membership(ControlPlane(name=name)), lease_seconds=0.3) for name in ("a", "b")
    ]
    for number in range(5):
        await sites[0].insert(f"lb{number}")
    await sites[0].controller.start()
    assert len(sites[0].controller.reconcilers()) == 5
    await sites[1].controller.start()
    await until(lambda: sorted(len(site.controller.reconcilers()) for site in sites) == [2, 3])
    for site in sites:
        await site.controller.stop()


async def test_all_of_many_leases_are_taken(store: SqlStore) -> None:
    site = Site(store)
    ids = [f"lb{number}" for number in range(2 * module.CLAIMED + 1)]
    for id_ in ids:
        await site.insert(id_)
    await site.controller.start()
    assert set(site.workers) == set(ids)
    await site.controller.stop()


def test_the_fence_stays_that_of_our_own_lease() -> None:
    from dataclasses import replace

    from octavia_provider.controller.desired_state import DesiredState

    desired_state = DesiredState(replace(scope(), fence=3))
    desired_state.read(replace(scope(), fence=4), [])
    assert desired_state.scope.fence == 3
