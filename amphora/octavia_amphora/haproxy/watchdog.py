# SPDX-License-Identifier: Apache-2.0
"""Finding a haproxy that hangs: a process that is there and does not answer, stopped, locked up or busy for ever.

A machine under load makes a good one slow. So a silent process is judged by its processor time: one that sleeps through
our questions, or has had seconds of a processor and not answered, hangs; one that waits for a processor is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from . import orphans, runtime
from .paths import Paths
from .process import Haproxy

log = logging.getLogger("octavia_amphora.haproxy")

LOOK_SECONDS = 1.0
"""A look reads one file of /proc for each process; a question is asked only where something is amiss."""
ANSWER_SECONDS = 1.0
CONFIRMED = 2
"""So many questions in a row that a process slept through."""
BUSY_SECONDS = 3.0
"""Processor time without an answer: haproxy ends by itself what takes a second at a stretch."""
STOPPED = ("T", "t")
PROC = Path("/proc")


class Reloading(Protocol):
    """Who knows whether haproxy may be silent for good reason."""

    @property
    def reloading(self) -> bool:
        """Whether it starts or reloads now."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """A process now: its state (proc(5)), and the seconds that it has had of a processor."""

    state: str
    spent: float


def state_of(pid: int) -> str:
    """The state of a process (proc(5)), "X" when it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def see(pid: int) -> ProcessSample | None:
    """Look at a process and all of its threads; None when it is gone."""
    state = state_of(pid)
    try:
        spent = sum(int(path.read_text().split()[0]) for path in (PROC / str(pid) / "task").glob("*/schedstat"))
    except (OSError, ValueError, IndexError):
        return None
    return None if state in ("Z", "X") else ProcessSample(state, spent / 1e9)


class Judgement:
    """Of one process, question by question."""

    def __init__(self, first: ProcessSample) -> None:
        self._first = self._last = first
        self._slept = 0

    def silent(self, now: ProcessSample) -> bool:
        """It did not answer; whether it hangs."""
        asleep = now.state in STOPPED or (now.state != "R" and now.spent == self._last.spent)
        self._slept = self._slept + 1 if asleep else 0
        self._last = now
        return self._slept >= CONFIRMED or now.spent - self._first.spent >= BUSY_SECONDS


class Watchdog:
    """Of one haproxy. A process that hangs is ended with all others of its haproxy: whoever sees that starts it anew."""

    def __init__(self, load_balancer_id: str, paths: Paths, haproxy: Haproxy, exchange: Reloading) -> None:
        self._id = load_balancer_id
        self._paths = paths
        self._haproxy = haproxy
        self._exchange = exchange
        self._suspicion = asyncio.Event()

    def suspect(self) -> None:
        """Somebody asked haproxy and got no answer."""
        self._suspicion.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._suspicion.wait()
            suspected = self._suspicion.is_set()
            self._suspicion.clear()
            if self._haproxy.alive and not self._exchange.reloading and (suspected or self._is_stopped()):
                await self._examine()

    def _is_stopped(self) -> bool:
        return any(state_of(pid) in STOPPED for pid in (self._haproxy.master, *self._haproxy.workers))

    async def _examine(self) -> None:
        def worker() -> Awaitable[object]:
            return runtime.ask(self._paths.stats_socket, "show info", timeout=ANSWER_SECONDS)

        def master() -> Awaitable[object]:
            return runtime.ask(self._paths.master_socket, "show proc", timeout=ANSWER_SECONDS)

        for what, pids, question in (
            ("worker", self._haproxy.workers, worker),
            ("master", (self._haproxy.master,), master),
        ):
            if pids and await self._hangs(pids[0], question):
                log.error("haproxy's %s %d hangs: ending it load_balancer=%s", what, pids[0], self._id)
                orphans.kill({self._haproxy.master, *self._haproxy.workers, *orphans.find(self._paths.config)} - {0})
                return

    async def _hangs(self, pid: int, question: Callable[[], Awaitable[object]]) -> bool:
        first = see(pid)
        if first is None:
            return False
        judgement = Judgement(first)
        while True:
            try:
                await question()
            except runtime.Silent as error:
                if not isinstance(error.__cause__, TimeoutError):
                    return False  # it refuses: it is ending or beginning
            else:
                return False
            now = see(pid)
            if now is None or self._exchange.reloading:
                return False
            if judgement.silent(now):
                return True
