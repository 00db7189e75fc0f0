# SPDX-License-Identifier: Apache-2.0
"""What is done beside haproxy for one load balancer: its own checks, UDP, the packet filter.

Everything here is level-triggered: verdicts are compared with what haproxy and the kernel have, and told where they
differ; after a change at run time, after a reload, after a crash of haproxy or of the agent alike.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from octavia_amphora.haproxy import runtime, servers
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.nftables.kernel import Kernel, KernelError
from octavia_amphora.nftables.ruleset import Ruleset, ruleset, table_name
from octavia_amphora.probe.prober import Key, Prober
from octavia_amphora.vrrp import router
from octavia_amphora.wire.config import Backend, Configuration, Server
from octavia_amphora.wire.messages import Counters, ListenerState, Refusal, ServerState, States

from .disk import read, write
from .errors import PushRefused

log = logging.getLogger("octavia_amphora.apply")

# After the kernel or haproxy did not take a verdict.
RETRY_SECONDS = 1.0


class UdpAndProbes:
    """``judged`` is called when a verdict changed: the owner then calls ``settle``, alone with haproxy."""

    def __init__(self, load_balancer_id: str, paths: Paths, claims: Claims, judged: Callable[[], None]) -> None:
        self._paths = paths
        self._on_verdict = judged
        self._claims = claims
        self._table = table_name(load_balancer_id)
        self._kernel = Kernel(self._table, claims)
        self._prober = Prober(self._save_verdicts, paths.contents, read(paths.verdicts, list[Key]) or [])

    @property
    def down(self) -> frozenset[Key]:
        """(backend, server) of those that our checks found dead."""
        return self._prober.down

    async def apply_rules(self, new: Configuration | None, old: Configuration | None, *, linger: bool = False) -> None:
        """The kernel's part of a configuration; ``PushRefused`` leaves that of ``old``."""
        wanted = self._ruleset(new, self.down) if new else Ruleset(self._table)
        try:
            await self._kernel.apply(wanted, self._ruleset(old) if old else None, linger=linger)
        except KernelError as error:
            raise PushRefused(Refusal("failed", f"the packet filter is not in force: {error}")) from error

    def claim(self, configuration: Configuration | None) -> None:
        """An earlier agent has put this in force: what is in common with other load balancers stays."""
        if configuration:
            self._claims.claim(self._ruleset(configuration))

    def _ruleset(self, configuration: Configuration, down: frozenset[Key] = frozenset()) -> Ruleset:
        vrrp = configuration.vrrp
        return ruleset(configuration, down, router=router.number(self._paths.run, vrrp.router_id) if vrrp else None)

    def inherit(self, text: str, configuration: Configuration) -> None:
        """Servers that haproxy found dead (``show servers state``) and that our checks are to judge begin as dead."""
        for one in servers.parse_states(text):
            backend = configuration.backends.get(one.backend)
            ours = backend is not None and backend.probe is not None and one.name in backend.servers
            if ours and one.checked and one.op == servers.STOPPED and not one.in_maintenance:
                self._prober.assume_down((one.backend, one.name))

    def set_configuration(self, configuration: Configuration | None) -> None:
        """This is in force: check its servers."""
        self._prober.set_configuration(configuration)

    async def sync(self, configuration: Configuration) -> None:
        """Make what kernel and haproxy send to be what the verdicts say."""
        try:
            await self.apply_rules(configuration, configuration)
            await self._sync_haproxy(configuration)
        except (PushRefused, runtime.RuntimeApiError, OSError) as error:
            log.warning("verdicts are not in force load_balancer=%s: %s", configuration.load_balancer_id, error)
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._on_verdict)

    async def _sync_haproxy(self, configuration: Configuration) -> None:
        if not any(b.probe and not b.datagrams for b in configuration.backends.values()):
            return
        text = await runtime.execute(self._paths.stats_socket, "show servers state")
        commands = [
            f"set server {one.backend}/{one.name} health {'down' if one.op else 'up'}"
            for one in servers.parse_states(text)
            if self._differs(configuration, one)
        ]
        for command, answer in zip(
            commands, await runtime.execute_all(self._paths.stats_socket, commands), strict=True
        ):
            if answer:
                log.warning("haproxy does not take a verdict: %s: %s", command, answer)

    def _differs(self, configuration: Configuration, one: servers.StateRow) -> bool:
        backend = configuration.backends.get(one.backend)
        if backend is None or backend.probe is None or one.name not in backend.servers or one.in_maintenance:
            return False
        return ((one.backend, one.name) in self.down) == (one.op != servers.STOPPED)

    async def add_states(self, configuration: Configuration, haproxy_states: States) -> States:
        """What haproxy says, with what we know added to it."""
        udp = {f.name: f for f in configuration.frontends.values() if f.datagrams}
        entrances = {name: {(bind.address, bind.port) for bind in one.binds} for name, one in udp.items()}
        counters = await self._kernel.count(entrances) if udp else {}
        listeners: dict[str, ListenerState] = dict(haproxy_states.listeners)
        for name in udp:
            listeners[name] = ListenerState("open", counters.get(name, Counters()))
        states: dict[str, dict[str, ServerState]] = dict(haproxy_states.servers)
        for backend in configuration.backends.values():
            if backend.probe or backend.datagrams:
                states[backend.name] = self._states(backend, haproxy_states.servers.get(backend.name, {}))
        return msgspec.structs.replace(haproxy_states, listeners=listeners, servers=states)

    def _states(self, backend: Backend, haproxy_states: Mapping[str, ServerState]) -> dict[str, ServerState]:
        return {
            server.name: self._state(backend, server)
            if backend.datagrams
            else self._checked_state(backend, server, haproxy_states.get(server.name, "unknown"))
            for server in backend.servers.values()
        }

    def _checked_state(self, backend: Backend, server: Server, state: ServerState) -> ServerState:
        """haproxy calls a server that it does not check itself "no_check"; what we found out goes before."""
        if state in {"maint", "unknown"}:
            return state
        return self._state(backend, server)

    def _state(self, backend: Backend, server: Server) -> ServerState:
        if server.admin == "maint":
            return "maint"
        if (backend.name, server.name) in self.down:
            return "down"
        if server.weight == 0:
            return "drain"
        return "up" if backend.probe else "no_check"

    def close(self) -> None:
        """Stop checking; rules and verdicts stay as they are."""
        self._prober.close()

    def _save_verdicts(self) -> None:
        try:
            write(self._paths.verdicts, msgspec.json.encode(sorted(self.down)))
        except OSError as error:  # who comes after us begins with what the checks say
            log.warning("verdicts cannot be kept: %s", error)
        self._on_verdict()
