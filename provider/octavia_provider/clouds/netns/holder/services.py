# SPDX-License-Identifier: Apache-2.0
"""One process that is kept running: started, started again when it ends, later each time it ends early."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import kernel
from .confinement import Confinement

SHORTEST_WAIT = 0.1
LONGEST_WAIT = 5.0
GOOD_RUN = 5.0
"""Seconds: a process that ran this long is started again at once, one that did not after a growing wait."""
KEPT_LOGS = 200
"""Log files of amphorae and hosts, those of deleted ones too: they tell why something was replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is executed. ``confinement``: who it becomes, and all that it may not do.

    ``output``: the descriptor that becomes its standard output and error. ``keep``: a descriptor that it inherits under
    the same number. ``network``: a descriptor of the network namespace to enter first, None for our own.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    output: int
    confinement: Confinement
    keep: int | None = None
    network: int | None = None


def execute(program: Program) -> int:
    """Start it in a session of its own; its process id, or the OSError that the execution met."""
    reader, writer = os.pipe()  # close-on-exec: it reads empty when the execution worked
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        try:
            _become(program)
        except OSError as error:
            os.write(writer, str(error.errno or errno.EINVAL).encode())
        except Exception as error:  # noqa: BLE001 - there is nobody above us who could tell it
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os.write(writer, str(errno.EINVAL).encode())
        finally:
            os._exit(127)
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        failure = report.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)), program.argv[0])
    return pid


def _become(program: Program) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    os.umask(0o022)
    if program.network is not None:
        kernel.setns(program.network, kernel.CLONE_NEWNET)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(program.output, 1)
    os.dup2(program.output, 2)
    if program.keep is not None:
        os.set_inheritable(program.keep, True)
    os.chdir("/")
    program.confinement.put_on()
    os.execvpe(program.argv[0], list(program.argv), dict(program.environment))  # noqa: S606 - a shell would be one more


class Service:
    """A program that is kept running. Its owner reaps children, tells ``ended`` and calls ``tick`` when ``due`` has come."""

    def __init__(self, program: Program, say: Callable[[str], None]) -> None:
        self.program = program
        self.pid = 0
        self.due: float | None = None
        self._say = say
        self._wait = 0.0
        self._since = 0.0

    def start(self) -> None:
        """Start it now. OSError when it cannot be executed; it is not tried again then."""
        self.due = None
        self._since = time.monotonic()
        self.pid = execute(self.program)

    def ended(self, status: int) -> None:
        """It ended (``status`` as of waitpid): it is started again, after a wait if it ended early."""
        now = time.monotonic()
        good = now - self._since >= GOOD_RUN
        self._wait = 0.0 if good else min(LONGEST_WAIT, max(SHORTEST_WAIT, self._wait * 2))
        self._say(f"{self.program.argv[0]} (process {self.pid}) {_how(status)}; starting it again in {self._wait:g} s")
        self.pid = 0
        self.due = now + self._wait

    def tick(self, now: float) -> None:
        """Start it again if its time has come."""
        if self.due is not None and now >= self.due:
            self.start_or_later()

    def start_or_later(self) -> None:
        """Start it now, or in a while where that cannot be done now."""
        try:
            self.start()
        except OSError as error:
            self._wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, self._wait * 2))
            self.due = time.monotonic() + self._wait
            self._say(f"{self.program.argv[0]} cannot be started: {error.strerror}; trying again in {self._wait:g} s")

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End its whole session, for good, and wait for the process itself."""
        pid, self.pid, self.due = self.pid, 0, None
        if pid:
            kill_group(pid, number)
            os.waitpid(pid, 0)


def kill_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that the process leads; nothing happens when it is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"


def reap(unstoppable: Container[int] = ()) -> list[tuple[int, int]]:
    """All children that have ended: (process id, status).

    Those of ``unstoppable`` are ended where they were stopped (SIGSTOP): they would take connections and answer none.
    """
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if not os.WIFSTOPPED(status):
            found.append((pid, status))
        elif pid in unstoppable:
            kill_group(pid, signal.SIGKILL)


def prune_logs(folder: Path, keep: int = KEPT_LOGS) -> None:
    """Remove the logs that nobody has written to for the longest, beyond ``keep`` of them."""
    with contextlib.suppress(OSError):
        logs = sorted(folder.glob("*.log*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in logs[keep:]:
            path.unlink(missing_ok=True)


class BoundedLog:
    """A log file that keeps one older part beside it (``.1``), so it never holds more than twice ``limit`` bytes."""

    def __init__(self, path: str, limit: int = 1 << 20) -> None:
        self._path = Path(path)
        self._limit = limit
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, data: bytes) -> None:
        """Append; a disk that is full loses lines, never the process that writes them."""
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(data)
                size = file.tell()
            if size >= self._limit:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        except OSError:
            return

    def say(self, line: str) -> None:
        """One line of our own, with the time (UTC)."""
        self.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n".encode())
