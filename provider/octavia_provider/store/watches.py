# SPDX-License-Identifier: Apache-2.0
"""Waking those who wait for commits. Lives in the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from octavia_provider.ports import EVENTS_CHANGED


class SqlWatch:
    """One watcher; wakes of the same time are one wake."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._written: set[str] = set()

    async def changed(self) -> frozenset[str]:
        """The scopes that were written since the last call: at once when there are some, else when a commit comes."""
        await self._event.wait()
        self._event.clear()
        written = frozenset(self._written)
        self._written.clear()
        return written

    def wake(self, scopes: Iterable[str]) -> None:
        """A commit came that wrote these."""
        self._written.update(scopes)
        self._event.set()


class Watches:
    """Watchers by scope; those under None want every commit."""

    def __init__(self) -> None:
        self._by_scope: dict[str | None, set[SqlWatch]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def watch(self, scope_id: str | None) -> AsyncIterator[SqlWatch]:
        """Watch until the context ends."""
        self._loop = asyncio.get_running_loop()
        watch = SqlWatch()
        self._by_scope.setdefault(scope_id, set()).add(watch)
        try:
            yield watch
        finally:
            watchers = self._by_scope[scope_id]
            watchers.discard(watch)
            if not watchers:
                del self._by_scope[scope_id]

    def wake(self, scopes: Iterable[str]) -> None:
        """Wake the watchers of these scopes, and those of all when there are any. Events are no scope."""
        names = set(scopes)
        written = list(names - {EVENTS_CHANGED})
        for name in (*names, None) if written else names:
            for watch in self._by_scope.get(name, ()):
                watch.wake(written)

    def wake_from_thread(self, scopes: Iterable[str]) -> None:
        """The same for commits of other processes, which another thread hears of."""
        if self._loop is not None:  # else nobody has ever watched
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.wake, list(scopes))
