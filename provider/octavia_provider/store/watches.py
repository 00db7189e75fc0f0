# SPDX-License-Identifier: Apache-2.0
"""Waking those who wait for commits. Lives in the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from octavia_provider.ports import EVENTS_CHANGED, Scope


def add_written(written: dict[str, Scope | None], more: Mapping[str, Scope | None]) -> None:
    """Add what a later commit wrote. What has to be read stays so: another process's commit may be heard of before an earlier
    one of ours is."""
    for name, scope in more.items():
        written[name] = scope if written.get(name, scope) is not None else None


class SqlWatch:
    """One watcher; wakes of the same time are one wake."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._written: dict[str, Scope | None] = {}

    async def changed(self) -> Mapping[str, Scope | None]:
        """The scopes that were written since the last call: at once when there are some, else when a commit comes."""
        await self._event.wait()
        self._event.clear()
        written, self._written = self._written, {}
        return written

    def wake(self, scopes: Mapping[str, Scope | None]) -> None:
        """A commit came that wrote these."""
        add_written(self._written, scopes)
        self._event.set()


class Watches:
    """Watchers by scope, woken in the order in which they came; those under None want every commit."""

    def __init__(self) -> None:
        self._by_scope: dict[str | None, dict[SqlWatch, None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def watch(self, scope_id: str | None) -> AsyncIterator[SqlWatch]:
        """Watch until the context ends."""
        self._loop = asyncio.get_running_loop()
        watch = SqlWatch()
        self._by_scope.setdefault(scope_id, {})[watch] = None
        try:
            yield watch
        finally:
            watchers = self._by_scope[scope_id]
            watchers.pop(watch, None)
            if not watchers:
                del self._by_scope[scope_id]

    def wake(self, scopes: Mapping[str, Scope | None]) -> None:
        """Wake the watchers of these scopes, and those of all when there are any. Events are no scope."""
        written = {name: scope for name, scope in scopes.items() if name != EVENTS_CHANGED}
        for name in (*scopes, None) if written else scopes:
            for watch in self._by_scope.get(name, ()):
                watch.wake(written)

    def wake_from_thread(self, scopes: Iterable[str]) -> None:
        """The same for commits of other processes, which another thread hears of."""
        if self._loop is not None:  # else nobody has ever watched
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.wake, dict.fromkeys(scopes))
