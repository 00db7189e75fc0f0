# SPDX-License-Identifier: Apache-2.0
"""What is done again later: starting what has ended, and looking once where much is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from octavia_amphora.supervision import supervised

SHORTEST_PAUSE = 0.2


class Revival:
    """``start`` is tried at once, then with growing pauses, until it says that there is nothing left to do."""

    def __init__(self, name: str, start: Callable[[], Awaitable[bool]], longest_pause: float) -> None:
        self._name = name
        self._start = start
        self._longest_pause = longest_pause
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, unless it is being tried already."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(supervised(self._name, self._run))

    def cancel(self) -> None:
        """No more."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        pause = 0.0
        while not await self._start():
            pause = min(max(SHORTEST_PAUSE, pause * 2), self._longest_pause)
            await asyncio.sleep(pause)


class Debounced:
    """Calls ``done`` once, ``interval()`` seconds after the first of many calls."""

    def __init__(self, interval: Callable[[], float], done: Callable[[], None]) -> None:
        self._interval = interval
        self._done = done
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Soon."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval(), self._call)

    def cancel(self) -> None:
        """Not any more."""
        if self._timer:
            self._timer.cancel()

    def _call(self) -> None:
        self._timer = None
        self._done()
