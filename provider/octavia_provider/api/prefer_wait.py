# SPDX-License-Identifier: Apache-2.0
"""Waiting until a generation is settled. One reader a scope, however many wait: a commit wakes one task, not hundreds.

Who creates a load balancer without ``Prefer: wait`` waits too where a cloud allocates its VIPs elsewhere: for these alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from octavia_provider.model import allocated
from octavia_provider.ports import Record, Scope, Store, Transaction, Watch

T = TypeVar("T")
GONE = 2**63
VIP_SECONDS = 10.0
"""For which the answer to a new load balancer is kept back until its VIP has a port. Clients read the port's id from that answer; Octavia makes
the port before it answers."""


@dataclass(slots=True)
class _Waiters:
    generation_waits: set[tuple[int, asyncio.Future[None]]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    known: int = -1
    """The generation that is settled, as of the last look; every commit after it makes the task look again."""

    def applied(self, generation: int) -> None:
        self.known = generation
        for entry in [e for e in self.generation_waits if e[0] <= generation]:
            self.generation_waits.discard(entry)
            if not entry[1].done():
                entry[1].set_result(None)

    def failed(self, error: BaseException) -> None:
        for _, future in self.generation_waits:
            if not future.done():
                future.set_exception(error)
        self.generation_waits.clear()


class GenerationWaits:
    """Waiters by scope."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._scopes: dict[str, _Waiters] = {}
        self._vip_limits: set[asyncio.Timeout] = set()
        self._closed = False

    async def settled(self, scope_id: str, generation: int, seconds: float) -> bool:
        """Wait until the scope's ``applied`` has reached the generation, or the scope is gone; False: time ran out."""
        if self._closed:
            return False
        scope = self._scopes.setdefault(scope_id, _Waiters())
        if generation <= scope.known:
            return True
        entry = (generation, asyncio.get_running_loop().create_future())
        scope.generation_waits.add(entry)
        if scope.task is None:
            scope.task = asyncio.create_task(self._watch(scope_id, scope))
        try:
            async with asyncio.timeout(seconds):
                await entry[1]
        except TimeoutError:
            return False
        finally:
            scope.generation_waits.discard(entry)
        return not self._closed

    async def at_rest(
        self, record: Record, generation: int, seconds: float, show: Callable[[Transaction, Record | None], T]
    ) -> T:
        """Wait until the object's own last write is settled: a sibling's may have written it again meanwhile, as L7
        policies move each other. Answers what is shown of it then."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds

        def look(tx: Transaction) -> tuple[Record | None, T]:
            now = tx.get(record.kind, record.id)
            return now, show(tx, now)

        while True:
            settled = await self.settled(record.scope_id, generation, end - loop.time())
            now, shown = await self._store.read(look)
            if not settled or now is None or now.generation <= generation:
                return shown
            generation = now.generation

    async def vips_allocated(self, load_balancer: Record, show: Callable[[Transaction, Record | None], T]) -> T:
        """Wait until its VIPs are allocated, or it is known that they will not be: it failed, or is to go. Answers what is shown then, or after
        ``VIP_SECONDS``."""

        def look(tx: Transaction) -> tuple[bool, T]:
            now = tx.get(load_balancer.kind, load_balancer.id)
            known = now is None or now.deleting or bool(now.error) or allocated.known(now.spec)
            return known, show(tx, now)

        async with self._store.watch(load_balancer.scope_id) as watch:
            known, shown = await self._store.read(look)
            end = asyncio.get_running_loop().time() + VIP_SECONDS
            while not known and await self._woken(watch, end):
                known, shown = await self._store.read(look)
        return shown

    async def _woken(self, watch: Watch, end: float) -> bool:
        """Wait for a commit; False: there is no time left."""
        try:
            async with asyncio.timeout_at(end) as limit:
                if self._closed:
                    return False
                self._vip_limits.add(limit)
                try:
                    await watch.changed()
                finally:
                    self._vip_limits.discard(limit)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End all waits: the process ends."""
        self._closed = True
        for limit in (one for one in self._vip_limits if not one.expired()):
            limit.reschedule(asyncio.get_running_loop().time())
        for scope in self._scopes.values():
            scope.applied(GONE)
            if scope.task is not None:
                scope.task.cancel()

    async def _watch(self, scope_id: str, scope: _Waiters) -> None:
        try:
            async with self._store.watch(scope_id) as watch:
                now: Scope | None = None
                while scope.generation_waits:
                    scope.applied(now.applied if now else await self._applied(scope_id))
                    if scope.generation_waits:
                        now = (await watch.changed()).get(scope_id)
                self._scopes.pop(scope_id, None)  # before anybody else stands in a line that nobody watches
        except Exception as error:  # noqa: BLE001 - those who wait must hear of it
            scope.failed(error)
        finally:
            if self._scopes.get(scope_id) is scope:
                del self._scopes[scope_id]

    async def _applied(self, scope_id: str) -> int:
        def applied(scope: Scope | None) -> int:
            return GONE if scope is None else scope.applied

        return applied(await self._store.read(lambda tx: tx.scope(scope_id)))
