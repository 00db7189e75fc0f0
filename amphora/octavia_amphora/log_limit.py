# SPDX-License-Identifier: Apache-2.0
"""Logs that stay readable, and disks that stay free, when the same thing goes wrong again and again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

WINDOW = 10.0
"""Seconds."""
MAX_PER_KIND, MAX_TOTAL = 5, 200
"""Complaints in a window: that many of one kind, that many in all."""


class LogRateLimiter:
    """Counts complaints by kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = 0.0
        self._counts: dict[Hashable, int] = {}
        self._dropped = 0

    def admit(self, kind: Hashable) -> int | None:
        """None: not to be written. Else how many were not, in the window before (told with the first of the next)."""
        now, dropped = self._clock(), 0
        if now >= self._ends:
            dropped, self._dropped = self._dropped, 0
            self._ends, self._counts = now + WINDOW, {}
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] > MAX_PER_KIND or sum(self._counts.values()) - self._dropped > MAX_TOTAL:
            self._dropped += 1
            return None
        return dropped


class FloodFilter(logging.Filter):
    """For a handler of ``logging``: warnings and worse, by logger and words."""

    def __init__(self) -> None:
        super().__init__()
        self._limiter = LogRateLimiter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written; the first of a new window says how many were not."""
        if record.levelno < logging.WARNING:
            return True
        dropped = self._limiter.admit((record.name, str(record.msg), str(record.args)))
        if dropped:
            record.msg = f"{record.msg} ({dropped} complaints before this were not written)"
        return dropped is not None
