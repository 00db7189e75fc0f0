# SPDX-License-Identifier: Apache-2.0
"""One haproxy, master and workers, of one load balancer: started, found again, reloaded, watched, stopped.

It has a session of its own and its standard error goes to a file, so it outlives the agent. Waiting is for what haproxy
says (``sd_notify``) and for the end of a process (``pidfd``), never for time to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable

from . import runtime, strays
from .account import options
from .log_watch import LogWatch
from .notify import Notices
from .paths import Paths

# haproxy writes a line for each server that changes, at run time and when a check fails, into memory-backed storage.
LOG_LIMIT, LOG_KEPT = 1024 * 1024, 256 * 1024


class Failed(Exception):
    """haproxy did not come up with a file; the message is in its own words."""


class Haproxy:
    """The processes of one load balancer. ``master`` is 0 while there is none, ``workers`` are the current ones."""

    def __init__(
        self, binary: str, paths: Paths, *, on_death: Callable[[], None], on_log: Callable[[], None] = lambda: None
    ) -> None:
        self.master = 0
        self.workers: tuple[int, ...] = ()
        self._binary = binary
        self._paths = paths
        self._notices = Notices(paths.notify_socket, paths.account)
        self._on_death = on_death
        self._log_watch = LogWatch(paths.log, on_log)
        self._pidfd: int | None = None
        self._gone = asyncio.Event()

    async def adopt(self) -> bool:
        """Find the haproxy that an earlier agent started; False when none answers."""
        try:
            found = await self._learn()
        except runtime.Silent:
            return False
        strays.kill(strays.find(self._paths.config) - found)
        self._notices.open()
        return self._watch(self.master)

    async def start(self, mark: str, *, timeout: float) -> None:
        """Start it with the file at ``Paths.config``; ``Failed`` when it does not serve in time."""
        self._paths.make()
        strays.kill(strays.find(self._paths.config))
        for stale in (self._paths.stats_socket, self._paths.master_socket):
            stale.unlink(missing_ok=True)
        if not self._paths.server_states.exists():
            self._paths.server_states.write_text("1\n")
        self.trim_log()
        self._notices.open()
        self._notices.expect()
        began = self._log_size()
        pid = self._spawn()
        if not self._watch(pid):
            raise Failed(f"haproxy ended at once: {self._said_since(began)}")
        await self._settled(mark, timeout=timeout, began=began)

    async def reload(self, mark: str, *, timeout: float) -> None:
        """Have the master load the file anew; ``Failed`` when the old configuration is what still serves."""
        began = self._log_size()
        self._notices.expect()
        try:
            await runtime.ask(self._paths.master_socket, "reload")
        except runtime.Silent as error:
            raise Failed(str(error)) from error
        await self._settled(mark, timeout=timeout, began=began)

    async def stop(self, *, timeout: float) -> None:
        """End it: gracefully (SIGUSR1) while ``timeout`` lasts, then at once."""
        for number, patience in ((signal.SIGUSR1, timeout), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            if not self.master:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.master, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), patience)
        self.release()

    def release(self) -> None:
        """Let go of it; it goes on running."""
        self._unwatch()
        self._notices.close()

    @property
    def alive(self) -> bool:
        """Whether there is a master."""
        return self.master != 0

    @property
    def serving(self) -> bool:
        """Whether a worker has said that it is ready (an old one, while a reload goes on)."""
        return bool(self.workers)

    @property
    def tells_states(self) -> bool:
        """Whether a server that changes its state is told by ``on_log``."""
        return self._log_watch.is_open

    async def _settled(self, mark: str, *, timeout: float, began: int) -> None:
        """Wait until the worker that serves has loaded the file with this mark."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready_or_gone()
                await self._learn()
                answering = await self._answering(mark)
        except (TimeoutError, runtime.Silent) as error:
            raise Failed(f"haproxy is not ready after {timeout:g} s: {self._said_since(began) or error}") from error
        if not answering:
            raise Failed(self._said_since(began) or "haproxy went on with its former configuration")

    async def _ready_or_gone(self) -> None:
        ready, gone = asyncio.ensure_future(self._notices.ready()), asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait((ready, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            gone.cancel()
        if self._gone.is_set():
            raise runtime.Silent("haproxy ended")

    async def _answering(self, mark: str) -> bool:
        """Whether the current worker has this mark; an old one may still answer for a moment (they share the socket)."""
        while True:
            pid, description = await runtime.describe(self._paths.stats_socket)
            if description == mark:
                return True
            if pid in self.workers:
                return False
            await asyncio.sleep(0.005)

    async def _learn(self) -> set[int]:
        """Ask the master who is who; the process ids of all."""
        found = await runtime.processes(self._paths.master_socket)
        masters = [process.pid for process in found if process.kind == "master"]
        if not masters:
            raise runtime.Silent("master.sock names no master")
        self.master = masters[0]
        self.workers = tuple(process.pid for process in found if process.kind == "worker" and process.current)
        return {process.pid for process in found}

    # ── The process ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _spawn(self) -> int:
        paths = self._paths
        command = [self._binary, "-Ws", "-S", f"{paths.master_socket},mode,600,level,admin", "-f", str(paths.config)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(paths.notify_socket)}
        with paths.log.open("ab") as log:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                    **options(paths.account),
                )
            except OSError as error:
                raise Failed(f"{self._binary} cannot be run: {error}. Install haproxy 2.6 or newer") from error
        # From here on the pidfd tells of its end, and _ended reaps it.
        process.returncode = 0
        return process.pid

    def _watch(self, pid: int) -> bool:
        self._unwatch()
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.master = 0
            return False
        self.master = pid
        self._gone.clear()
        self._log_watch.open()
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)
        return True

    def _unwatch(self) -> None:
        self._log_watch.close()
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _ended(self) -> None:
        with contextlib.suppress(ChildProcessError):  # adopted: another process reaps it
            os.waitpid(self.master, os.WNOHANG)
        self._unwatch()
        self.master, self.workers = 0, ()
        self._gone.set()
        self._on_death()

    # ── Its words ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _log_size(self) -> int:
        try:
            return self._paths.log.stat().st_size
        except FileNotFoundError:
            return 0

    def _said_since(self, position: int) -> str:
        """What haproxy complained of since then, in one line."""
        try:
            with self._paths.log.open("rb") as log:
                log.seek(position)
                text = log.read(65536).decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "; ".join(line for line in text.splitlines() if line.startswith("[ALERT]"))

    def trim_log(self) -> None:
        """Keep the end of a log that has grown long. Not during a reload: what is said then is looked up by its place.

        haproxy appends, so its next line comes behind what is kept.
        """
        size = self._log_size()
        if size > LOG_LIMIT:
            with self._paths.log.open("rb") as log:
                log.seek(size - LOG_KEPT)
                kept = log.read()
            self._paths.log.write_bytes(kept.partition(b"\n")[2])
