# SPDX-License-Identifier: Apache-2.0
"""Which generation of a load balancer each amphora has in force, recorded from what its agent has on disk."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Self

INTERVAL = 0.1
ACCEPTED = "root/var/lib/octavia-amphora/{}/accepted.json"


@dataclass(frozen=True, slots=True)
class Seen:
    """At this moment this amphora had this in force."""

    time: float
    amphora: str
    fence: int
    revision: int
    generation: int


def backwards(history: Iterable[Seen]) -> list[tuple[Seen, Seen]]:
    """What an amphora had in force, and then something older."""
    by_amphora: dict[str, list[Seen]] = {}
    for one in sorted(history, key=lambda one: one.time):
        by_amphora.setdefault(one.amphora, []).append(one)
    return [
        (earlier, later)
        for its in by_amphora.values()
        for earlier, later in itertools.pairwise(its)
        if later.generation < earlier.generation or (later.fence, later.revision) < (earlier.fence, earlier.revision)
    ]


def newest(history: Iterable[Seen]) -> dict[str, int]:
    """The last generation of each amphora."""
    return {one.amphora: one.generation for one in sorted(history, key=lambda one: one.time)}


class GenerationRecorder:
    """Looks every now and then. ``amphorae``: the first processes by name, as they are then."""

    def __init__(self, load_balancer_id: str, amphorae: Callable[[], dict[str, int]]) -> None:
        self._path, self._amphorae = ACCEPTED.format(load_balancer_id), amphorae
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._last: dict[str, tuple[int, int, int]] = {}
        self.history: list[Seen] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.look()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        """Now."""
        for name, pid in list(self._amphorae().items()):
            with contextlib.suppress(OSError, ValueError, KeyError):
                stamp = json.loads((Path(f"/proc/{pid}") / self._path).read_bytes())["stamp"]
                seen = (stamp["fence"], stamp["revision"], stamp["generation"])
                if self._last.get(name) != seen:
                    self._last[name] = seen
                    self.history.append(Seen(time.monotonic(), name, *seen))
