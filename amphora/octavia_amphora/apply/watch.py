# SPDX-License-Identifier: Apache-2.0
"""What haproxy says of one load balancer now: states of listeners and servers, counters over all workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec

from octavia_amphora.haproxy import counters, runtime, servers
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import Counters, ListenerState, ServerState, States

from .disk import write

# A worker that takes longer does not serve well either; a heartbeat must not wait for it.
LOOK_SECONDS = 2.0


class Observer:
    """Looks at one haproxy. Its counters are kept on disk so that they go on over the agent's restarts.

    ``steady`` is held by who looks and by who reloads: in between, answers come from one worker or from the other.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._ledger = _load(paths.counters)
        self._saved = b""
        self.steady = asyncio.Lock()

    async def look(self, configuration: Configuration, digest: str) -> States:
        """All states and counters; ``serving`` is False when haproxy does not answer."""
        try:
            async with self.steady:
                return await self._look(configuration, digest)
        except runtime.Silent:
            return self.blind(configuration, digest)

    def blind(self, configuration: Configuration, digest: str) -> States:
        """What can be said while there is no haproxy."""
        return States(
            load_balancer_id=configuration.load_balancer_id,
            digest=digest,
            serving=False,
            listeners={n: ListenerState("stopped", self._idle(n)) for n in configuration.frontends},
            servers={n: dict.fromkeys(b.servers, "unknown") for n, b in configuration.backends.items()},
        )

    async def count(self) -> dict[str, ListenerState]:
        """Write down the counters of every worker there is; the current one's listeners."""
        current: dict[str, ListenerState] = {}
        keys = set()
        for process in await runtime.processes(self._paths.master_socket, timeout=LOOK_SECONDS):
            if process.kind != "worker":
                continue
            path, prefix = self._paths.stats_socket, ""
            if not process.current:
                path, prefix = self._paths.master_socket, f"@!{process.pid} "
            found = counters.parse(await runtime.ask(path, f"{prefix}show stat -1 1 -1", timeout=LOOK_SECONDS))
            key = counters.worker_key(process.pid)
            keys.add(key)
            self._ledger.see(key, {name: one.counters for name, one in found.items()})
            if process.current:
                current = found
        self._ledger.keep_only(keys)
        return current

    def save(self) -> None:
        """Keep the counters on disk, if they changed."""
        content = msgspec.json.encode(self._ledger)
        if content != self._saved:
            write(self._paths.counters, content)
            self._saved = content

    async def _look(self, configuration: Configuration, digest: str) -> States:
        listeners = await self.count()
        self._ledger.forget_others(set(configuration.frontends))
        text = await runtime.ask(self._paths.stats_socket, "show servers state", timeout=LOOK_SECONDS)
        states = {(one.backend, one.name): one.state() for one in servers.seen(text)}
        return States(
            load_balancer_id=configuration.load_balancer_id,
            digest=digest,
            serving=True,
            listeners={name: self._listener(name, listeners) for name in configuration.frontends},
            servers={name: _states(name, backend.servers, states) for name, backend in configuration.backends.items()},
        )

    def _listener(self, name: str, listeners: dict[str, ListenerState]) -> ListenerState:
        status = listeners[name].status if name in listeners else "stopped"
        return ListenerState(status, self._ledger.total(name))

    def _idle(self, name: str) -> Counters:
        return msgspec.structs.replace(self._ledger.total(name), active_connections=0)


def _states(backend: str, names: Iterable[str], states: dict[tuple[str, str], ServerState]) -> dict[str, ServerState]:
    return {name: states.get((backend, name), "unknown") for name in names}


def _load(path: Path) -> counters.Ledger:
    try:
        return msgspec.json.decode(path.read_bytes(), type=counters.Ledger)
    except (FileNotFoundError, msgspec.MsgspecError):  # lost counters are no reason not to serve
        return counters.Ledger()
