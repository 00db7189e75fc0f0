# SPDX-License-Identifier: Apache-2.0
"""Work that goes on for as long as the process lives: what ends it is told, and it is begun again, later each time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
STABLE_SECONDS = 30.0
"""Seconds: work that went on this long begins again at once, as after a first failure."""

log = logging.getLogger(__name__)

OnFailure = Callable[[str, Exception, float], None]


def _log_failure(name: str, error: Exception, pause: float) -> None:
    log.error("%s failed, going on in %.1f s: %s", name, pause, error, exc_info=error)


async def supervised(name: str, work: Callable[[], Awaitable[None]], *, on_failure: OnFailure = _log_failure) -> None:
    """Do ``work``; returns when it returns, and begins it again when it raises. Being cancelled ends both.

    ``tell`` is told of each failure with the seconds until it goes on.
    """
    pause = 0.0
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, what has to go on goes on
            good = time.monotonic() - began >= STABLE_SECONDS
            pause = SHORTEST_PAUSE if good else min(LONGEST_PAUSE, max(SHORTEST_PAUSE, pause * 2))
            on_failure(name, error, pause)
            await asyncio.sleep(pause)
        else:
            return
