# SPDX-License-Identifier: Apache-2.0
"""One haproxy, master and workers, of one load balancer: started, found again, reloaded, watched, stopped.

It has a session of its own and its standard error goes to a file, so it outlives the agent. Waiting is for what haproxy
says (``sd_notify``) and for the end of a process (``pidfd``), never for time to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TypeVar

from octavia_amphora.shortage import is_shortage
from octavia_amphora.wire.haproxy_versions import OLDEST, Version, parse

from . import orphans, runtime, startup_errors
from .log_watch import LogWatch
from .paths import Paths
from .sd_notify import NotifySocket
from .user import popen_options

T = TypeVar("T")

# haproxy writes a line for each server that changes, at run time and when a check fails, into memory-backed storage.
LOG_LIMIT, LOG_KEPT = 1024 * 1024, 256 * 1024
# A socket that refuses is asked again after this: the master of 2.6 to 3.0 replaces itself after READY=1, and nobody
# listens meanwhile (measured: 15 ms on an idle machine).
RETRY_SECONDS = 0.01
# How long a haproxy that runs may refuse before an agent that comes new takes it for broken.
ADOPT_SECONDS = 10.0
KEPT_OLD_CONFIGURATION = "haproxy went on with its former configuration"


class HaproxyFailed(Exception):
    """haproxy did not come up with a file; the message is in its own words."""


class _NotServing(Exception):
    """haproxy did not do what was waited for, and will not."""


class Haproxy:
    """The processes of one load balancer. ``master`` is 0 while there is none, ``workers`` are the current ones.

    ``version`` is that of the workers, which an upgrade on the disk leaves as it is until the next reload.
    """

    def __init__(
        self, binary: str, paths: Paths, *, on_death: Callable[[], None], on_log: Callable[[], None] = lambda: None
    ) -> None:
        self.master = 0
        self.workers: tuple[int, ...] = ()
        self.version: Version | None = None
        self._binary = binary
        self._paths = paths
        self._notices = NotifySocket(paths.notify_socket, paths.haproxy_user)
        self._on_death = on_death
        self._log_watch = LogWatch(paths.log, on_log)
        self._pidfd: int | None = None
        self._exited = asyncio.Event()
        self._exit_reason = ""  # how it ended
        self._last_problem = ""  # what is in the way of what is waited for

    async def adopt(self) -> bool:
        """Find the haproxy that an earlier agent started; False when none answers."""
        deadline, misses = time.monotonic() + ADOPT_SECONDS, 0
        while True:
            try:
                found = await self._query_processes()
                break
            except runtime.RuntimeApiError:
                # One that replaces itself at this moment has no command line: it has to be missed twice.
                misses = 0 if orphans.find(self._paths.config) else misses + 1
                if misses == 2 or time.monotonic() > deadline:
                    return False
            await asyncio.sleep(RETRY_SECONDS)
        orphans.kill(orphans.find(self._paths.config) - found)
        self._notices.open()
        return self._watch(self.master)

    async def start(self, mark: str, *, timeout: float, connections: int | None = None) -> None:
        """Start it with the file at ``Paths.config``; ``Failed`` when it does not serve in time.

        ``connections``: so many at most, whatever the file says.
        """
        self._paths.create()
        orphans.kill(orphans.find(self._paths.config))
        for stale in (self._paths.stats_socket, self._paths.master_socket):
            stale.unlink(missing_ok=True)
        if not self._paths.server_states.exists():
            self._paths.server_states.write_text("1\n")
        self.trim_log()
        self._notices.open()
        self._notices.reset()
        log_position = self._log_size()
        pid = self._spawn(connections)
        if not self._watch(pid):
            raise HaproxyFailed(f"haproxy ended at once{self._log_errors(log_position)}")
        async with self._deadline(timeout, log_position):
            await self._wait_serving(mark)

    async def reload(self, mark: str, *, timeout: float) -> None:
        """Have the master load the file anew; ``Failed`` when the old configuration is what still serves."""
        log_position = self._log_size()
        self._notices.reset()
        async with self._deadline(timeout, log_position, frozenset(self.workers)):
            await self._request_reload(timeout)
            await self._wait_serving(mark)

    async def stop(self, *, timeout: float) -> None:
        """End it: gracefully (SIGUSR1) while ``timeout`` lasts, then at once."""
        for number, patience in ((signal.SIGUSR1, timeout), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            if not self.master:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.master, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), patience)
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
    def watches_log(self) -> bool:
        """Whether a server that changes its state is told by ``on_log``."""
        return self._log_watch.is_open

    # ── Waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @contextlib.asynccontextmanager
    async def _deadline(
        self, seconds: float, log_position: int, others: AbstractSet[int] = frozenset()
    ) -> AsyncIterator[None]:
        """``Failed``, with what stood in the way, when the body is not done in time or haproxy gave up."""
        start, self._last_problem = time.monotonic(), "it has not said READY=1"
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            passed = f"haproxy is not ready after {time.monotonic() - start:.1f} s: {self._last_problem}"
            raise HaproxyFailed(passed + self._log_errors(log_position, others)) from error
        except _NotServing as error:
            raise HaproxyFailed(str(error) + self._log_errors(log_position, others)) from error

    async def _request_reload(self, timeout: float) -> None:
        """Tell the master to reload, once it listens. A second word does no harm: it loads the same file."""

        async def tell() -> str:
            return await runtime.execute(self._paths.master_socket, "reload", timeout=timeout)

        if (reason := startup_errors.reload_error(await self._retry(tell))) is not None:
            with contextlib.suppress(runtime.RuntimeApiError):
                await self._query_processes()
            raise HaproxyFailed(f"{KEPT_OLD_CONFIGURATION}: {reason}")

    async def _wait_serving(self, mark: str) -> None:
        """Wait until haproxy has said that it is ready, and a worker answers that has loaded the file with this mark."""
        await self._wait_or_exit(self._notices.wait_ready())
        await self._retry(self._query_processes)
        if not await self._retry(lambda: self._has_mark(mark)):
            raise _NotServing(KEPT_OLD_CONFIGURATION)

    async def _retry(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer. A socket that does not answer is asked again: whoever refuses now may only be starting."""
        while True:
            try:
                return await ask()
            except runtime.RuntimeApiError as error:
                self._last_problem = str(error)
            await self._wait_or_exit(asyncio.sleep(RETRY_SECONDS))

    async def _wait_or_exit(self, what: Coroutine[None, None, None]) -> None:
        """Wait for it, or for the end of haproxy."""
        waiting, gone = asyncio.ensure_future(what), asyncio.ensure_future(self._exited.wait())
        try:
            await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            gone.cancel()
        if self._exited.is_set():
            raise _NotServing(f"haproxy ended{self._exit_reason}")

    async def _has_mark(self, mark: str) -> bool:
        """Whether the current worker has this mark; an old one may still answer for a moment (they share the socket)."""
        while True:
            pid, description = await runtime.current_worker(self._paths.stats_socket)
            if description == mark:
                return True
            if pid in self.workers:
                return False
            self._last_problem = f"process {pid} answers, with its former configuration"
            await asyncio.sleep(RETRY_SECONDS)

    async def _query_processes(self) -> set[int]:
        """Ask the master who is who; the process ids of all."""
        found = await runtime.processes(self._paths.master_socket)
        masters = [process.pid for process in found if process.kind == "master"]
        if not masters:
            raise runtime.RuntimeApiError("master.sock names no master")
        self.master = masters[0]
        self.workers = runtime.serving_workers(found)
        self.version = next((parse(process.version) for process in found if process.pid in self.workers), None)
        return {process.pid for process in found}

    # ── The process ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _spawn(self, connections: int | None) -> int:
        paths = self._paths
        command = [self._binary, "-Ws", "-S", f"{paths.master_socket},mode,600,level,admin", "-f", str(paths.config)]
        command += [] if connections is None else ["-n", str(connections)]
        environment = {**os.environ, "NOTIFY_SOCKET": str(paths.notify_socket)}
        with paths.log.open("ab") as log, _new_lock(paths.lock) as lock:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                    pass_fds=(lock,),
                    **popen_options(paths.haproxy_user),
                )
            except OSError as error:
                if is_shortage(error):
                    raise
                raise HaproxyFailed(
                    f"{self._binary} cannot be run: {error}. Install haproxy {OLDEST} or newer"
                ) from error
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
        self.master, self._exit_reason = pid, ""
        self._exited.clear()
        self._log_watch.open()
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)
        return True

    def _unwatch(self) -> None:
        self._log_watch.close()
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _on_exit(self) -> None:
        with contextlib.suppress(ChildProcessError):  # adopted: another process reaps it
            _, status = os.waitpid(self.master, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status)
            self._exit_reason = f" with exit code {code}" if code >= 0 else f", killed by {signal.Signals(-code).name}"
        self._unwatch()
        self.master, self.workers = 0, ()
        self._exited.set()
        self._on_death()

    # ── Its words ────────────────────────────────────────────────────────────────────────────────────────────────────
    def _log_size(self) -> int:
        try:
            return self._paths.log.stat().st_size
        except FileNotFoundError:
            return 0

    def _log_errors(self, position: int, others: AbstractSet[int] = frozenset()) -> str:
        """``: `` and the causes that haproxy named since then, in one line; empty when it named none."""
        try:
            with self._paths.log.open("rb") as log:
                log.seek(position)
                text = log.read(65536).decode(errors="replace")
        except FileNotFoundError:
            return ""
        found = startup_errors.reasons(text, others)
        return f": {found}" if found else ""

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


@contextlib.contextmanager
def _new_lock(path: Path) -> Iterator[int]:
    """A locked file, for haproxy to inherit: the lock lasts as long as the last of its processes."""
    path.unlink(missing_ok=True)  # who waits for that of an earlier haproxy goes on to do so
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)
