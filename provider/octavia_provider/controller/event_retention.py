# SPDX-License-Identifier: Apache-2.0
"""How long events are kept: by age, and so many of each load balancer."""

from __future__ import annotations

import asyncio

import structlog

from octavia_provider.kit import tasks
from octavia_provider.ports import Store

log = structlog.get_logger(__name__)
FIRST, INTERVAL = 60.0, 3600.0
DAYS, EACH = 30, 1000


class EventRetention:
    """Trims the events, now and then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first time is a while after the start, which has enough to do."""
        self._task = tasks.run_forever("event retention", self._run)

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        await asyncio.sleep(FIRST)
        while True:
            gone = await self._store.write(lambda tx: tx.trim_events(tx.now() - DAYS * 86_400, EACH))
            if gone:
                log.info("events forgotten", number=gone)
            await asyncio.sleep(INTERVAL)
