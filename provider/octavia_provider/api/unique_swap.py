# SPDX-License-Identifier: Apache-2.0
"""Changes of a unique value (a listener's port, a member's address) that another object holds: they wait for each other.

Two listeners that swap their ports come as two PUTs, and neither can be first. So a PUT that waits (``Prefer: wait``)
and finds its value taken stands here; when the one that would close a ring comes, all of the ring are written in one
transaction. No two objects ever have one value, not even within a configuration. See docs/adr/0008-changing-places.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.errors import Conflict
from octavia_provider.ports import Store, Transaction

Write = Callable[[Transaction], Any]


@dataclass(slots=True)
class _UniqueSwap:
    """``wants``: the id of the object that holds what this one wants."""

    wants: str
    write: Write
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class UniqueSwaps:
    """The changes that wait for another object to move away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, _UniqueSwap] = {}

    async def write(self, id_: str, write: Write, seconds: float) -> Any:
        """Run ``write``, which changes this object; where its value is taken, wait for so long until it is free."""
        try:
            return await self._store.write(write)
        except Conflict as conflict:
            if not conflict.holder:
                raise
        return await self._wait(id_, write, asyncio.get_running_loop().time() + seconds)

    async def _wait(self, id_: str, write: Write, end: float) -> Any:
        async with self._store.watch() as watch:
            while True:
                try:
                    return await self._store.write(write)
                except Conflict as conflict:
                    ring = self._ring(id_, conflict.holder)
                    if ring:
                        return await self._change_places(id_, write, ring)
                    left = end - asyncio.get_running_loop().time()
                    if not conflict.holder or left <= 0 or id_ in self._waiting:
                        raise
                    move = self._waiting[id_] = _UniqueSwap(conflict.holder, write)
                try:
                    if await _either(move.done, watch.changed(), left) and not move.done.cancelled():
                        return move.done.result()
                finally:
                    if self._waiting.get(id_) is move:
                        del self._waiting[id_]

    def _ring(self, id_: str, holder: str) -> dict[str, _UniqueSwap]:
        """Those that wait in a ring with this one: the holder wants what another has, who wants … what this one has."""
        ring: dict[str, _UniqueSwap] = {}
        while holder != id_:
            move = self._waiting.get(holder)
            if move is None or holder in ring:
                return {}
            ring[holder] = move
            holder = move.wants
        return ring

    async def _change_places(self, id_: str, write: Write, ring: dict[str, _UniqueSwap]) -> Any:
        for other in ring:
            del self._waiting[other]  # nobody else may take it into a ring of its own meanwhile

        def work(tx: Transaction) -> tuple[Any, list[Any]]:
            with tx.exchanging([id_, *ring]):
                return write(tx), [move.write(tx) for move in ring.values()]

        try:
            mine, theirs = await self._store.write(work)
        except BaseException:
            for move in ring.values():
                move.done.cancel()  # this ring cannot be closed; each tries again by itself
            raise
        for move, result in zip(ring.values(), theirs, strict=True):
            if not move.done.done():
                move.done.set_result(result)
        return mine


async def _either(done: asyncio.Future[Any], changed: Any, seconds: float) -> bool:
    """Wait for the one or the other, or for so long; whether the first is done."""
    watching = asyncio.ensure_future(changed)
    try:
        await asyncio.wait({done, watching}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
    return done.done()
