# SPDX-License-Identifier: Apache-2.0
"""Finding a haproxy that hangs: a process that is there and does not answer, stopped, locked up or busy for ever.

A machine under load makes a good one slow. So a silent process is judged by its processor time: one that sleeps through
our questions, or has had seconds of a processor and not answered, hangs; one that waits for a processor is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from octavia_amphora.supervision import supervised
from octavia_amphora.wire.heartbeat import Repairs

from . import orphans, runtime
from .paths import Paths
from .process import Haproxy

log = logging.getLogger("octavia_amphora.haproxy")

CHECK_INTERVAL = 1.0
"""A look reads one file of /proc for each process; a question is asked only where something is amiss."""
PAIR_INTERVAL = 0.25
"""The same for one of a pair, which another amphora can stand in for at once."""
QUESTIONS_EVERY = 2
"""There a question is asked at every so many looks, whether something seems amiss or not: one that the worker answers at once."""
QUESTION_TIMEOUT = 0.5
BUSY_SUSPECT_SECONDS = 1.0
"""Processor time without an answer, after which one of a pair gives up its addresses."""
ANSWER_TIMEOUT = 1.0
SLEEP_LIMIT = 2
"""So many questions in a row that a process slept through."""
BUSY_SECONDS = 3.0
"""Processor time without an answer: haproxy ends by itself what takes a second at a stretch."""
STOPPED = ("T", "t")
PROC = Path("/proc")


class ReloadState(Protocol):
    """Who knows whether haproxy may be silent for good reason."""

    @property
    def reloading(self) -> bool:
        """Whether it starts or reloads now."""
        ...


class Standby(Protocol):
    """Whether another amphora can take over, and what it hears of our haproxy."""

    @property
    def active(self) -> bool:
        """Whether there is another one."""
        ...

    def set_serving(self, *, serving: bool) -> None:
        """Whether haproxy serves: it is to have the addresses only then."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """A process now: its state (proc(5)), and the seconds that it has had of a processor."""

    state: str
    cpu_seconds: float


def state_of(pid: int) -> str:
    """The state of a process (proc(5)), "X" when it is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"


def sample(pid: int) -> ProcessSample | None:
    """Look at a process and all of its threads; None when it is gone."""
    state = state_of(pid)
    try:
        spent = sum(int(path.read_text().split()[0]) for path in (PROC / str(pid) / "task").glob("*/schedstat"))
    except (OSError, ValueError, IndexError):
        return None
    return None if state in ("Z", "X") else ProcessSample(state, spent / 1e9)


class HangDetector:
    """Of one process, question by question."""

    def __init__(
        self, first: ProcessSample, sleep_limit: int = SLEEP_LIMIT, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self._first = self._last = first
        self._sleep_limit, self._busy_seconds = sleep_limit, busy_seconds
        self._sleep_count = 0

    def record_timeout(self, now: ProcessSample) -> bool:
        """It did not answer; whether it hangs."""
        asleep = now.state in STOPPED or (now.state != "R" and now.cpu_seconds == self._last.cpu_seconds)
        self._sleep_count = self._sleep_count + 1 if asleep else 0
        self._last = now
        busy = now.cpu_seconds - self._first.cpu_seconds
        return self._sleep_count >= self._sleep_limit or busy >= self._busy_seconds


class Watchdog:
    """Of one haproxy. A process that hangs is ended with all others of its haproxy: whoever sees that starts it anew."""

    def __init__(
        self, load_balancer_id: str, paths: Paths, haproxy: Haproxy, reload_state: ReloadState, standby: Standby,
        *, repairs: Repairs,
    ) -> None:  # fmt: skip
        self._id = load_balancer_id
        self._paths = paths
        self._haproxy = haproxy
        self._reload_state = reload_state
        self._standby = standby
        self._repairs = repairs
        self._looks = 0
        self._triggered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for a haproxy that hangs, from now on."""
        if self._task is None:
            self._task = asyncio.ensure_future(supervised(f"watchdog {self._id}", self.run))

    def cancel(self) -> None:
        """Look no longer."""
        if self._task is not None:
            self._task.cancel()

    def trigger(self) -> None:
        """Somebody asked haproxy and got no answer."""
        self._triggered.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAIR_INTERVAL if self._standby.active else CHECK_INTERVAL):
                    await self._triggered.wait()
            suspected = self._triggered.is_set()
            self._triggered.clear()
            if self._haproxy.alive and not self._reload_state.reloading:
                suspected = suspected or self._is_stopped(self._haproxy.master, *self._haproxy.workers)
                if self._standby.active and await self._is_hung_for_clients(suspected=suspected):
                    self._standby.set_serving(serving=False)
                    suspected = True
                if suspected:
                    await self._check()

    @staticmethod
    def _is_stopped(*pids: int) -> bool:
        return any(state_of(pid) in STOPPED for pid in pids)

    async def _is_hung_for_clients(self, *, suspected: bool) -> bool:
        """A quick judgement of the worker, for one of a pair. ``_check`` takes more time to find it dead or well."""
        if not (workers := self._haproxy.workers):
            return False
        if self._is_stopped(workers[0]):
            return True
        self._looks += 1
        asks = suspected or self._looks % QUESTIONS_EVERY == 0
        return asks and await self._hangs(workers[0], self._ask_quickly, 1, BUSY_SUSPECT_SECONDS)

    async def _ask_quickly(self) -> None:
        await runtime.execute(self._paths.stats_socket, "show cli level", timeout=QUESTION_TIMEOUT)

    async def _check(self) -> None:
        def worker() -> Awaitable[object]:
            return runtime.execute(self._paths.stats_socket, "show info", timeout=ANSWER_TIMEOUT)

        def master() -> Awaitable[object]:
            return runtime.execute(self._paths.master_socket, "show proc", timeout=ANSWER_TIMEOUT)

        for what, pids, question in (
            ("worker", self._haproxy.workers, worker),
            ("master", (self._haproxy.master,), master),
        ):
            if pids and await self._hangs(pids[0], question):
                log.error("haproxy's %s %d hangs: ending it load_balancer=%s", what, pids[0], self._id)
                self._repairs.haproxy_hung += 1
                orphans.kill({self._haproxy.master, *self._haproxy.workers, *orphans.find(self._paths.config)} - {0})
                return
        if self._haproxy.alive and not self._reload_state.reloading:
            self._standby.set_serving(serving=self._haproxy.serving)

    async def _hangs(
        self, pid: int, question: Callable[[], Awaitable[object]], sleep_limit: int = SLEEP_LIMIT,
        busy_seconds: float = BUSY_SECONDS,
    ) -> bool:  # fmt: skip
        first = sample(pid)
        if first is None:
            return False
        judgement = HangDetector(first, sleep_limit, busy_seconds)
        while True:
            try:
                await question()
            except runtime.RuntimeApiError as error:
                if not isinstance(error.__cause__, TimeoutError):
                    if getattr(error.__cause__, "errno", None) != errno.ENOTCONN:
                        return False  # it refuses: it is ending or beginning
                    await asyncio.sleep(QUESTION_TIMEOUT)  # so many wait to be accepted that the kernel takes no more
            else:
                return False
            now = sample(pid)
            if now is None or self._reload_state.reloading:
                return False
            if judgement.record_timeout(now):
                return True
