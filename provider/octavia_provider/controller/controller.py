# SPDX-License-Identifier: Apache-2.0
"""The controller: a task for each scope that has something to do, woken by commits, heartbeats and the clock.

One scope is reconciled by one task at a time, under a lease. Failures that may pass are tried again, later and later;
those that will not are written down at the objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import uniform

import structlog

from octavia_provider import __version__
from octavia_provider.kit import tasks
from octavia_provider.model.errors import LeaseLost, PermanentError, TransientError
from octavia_provider.model.events import Reason
from octavia_provider.ports import LEASE, AgentRefused, Incomplete, Reconciler, Scope, Store, Transaction

from .event_recorder import ControlPlaneEvents
from .membership import Membership

log = structlog.get_logger(__name__)

LEASE_SECONDS = 60.0
CLAIMED = 16
"""Leases taken in one transaction: of many that have run out, those who claim them at once get some each."""
FIRST_RETRY, LAST_RETRY = 0.2, 10.0
FIRST_ERROR_RETRY, LAST_ERROR_RETRY = 10.0, 600.0
"""Of what ended in ERROR: the cloud may have room again, a template may have been mended."""
JITTER = 0.2
TOLD_SECONDS = 60.0
LEASE_LOST = "Another control plane has taken the lease; this one does nothing more here"


@dataclass(slots=True)
class _Worker:
    """One scope's task and what wakes it. ``written``: by whom it is for, since the last pass; ``generation``: the
    newest that woke it: what its own reconciler writes raises none, and wakes it not. ``trouble``: what is in the way now, after ``tries`` ``since`` then; ``told``: what an
    event has been recorded of, and when."""

    reconciler: Reconciler
    scope: Scope
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    written: bool = True
    generation: int = 0
    task: asyncio.Task[None] | None = None
    trouble: str | None = None
    tries: int = 0
    since: float = 0.0
    told: tuple[str | None, float] = (None, 0.0)
    idle: bool = False

    def awaited(self, scope: Scope) -> int:
        """What is newer than this wakes it."""
        return max(scope.applied, self.generation)


async def _woken(worker: _Worker, seconds: float) -> bool:
    """Wait until it is woken; False when about so many seconds have passed: many that failed together do not come together."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds * uniform(1 - JITTER, 1 + JITTER)):  # noqa: S311
            await worker.wake.wait()
            return True
    return False


def _nobody(_scope_id: str, _reason: str | None) -> None:
    """Nobody wants to know."""


class Controller:
    """Runs the reconcilers. ``makers``: for each kind of scope what builds one (its lease is held); other kinds are nothing
    to be brought about here. ``troubled`` is told what is in the way of a scope, and (None) that nothing is any more.
    ``membership``: this process among those that share the store, where others can."""

    def __init__(
        self, store: Store, makers: Mapping[str, Callable[[Scope], Reconciler]], *, holder: str,
        troubled: Callable[[str, str | None], None] = _nobody, lease_seconds: float = LEASE_SECONDS,
        membership: Membership | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._lease_seconds = lease_seconds
        self._membership = membership
        self._share = math.inf
        self._troubled = troubled
        self._makers = makers
        self._holder = holder
        self.events = ControlPlaneEvents(store, holder)
        self._workers: dict[str, _Worker] = {}
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin: every scope is looked at once, then whenever it is written to."""
        await self._renew()
        await self.events.record(Reason.ControlPlaneStarted, "The control plane has started", version=__version__)
        await self._dispatch(everything=True)
        self._loops = [
            tasks.run_forever("following the store", self._follow),
            tasks.run_forever("leases", self._keep_leases),
        ]

    async def stop(self) -> None:
        """End the tasks between two steps of theirs, and give up the leases. Traffic goes on."""
        tasks = [*self._loops, *(w.task for w in self._workers.values() if w.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        def work(tx: Transaction) -> None:
            tx.release(self._holder)
            tx.record(self.events.event(Reason.ControlPlaneStopped, "The control plane ends; traffic goes on"))
            if self._membership:
                self._membership.leave(tx)

        await self._store.write(work)

    def poke(self, scope_id: str, *, forget: bool = False) -> None:
        """Look at a scope now; ``forget``: something outside changed, trust nothing that was seen."""
        worker = self._workers.get(scope_id)
        if worker:
            if forget:
                worker.reconciler.forget()
            worker.wake.set()

    def poke_all(self) -> None:
        """Look at everything, trusting nothing."""
        for scope_id in list(self._workers):
            self.poke(scope_id, forget=True)

    def reconciler(self, scope_id: str) -> Reconciler | None:
        """The reconciler of a scope, if one works here."""
        worker = self._workers.get(scope_id)
        return worker.reconciler if worker else None

    @property
    def shared(self) -> bool:
        """Whether other control planes can have the lease of a scope."""
        return self._membership is not None

    def reconcilers(self) -> list[Reconciler]:
        """All that work here."""
        return [worker.reconciler for worker in self._workers.values()]

    async def scopes(self, among: Mapping[str, Scope | None] | None = None) -> list[Scope]:
        """All that something has to be brought about for, or those ``among`` what was written."""
        unknown = [scope_id for scope_id, scope in (among or {}).items() if scope is None]

        def work(tx: Transaction) -> Iterable[Scope | None]:
            return tx.scopes() if among is None else map(tx.scope, unknown)

        found = list((among or {}).values())
        if among is None or unknown:
            found += await self._store.read(lambda tx: list(work(tx)))
        return [scope for scope in found if scope is not None and scope.kind in self._makers]

    def troubles(self) -> dict[str, str]:
        """Scope → what is in the way right now (tried again by itself)."""
        return {i: w.trouble for i, w in self._workers.items() if w.trouble}

    async def _follow(self) -> None:
        async with self._store.watch() as watch:
            await self._dispatch()  # what was written before there was a watch
            while True:
                await self._dispatch(await watch.changed())

    async def _dispatch(self, written: Mapping[str, Scope | None] | None = None, *, everything: bool = False) -> None:
        """Wake what has something to do, of the scopes that were written or of all."""
        claimed = []
        found = await self.scopes(written)
        if written is None and self._membership:
            self._share = self._membership.share(len(found))
        for scope in found:
            worker = self._workers.get(scope.id)
            if worker is None:
                if written is None or scope.fence == 0 or len(self._workers) < self._share:
                    claimed.append(scope.id)  # else it was given up, to be taken by one that has fewer
            elif everything or scope.generation > (scope.applied if written is None else worker.awaited(scope)):
                worker.written, worker.generation = True, scope.generation
                worker.wake.set()
        if claimed:
            claimable = await self._store.read(lambda tx: tx.claimable(self._holder))
            await self._claim([scope_id for scope_id in claimed if scope_id in claimable])

    async def _claim(self, scope_ids: Sequence[str]) -> None:
        """Take the leases of these, as far as nobody else was faster."""
        for first in range(0, len(scope_ids), CLAIMED):
            some = scope_ids[first : first + CLAIMED]

            def work(tx: Transaction, some: Sequence[str] = some) -> list[Scope | None]:
                leased = [tx.acquire(scope_id, self._holder, self._lease_seconds) for scope_id in some]
                for scope in leased:
                    if scope is not None and scope.fence > 1 and scope.id not in self._workers:
                        message = "This control plane has taken the lease, and reconciles it from now on"
                        tx.record(self.events.event(Reason.LeaseTaken, message, scope, fence=scope.fence))
                return leased

            for leased in await self._store.write(work):
                if leased is not None and leased.id not in self._workers:
                    self._adopt(leased)

    def _adopt(self, leased: Scope) -> None:
        if leased.fence > 1:
            log.info("lease taken", scope=leased.id, fence=leased.fence)
        worker = _Worker(self._makers[leased.kind](leased), leased, generation=leased.generation)
        self._workers[leased.id] = worker
        worker.task = tasks.run_forever(f"reconcile {leased.id}", partial(self._work, leased.id, worker))

    async def _work(self, scope_id: str, worker: _Worker) -> None:
        delay, patience = FIRST_RETRY, FIRST_ERROR_RETRY
        LEASE.set(worker.scope)  # of this task and those that it begins
        worker.wake.set()  # what it was woken for may not be done
        while True:
            worker.idle = True
            woken = await _woken(worker, patience)
            worker.idle = False
            if worker.written:
                worker.written, patience = False, FIRST_ERROR_RETRY
            elif not woken:
                if not worker.reconciler.retry_errors():
                    patience = LAST_ERROR_RETRY
                    continue
                log.info("errors tried again", scope=scope_id)
                patience = min(patience * 2, LAST_ERROR_RETRY)
            worker.wake.clear()
            verdict = await self._once(scope_id, worker)
            if verdict is False:
                self._workers.pop(scope_id, None)
                return
            if verdict is None:
                await _woken(worker, delay)
                worker.wake.set()
                delay = min(delay * 2, LAST_RETRY)
            else:
                delay = FIRST_RETRY

    async def _once(self, scope_id: str, worker: _Worker) -> bool | None:
        """True: settled; False: gone, or not ours any more; None: to be tried again."""
        try:
            alive = await worker.reconciler.reconcile()
        except LeaseLost:
            return await self._deposed(scope_id, worker)
        except Incomplete as error:  # the reconciler has recorded what
            worker.trouble, worker.tries = str(error), worker.tries + 1
            self._troubled(scope_id, worker.trouble)
            return None
        except Exception as error:  # noqa: BLE001 - whatever it is, this scope is tried again and the others go on
            worker.reconciler.forget()
            verdict = await self._failed(scope_id, worker, error)
            self._troubled(scope_id, worker.trouble)
            await self._record_trouble(worker)
            return verdict
        worker.trouble = None
        await self._record_recovery(worker)
        self._troubled(scope_id, None)
        return alive

    async def _failed(self, scope_id: str, worker: _Worker, error: Exception) -> bool | None:
        worker.trouble = str(error)
        try:
            if isinstance(error, (PermanentError, AgentRefused)):
                log.warning("refused", scope=scope_id, reason=str(error))
                if await worker.reconciler.fail(str(error)):
                    worker.trouble = None
                    if worker.scope.kind != "load_balancer":  # whose reconciler has recorded it
                        await self.events.record(Reason.ConfigurationRefused, str(error), worker.scope)
                    return True
            elif isinstance(error, (TransientError, OSError)):
                log.warning("trouble", scope=scope_id, reason=str(error))
            else:
                worker.trouble = "an internal error; the log has the details"
                log.error("internal error", scope=scope_id, exc_info=error)
        except LeaseLost:
            worker.trouble = None
            return await self._deposed(scope_id, worker)
        except Exception:
            log.exception("not written down", scope=scope_id)
        return None

    async def _record_trouble(self, worker: _Worker) -> None:
        """Once for each trouble, and again each minute: not at each try."""
        if worker.trouble is None:
            return
        now = asyncio.get_running_loop().time()
        worker.since = worker.since if worker.tries else now
        worker.tries += 1
        if worker.told[0] != worker.trouble or now - worker.told[1] >= TOLD_SECONDS:
            worker.told = (worker.trouble, now)
            await self.events.record(Reason.ReconcileFailed, worker.trouble, worker.scope, tries=worker.tries)

    async def _record_recovery(self, worker: _Worker) -> None:
        told, tries, worker.told, worker.tries = worker.told, worker.tries, (None, 0.0), 0
        if told[0] is not None:
            seconds = round(asyncio.get_running_loop().time() - worker.since, 3)
            message = "What was in the way is gone"
            await self.events.record(Reason.ReconcileRecovered, message, worker.scope, tries=tries, seconds=seconds)

    async def _deposed(self, scope_id: str, worker: _Worker) -> bool:
        """Who has the lease now does what there is to do; we have said nothing of it, and look for leases that run out."""
        log.warning("lease lost", scope=scope_id)
        self._troubled(scope_id, None)
        await self.events.record(Reason.LeaseLost, LEASE_LOST, worker.scope)
        return False

    async def _keep_leases(self) -> None:
        while True:
            await self._renewal_due()
            await self._renew()
            await self._dispatch()  # a lease that another one had may have run out
            await self._share_out()

    async def _renewal_due(self) -> None:
        seconds = self._lease_seconds / 3
        if self._membership is None:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._membership.news.wait()

    async def _share_out(self) -> None:
        """Give up what is more than our share, a few at a time and only where there is nothing to do: others take it."""
        surplus = min(CLAIMED, int(max(0, len(self._workers) - self._share))) if self._share < math.inf else 0
        idle = [scope_id for scope_id, worker in self._workers.items() if worker.idle and not worker.wake.is_set()]
        given_up = {scope_id: self._workers.pop(scope_id) for scope_id in idle[:surplus]}
        if not given_up:
            return
        ending = [worker.task for worker in given_up.values() if worker.task]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._store.write(lambda tx: tx.release(self._holder, list(given_up)))
        log.info("leases given up, for others to have as many", scopes=list(given_up))

    async def _renew(self) -> None:
        """All leases at once; and say that we are alive. What another one has taken meanwhile is dropped here."""
        mine = list(self._workers)

        def work(tx: Transaction) -> set[str]:
            if self._membership:
                self._membership.stay(tx, self._lease_seconds)
            return tx.renew(self._holder, self._lease_seconds)

        held = await self._store.write(work)
        for scope_id in mine:
            worker = self._workers.get(scope_id)
            if scope_id not in held and worker is not None:
                del self._workers[scope_id]
                if worker.task:
                    worker.task.cancel()
                await self._deposed(scope_id, worker)
