# SPDX-License-Identifier: Apache-2.0
"""Which amphorae have been silent for too long, and whether the control plane may believe that. Pure: time is given.

Three things make silence the control plane's own: it did not listen (it was paused, it was busy, its socket was closed): it
listens for a whole timeout before it judges; or more than a set share of all amphorae is silent at once: the breaker opens,
and nobody is judged until most are heard again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

BEATS_IN_TIMEOUT = 3
FEW = 2
"""So many may always be silent: of two amphorae, both may be down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatTiming:
    """``interval`` between heartbeats and ``timeout``, in seconds; ``breaker_share``: the part of all amphorae that may be
    silent at once. ``ValueError`` where three heartbeats do not fit in the timeout."""

    interval: float = 1.0
    timeout: float = 3.5
    breaker_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the inequalities."""
        if self.timeout < BEATS_IN_TIMEOUT * self.interval:
            raise ValueError(
                f"{BEATS_IN_TIMEOUT} heartbeats, one each {self.interval:g} s, do not fit in the timeout of {self.timeout:g} s"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """``silent``: amphora id → seconds; each is named once in a timeout. ``quiet``: those that have been silent for half of it, once
    until they are heard. ``opened`` and ``closed``: the breaker, just now."""

    silent: dict[str, float]
    quiet: tuple[str, ...] = ()
    opened: bool = False
    closed: bool = False


class SilenceDetector:
    """Of all amphorae. ``look`` is called twice in an interval; a longer pause between two looks is one of our own."""

    def __init__(self, timing: HeartbeatTiming, now: float) -> None:
        self.timing = timing
        self.tripped = False
        self.quiet = 0
        self._heard: dict[str, float] = {}
        self._named: dict[str, float] = {}
        self._quiet: set[str] = set()
        self._looked = now
        self._since = now

    @property
    def known(self) -> int:
        """How many amphorae there are."""
        return len(self._heard)

    def expect(self, amphora_ids: Collection[str], now: float) -> None:
        """These should be heard from now on."""
        for amphora_id in amphora_ids:
            self._heard.setdefault(amphora_id, now)

    def forget(self, amphora_id: str) -> None:
        """It is gone."""
        self._heard.pop(amphora_id, None)
        self._named.pop(amphora_id, None)

    def heard(self, amphora_id: str, now: float) -> None:
        """A heartbeat came."""
        if amphora_id in self._heard:
            self._heard[amphora_id] = now

    def listen_again(self, now: float) -> None:
        """Nothing could be heard until now: what was missed says nothing."""
        self._since = now

    def look(self, now: float) -> Judgement:
        """Who is silent. Seen from a look that is late, nobody is: the heartbeats still wait in the socket."""
        late = now - self._looked > self.timing.timeout / 2
        self._looked = now
        if late:
            self.listen_again(now)
            return Judgement(silent={})
        opened, closed = self._trip(now)
        if self.tripped:
            return Judgement(silent={}, opened=opened, closed=closed)
        seconds = {i: s for i in self._heard if (s := self._seconds(i, now)) > self.timing.timeout / 2}
        silent = {id_: s for id_, s in seconds.items() if s > self.timing.timeout}
        self._named = {id_: at for id_, at in self._named.items() if id_ in silent}
        due = {id_: s for id_, s in silent.items() if now - self._named.get(id_, now - s) >= self.timing.timeout}
        self._named.update(dict.fromkeys(due, now))
        before, self._quiet = self._quiet, set(seconds)
        return Judgement(silent=due, quiet=tuple(self._quiet - before), opened=opened, closed=closed)

    def _trip(self, now: float) -> tuple[bool, bool]:
        """Those that fall silent together do so within one interval: those are counted too that are nearly silent."""
        nearly = self.timing.timeout - self.timing.interval
        self.quiet = sum(self._seconds(id_, now) > nearly for id_ in self._heard)
        limit = max(FEW, self.timing.breaker_share * len(self._heard))
        before, self.tripped = self.tripped, self.quiet > (limit if not self.tripped else limit / 2)
        return self.tripped and not before, before and not self.tripped

    def _seconds(self, amphora_id: str, now: float) -> float:
        return now - max(self._heard[amphora_id], self._since)
