# SPDX-License-Identifier: Apache-2.0
"""A cloud that does not answer: told of once when that begins and once when it ends, and tried again with growing pauses."""

from __future__ import annotations

from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0


class Outage:
    """What is tried has a name each (``start``, ``look``): the outage lasts until all that failed has succeeded or was given up.

    ``clock``: seconds; ``longest``: seconds of a pause at most.
    """

    def __init__(self, clock: Callable[[], float], longest: float) -> None:
        self._clock, self._longest = clock, longest
        self._since = 0.0
        self._failing: set[str] = set()

    def failed(self, what: str, error: Exception) -> float:
        """Seconds until it is tried again: as long as the outage has lasted, within the bounds."""
        if not self._failing:
            self._since = self._clock()
            log.warning("cloud.unreachable", reason=str(error))
        self._failing.add(what)
        return min(max(FIRST_PAUSE, self._clock() - self._since), self._longest)

    def over(self, what: str) -> None:
        """It succeeded, or is not wanted any more."""
        if what in self._failing:
            self._failing.remove(what)
            if not self._failing:
                log.info("cloud.reachable", seconds=round(self._clock() - self._since, 1))
