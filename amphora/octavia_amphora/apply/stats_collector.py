# SPDX-License-Identifier: Apache-2.0
"""What haproxy says of one load balancer now: states of listeners and servers, counters over all workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable

import msgspec

from octavia_amphora.haproxy import counters, runtime, servers
from octavia_amphora.haproxy.old_worker import SHOW_STAT, OldWorker
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import Counters, ListenerState, ServerState, States

from .disk import read, write

# A worker that takes longer does not serve well either; a heartbeat must not wait for it.
QUERY_TIMEOUT = 2.0
# A look takes a millisecond with a few servers; with thousands it takes longer, and then comes less often: looking takes
# a twentieth of the time at most.
COST_FACTOR = 20
MIN_INTERVAL = 0.01
# While there is one worker only the master is not asked who is there, but at every so many looks.
RECHECK_WORKERS = 20

log = logging.getLogger("octavia_amphora.apply")


class StatsCollector:
    """Looks at one haproxy. Its counters are kept on disk so that they go on over the agent's restarts.

    ``steady`` is held by who looks and by who reloads: in between, answers come from one worker or from the other.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._totals = read(paths.counters, counters.CounterTotals) or counters.CounterTotals()
        self._saved = b""
        self._single_worker: tuple[int, str] | None = None
        self._collections = 0
        self._cost = 0.0
        self._followers: set[asyncio.Task[None]] = set()
        self.lock = asyncio.Lock()

    async def collect(self, configuration: Configuration, digest: str) -> States:
        """All states and counters; ``serving`` is False when haproxy does not answer."""
        try:
            async with self.lock:
                began = time.monotonic()
                found = await self._collect(configuration, digest)
                self._cost = time.monotonic() - began
                return found
        except runtime.RuntimeApiError:
            return self.stopped_states(configuration, digest)

    @property
    def min_interval(self) -> float:
        """Seconds to let pass between two looks that nothing but haproxy's log asks for."""
        return max(MIN_INTERVAL, self._cost * COST_FACTOR)

    def reset_workers(self) -> None:
        """After a reload: the master is to be asked which workers there are."""
        self._single_worker = None

    @contextlib.asynccontextmanager
    async def follow_worker(self) -> AsyncIterator[None]:
        """Around a reload: what the old worker counts is not lost, and afterwards it accepts no connections."""
        try:
            old = await OldWorker.keep(self._paths.stats_socket)
        except runtime.RuntimeApiError as error:
            log.warning("what haproxy counts while it reloads may be lost: %s", error)
            yield
            return
        try:
            yield
            await old.wait_stopped()
            counted = await self._count_if_idle(old)
        except BaseException:
            old.release()
            raise
        if counted:
            old.release()
        else:
            task = asyncio.ensure_future(self._follow(old))
            self._followers.add(task)
            task.add_done_callback(self._followers.discard)

    async def _count_if_idle(self, old: OldWorker) -> bool:
        """Count with it for the last time, if it has no connections. Whoever calls holds the lock: who collects meanwhile
        would write down an earlier look after this one."""
        try:
            if await old.is_idle():
                listeners = await old.listeners()
                self._totals.update(old.key, {name: one.counters for name, one in listeners.items()})
                return True
        except (runtime.RuntimeApiError, OSError):
            pass  # it was killed, which _follow says
        return False

    async def _follow(self, old: OldWorker) -> None:
        """Count with it until its last connection has gone."""
        try:
            await old.wait_idle()
            async with self.lock:
                await self._count_if_idle(old)
                self.reset_workers()
        except (runtime.RuntimeApiError, OSError) as error:  # it was killed, or ended by hard-stop-after
            log.warning("what an old worker counted last may be lost: %s", error)
        finally:
            old.release()

    def release_old_workers(self) -> None:
        """They would keep haproxy from ending."""
        for task in self._followers:
            task.cancel()

    def stopped_states(self, configuration: Configuration, digest: str) -> States:
        """What can be said while there is no haproxy."""
        return States(
            load_balancer_id=configuration.load_balancer_id,
            digest=digest,
            serving=False,
            listeners={n: ListenerState("stopped", self._idle_counters(n)) for n in configuration.frontends},
            servers={n: dict.fromkeys(b.servers, "unknown") for n, b in configuration.backends.items()},
        )

    async def collect_counters(self) -> dict[str, ListenerState]:
        """Write down the counters of every worker there is; the current one's listeners."""
        current: dict[str, ListenerState] = {}
        workers: dict[str, int] = {}
        for process in await runtime.processes(self._paths.master_socket, timeout=QUERY_TIMEOUT):
            if process.kind != "worker":
                continue
            key = counters.worker_key(process.pid)
            workers[key] = process.pid
            path, prefix = self._paths.stats_socket, ""
            if not process.current:
                path, prefix = self._paths.master_socket, f"@!{process.pid} "
            found = counters.parse(await runtime.execute(path, f"{prefix}{SHOW_STAT}", timeout=QUERY_TIMEOUT))
            self._totals.update(key, {name: one.counters for name, one in found.items()})
            if process.current:
                current = found
        self._totals.fold_ended(set(workers))
        self._single_worker = next(iter((pid, key) for key, pid in workers.items())) if len(workers) == 1 else None
        self._collections = 0
        return current

    def save(self) -> None:
        """Keep the counters on disk, if they changed."""
        content = msgspec.json.encode(self._totals)
        if content != self._saved:
            write(self._paths.counters, content)
            self._saved = content

    async def _collect(self, configuration: Configuration, digest: str) -> States:
        listeners, text = await self._query_single_worker() or (
            await self.collect_counters(),
            await self._query("show servers state"),
        )
        self._totals.drop_listeners(set(configuration.frontends))
        states = {(one.backend, one.name): one.state() for one in servers.parse_states(text)}
        return States(
            load_balancer_id=configuration.load_balancer_id,
            digest=digest,
            serving=True,
            listeners={name: self._listener(name, listeners) for name in configuration.frontends},
            servers={name: _states(name, backend.servers, states) for name, backend in configuration.backends.items()},
        )

    async def _query_single_worker(self) -> tuple[dict[str, ListenerState], str] | None:
        """Listeners and servers of the only worker, by one request; None when it is time to ask who is there."""
        self._collections += 1
        if self._single_worker is None or self._collections >= RECHECK_WORKERS:
            return None
        pid, key = self._single_worker
        if counters.worker_key(pid) != key:
            return None
        stat, _, servers_state = (await self._query(f"{SHOW_STAT};show servers state")).partition("\n\n")
        found = counters.parse(stat)
        self._totals.update(key, {name: one.counters for name, one in found.items()})
        return found, servers_state

    async def _query(self, command: str) -> str:
        return await runtime.execute(self._paths.stats_socket, command, timeout=QUERY_TIMEOUT)

    def _listener(self, name: str, listeners: dict[str, ListenerState]) -> ListenerState:
        status = listeners[name].status if name in listeners else "stopped"
        return ListenerState(status, self._totals.total(name))

    def _idle_counters(self, name: str) -> Counters:
        return msgspec.structs.replace(self._totals.total(name), active_connections=0)


def _states(backend: str, names: Iterable[str], states: dict[tuple[str, str], ServerState]) -> dict[str, ServerState]:
    return {name: states.get((backend, name), "unknown") for name in names}
