# SPDX-License-Identifier: Apache-2.0
"""Following events as they are recorded: the store's watches wake one reader, which serves all who follow.

It keeps the latest ``RECENT`` events. Who is further behind than that (a slow client, or one that was away) reads the store
from where it is, a page at a time: no client has a queue that grows, and none misses or repeats an event.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace

import structlog

from octavia_provider.model.events import Event, EventFilter
from octavia_provider.ports import EVENTS_CHANGED, Store, Transaction

log = structlog.get_logger(__name__)
RECENT = 1000
PAGE = 200


class EventFeed:
    """Of one store. ``close`` ends all who follow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: deque[Event] = deque()
        self._before = self._newest = 0
        """All events after ``_before`` and up to ``_newest`` are in ``_recent``."""
        self._followers: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._closed = False

    async def follow(
        self, wanted: EventFilter, *, from_now: bool = False, idle_seconds: float = 15.0
    ) -> AsyncGenerator[tuple[list[Event], int], None]:
        """Events that are wanted, from ``wanted.after`` on, a few at a time, and up to where that is all; none at the beginning, and
        where none came for so long.

        ``from_now``: those alone that are recorded from now on. A position that no event has had yet is another store's:
        then all there are come first.
        """
        woken = asyncio.Event()
        self._followers.add(woken)
        try:
            newest = await self._store.read(lambda tx: tx.newest_event())
            at = newest if from_now else wanted.after if wanted.after <= newest else 0
            yield [], at  # whatever is recorded from here on comes
            while True:
                await self._running()
                woken.clear()
                if self._closed:
                    return
                found, at = await self._after(at, wanted)
                if found:
                    yield found, at
                elif at >= self._newest and not await _within(idle_seconds, woken):
                    yield [], at
        finally:
            self._followers.discard(woken)
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task = None

    def close(self) -> None:
        """The process ends."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._ready.set()
        self._wake()

    async def _after(self, at: int, wanted: EventFilter) -> tuple[list[Event], int]:
        """Wanted events after this position, and the position up to which that is all."""
        wanted = replace(wanted, after=at)
        if self._task is not None and at >= self._before:
            newer = itertools.takewhile(lambda event: event.sequence > at, reversed(self._recent))
            found = [event for event in newer if wanted.matches(event)]
            return found[::-1], max(at, self._newest)

        def work(tx: Transaction) -> tuple[list[Event], int]:
            found = tx.events(wanted, limit=PAGE)
            return found, found[-1].sequence if len(found) == PAGE else tx.newest_event()

        return await self._store.read(work)

    async def _running(self) -> None:
        """The reader runs, and knows where it began."""
        if self._closed:
            return
        if self._task is None:
            self._recent.clear()
            self._ready = asyncio.Event()
            self._task = asyncio.create_task(self._read(self._ready))
        await self._ready.wait()

    async def _read(self, ready: asyncio.Event) -> None:
        """Read what is recorded, once for all who follow."""
        try:
            async with self._store.watch(EVENTS_CHANGED) as watch:
                self._before = self._newest = await self._store.read(lambda tx: tx.newest_event())
                ready.set()
                while True:
                    await watch.changed()
                    while await self._read_page() == PAGE:
                        pass
        except Exception as error:  # noqa: BLE001 - who follows reads the store, hears of it there, or starts this again
            log.warning("events are not followed", reason=str(error))
            self._task = None
        finally:
            ready.set()
            self._wake()

    async def _read_page(self) -> int:
        after = EventFilter(after=self._newest)
        found = await self._store.read(lambda tx: tx.events(after, limit=PAGE))
        self._recent.extend(found)
        while len(self._recent) > RECENT:
            self._before = self._recent.popleft().sequence
        if found:
            self._newest = found[-1].sequence
            self._wake()
        return len(found)

    def _wake(self) -> None:
        for woken in self._followers:
            woken.set()


async def _within(seconds: float, woken: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await woken.wait()
    except TimeoutError:
        return False
