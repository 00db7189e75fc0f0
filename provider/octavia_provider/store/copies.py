# SPDX-License-Identifier: Apache-2.0
"""A copy of the database beside it, a moment after the last change: what ``octaviactl adopt`` restores.

It is no backup, which lies elsewhere; it helps where the database is removed, emptied or damaged and the rest is there.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from octavia_provider.kit import tasks

from .store import SqlStore

QUIET, APART = 1.0, 15.0
"""Seconds after a change until it is copied, with what came meanwhile; and from one copy to the next, at least."""


class Copies:
    """Keeps ``path`` a copy of the store."""

    def __init__(self, store: SqlStore, path: Path) -> None:
        self._store, self._path = store, path
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first copy is made at once."""
        self._task = tasks.run_forever("copies of the store", self._follow)

    async def stop(self) -> None:
        """End, with a last copy where something changed since."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            with contextlib.suppress(OSError):
                await self._store.copy(self._path)

    async def _follow(self) -> None:
        async with self._store.watch() as watch:
            while True:
                await self._store.copy(self._path)
                await asyncio.sleep(APART if self._path.stat().st_size > 1 << 20 else QUIET)
                await watch.changed()
                await asyncio.sleep(QUIET)
