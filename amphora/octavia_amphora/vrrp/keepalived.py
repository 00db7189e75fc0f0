# SPDX-License-Identifier: Apache-2.0
"""One keepalived: a process, and its child that does the work. Started, found again, told of a new file, watched, ended.

It has a session of its own and its standard error goes to a file, so it outlives the agent. ``--dont-respawn``: a child that dies
takes its parent along, and what comes next is decided here: a child that is started at once would take the addresses off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from octavia_amphora.haproxy import orphans
from octavia_amphora.haproxy.watchdog import STOPPED, state_of
from octavia_amphora.shortage import is_shortage
from octavia_amphora.wire.vrrp import STATES, VrrpState

from .addresses import VrrpError
from .files import VrrpFiles
from .notices import Notices

CAPABILITIES = ("net_admin", "net_raw")
"""Addresses of interfaces; adverts and announcements. It has no other one, although it is root of the amphora."""
STOP_SECONDS = 3.0
TEST_SECONDS = 20.0
LOG_LIMIT = 256 * 1024
# ``--no_bfd``: 2.3 opens that process's pid file all the same, in /run, and where it cannot says that it is "already running".
_COMMAND = ("keepalived", "--dont-fork", "--log-console", "--vrrp", "--no_bfd", "--dont-respawn", "--use-file")


class Keepalived:
    """Of one load balancer. ``state`` is what it said last, "FAULT" while it does not run."""

    def __init__(self, files: VrrpFiles, *, on_state: Callable[[], None], on_death: Callable[[], None]) -> None:
        self.state: VrrpState = "FAULT"
        self.pid = 0
        self.has_told = False
        """Whether the one that runs has said a state: until then it may miss a signal (``reload``), or die of it."""
        self._files = files
        self._on_state = on_state
        self._on_death = on_death
        self._notices = Notices(files.notices, self._on_notice)
        self._pidfd: int | None = None
        self._exited = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.pid != 0

    def adopt(self) -> bool:
        """Find the one that an earlier agent started; False when there is none, or only a part of one."""
        processes, words = self.processes(), ["0", "FAULT"]
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._files.parent_pid.read_text())
            if pid in processes and len(processes) > 1:
                self._watch(pid)
        if self.alive:
            with contextlib.suppress(OSError):
                words = self._files.state.read_text().split()
            self.has_told = words[:1] == [str(self.pid)]
            self.state = STATES.get(words[-1], "FAULT") if self.has_told else "FAULT"
            self._notices.open()
            self._notices.read()
        return self.alive

    def start(self) -> None:
        """Start it with the file at ``VrrpFiles.config``. Nothing of an earlier one may be left."""
        self.has_told = False
        self._notices.open()
        self._notices.forget()
        if self._files.log.exists() and self._files.log.stat().st_size > LOG_LIMIT:
            self._files.log.unlink()
        own = ",".join(f"+{name}" for name in CAPABILITIES)
        command = [
            "setpriv", f"--bounding-set=-all,{own}", "--inh-caps=-all", *_COMMAND, str(self._files.config),
            "--pid", str(self._files.parent_pid), "--vrrp_pid", str(self._files.child_pid),
        ]  # fmt: skip
        with self._files.log.open("ab") as log:
            process = _popen(command, log.fileno())
        process.returncode = 0  # the pidfd tells of its end, and _on_exit reaps it
        self._watch(process.pid)

    def reload(self) -> None:
        """Have it read the file anew; what it is goes on. Lost where it ``has_told`` nothing: it may have read the file, and not listen yet."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGHUP)

    async def stop(self) -> None:
        """End it: it tells the others, who need not wait for its silence then, and takes the addresses off."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), STOP_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End all of its processes at once; the addresses stay where they are."""
        own = {self.pid} - {0}  # it may be too young to be found by its command line
        self.release()
        await asyncio.to_thread(self._end, own)
        self.state = "FAULT"

    def _end(self, own: set[int]) -> None:
        orphans.kill(own | self.processes())
        for pid in own:  # the next one takes a zombie that its pid file names for one that runs
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def end_stopped(self) -> bool:
        """End it where one of its processes was stopped (SIGSTOP): it says nothing, and others say that they own the addresses."""
        if not self.alive or not any(state_of(pid) in STOPPED for pid in (self.pid, *_children(self.pid))):
            return False
        orphans.kill(self.processes())
        return True

    def release(self) -> None:
        """Let go of it; it goes on running."""
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self.pid = 0
        self._notices.close()

    def processes(self) -> set[int]:
        """All that were started with the file, orphans too."""
        return orphans.find(self._files.config, b"--use-file")

    def log_tail(self) -> str:
        """What it said last, in one line."""
        try:
            lines = self._files.log.read_text(errors="replace").splitlines()[-3:]
        except OSError:
            return ""
        return "; ".join(line.partition(": ")[2] or line for line in lines)

    def _watch(self, pid: int) -> None:
        self._exited.clear()
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.pid = pid
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        with contextlib.suppress(ChildProcessError):  # adopted: another process reaps it
            os.waitpid(self.pid, os.WNOHANG)
        self._notices.read()
        self.release()
        self._exited.set()
        self._on_death()

    def _on_notice(self, state: VrrpState) -> None:
        self.state, self.has_told = state, True
        with contextlib.suppress(OSError):
            self._files.state.write_text(f"{self.pid} {state}")
        self._on_state()


def check(config: Path) -> str:
    """What keepalived has against a file; empty when nothing."""
    command = ["keepalived", "--config-test", "--use-file", str(config)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        if isinstance(error, OSError) and not is_shortage(error):
            raise VrrpError(f"keepalived cannot be run: {error}. Install it") from error
        raise
    return (
        "" if done.returncode == 0 else " ".join((done.stdout + done.stderr).split()) or f"exit code {done.returncode}"
    )


def _popen(command: list[str], log: int) -> subprocess.Popen[bytes]:
    missing = [program for program in ("setpriv", "keepalived") if shutil.which(program) is None]
    if missing:
        raise VrrpError(f"this amphora has no {missing[0]}")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []
