# SPDX-License-Identifier: Apache-2.0
"""From one configuration to the next: at run time where haproxy can be told, else by a proven reload, or back."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from octavia_amphora import shortage
from octavia_amphora.haproxy import global_section, runtime, servers, stick_tables
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.haproxy.process import Haproxy, HaproxyFailed
from octavia_amphora.wire.config import Configuration, compose, without_udp
from octavia_amphora.wire.messages import Outcome, Refusal

from . import changes, inspection, preflight
from .disk import remove, write
from .errors import PushRefused
from .files import Files
from .runtime_certificates import RuntimeCertificates
from .settings import AgentSettings
from .stats_collector import StatsCollector
from .udp_and_probes import UdpAndProbes

log = logging.getLogger("octavia_amphora.apply")

IDLE_CLOSE_SECONDS = 0.1
"""How long haproxy is given to close idle connections, before a reload does it."""


@dataclass(slots=True)
class ConfigApplier:
    """Of one load balancer's haproxy. ``leaving``: servers that were removed with live connections. ``reloading``: haproxy
    may be silent for a moment."""

    id: str
    settings: AgentSettings
    paths: Paths
    files: Files
    haproxy: Haproxy
    stats: StatsCollector
    udp_and_probes: UdpAndProbes
    runtime_certificates: RuntimeCertificates
    pending_removals: frozenset[tuple[str, str]] = frozenset()
    reloads: int = 0
    reloading: bool = False

    async def apply(self, old: Configuration | None, new: Configuration) -> Outcome:
        """Put a configuration in force after another one; ``PushRefused``, or OSError for a shortage: the old one is.

        Who is to take the VIPs from another amphora knows then which client is kept at which member.
        """
        outcome = await self._apply(old, new)
        if new.vrrp and new.vrrp.preempts:
            await stick_tables.wait_taught(self.paths, new)
        return outcome

    async def _apply(self, old: Configuration | None, new: Configuration) -> Outcome:
        if old is not None and self.haproxy.alive:
            await self._finish_removals(changes.returning(new, self.pending_removals))
            commands = changes.commands(old, new, self.pending_removals, self.haproxy.version)
            certificates_changed = (
                None if commands is None else await self.runtime_certificates.update(old, new, self.haproxy.workers)
            )
            if certificates_changed is not None and commands is not None and await self.run_commands(commands):
                self.write_config(new)
                return "runtime" if certificates_changed or commands else "unchanged"
        return await self.reload_or_start(old, new)

    async def _finish_removals(self, returning: list[tuple[str, str]]) -> None:
        """Servers that come back cost no reload for idle connections, which haproxy closes a moment after it was told to."""
        if not returning or not await self.run_commands([changes.close_idle_connections(*one) for one in returning]):
            return
        deadline = time.monotonic() + IDLE_CLOSE_SECONDS
        while await self.run_commands([changes.removal(*one) for one in returning]):
            if self.pending_removals.isdisjoint(returning) or time.monotonic() > deadline:
                return
            await asyncio.sleep(inspection.MOVE_POLL_SECONDS)

    async def run_commands(self, commands: list[changes.Command]) -> bool:
        """Run commands of the runtime API; False when haproxy did not do one of them as it should."""
        try:
            for batch in changes.batches(commands):
                answers = await runtime.execute_all(self.paths.stats_socket, [command.text for command in batch])
                if not self._succeeded(batch, answers):
                    return False
                await inspection.wait_located(self.paths, {command.moves for command in batch if command.moves})
        except runtime.RuntimeApiError as error:
            log.warning("runtime API load_balancer=%s: %s", self.id, error)
            return False
        return True

    def _succeeded(self, commands: list[changes.Command], answers: list[str]) -> bool:
        pending = set(self.pending_removals)
        for command, answer in zip(commands, answers, strict=True):
            if command.removes and command.succeeded(answer):
                pending.discard(command.removes)
            elif command.removes:
                pending.add(command.removes)
            elif not command.succeeded(answer):
                log.warning("runtime API load_balancer=%s command=%r answer=%r", self.id, command.text, answer)
                return False
        self.pending_removals = frozenset(pending)
        return True

    async def reload_or_start(self, old: Configuration | None, new: Configuration) -> Outcome:
        """Check the file, try its binds, then start or reload with it; on failure, what was before is in force."""
        if not self.haproxy.alive:
            await preflight.check_configuration(self.settings, self.paths, self.files, [], new)
            await self.start(new)
            return "start"
        running = [old] if old else [inspection.running_ports(new.load_balancer_id, self.haproxy.workers)]
        if await inspection.has_loaded(self.paths, new):
            running.append(new)  # a push that was cut off may have come that far: its ports are ours
        await preflight.check_configuration(self.settings, self.paths, self.files, running, new)
        await self._reload(old, new)
        return "reload"

    async def start(self, new: Configuration) -> None:
        """Start haproxy with a configuration that was proven."""
        mark = self.write_config(new)
        for memory in (self.paths.server_states, self.paths.tables):
            remove(memory)
        self.reloading = True
        try:
            await self.haproxy.start(mark, timeout=self.settings.start_timeout, connections=self._connections(new))
        except HaproxyFailed as error:
            await self.haproxy.stop(timeout=0.0)
            raise _refused("haproxy did not start", error) from error
        finally:
            self.reloading = False
        self.pending_removals = frozenset()

    def _connections(self, new: Configuration) -> int | None:
        """As many as our limit of open files has room for, where that is less than what is configured."""
        wanted = inspection.global_maxconn(new)
        if wanted is None:
            return None
        sockets = sum(len(f.binds) for f in without_udp(new).frontends.values())
        sockets += sum(1 for b in new.backends.values() for s in b.servers.values() if "check" in s.options.split())
        possible = shortage.possible_connections(wanted, sockets)
        if possible == wanted:
            return None
        if possible == 0:
            raise shortage.Shortage("the limit of open files (ulimit -n) leaves haproxy room for no connection")
        log.warning(
            "the limit of open files has room for %d connections, not for %d load_balancer=%s",
            possible,
            wanted,
            self.id,
        )
        return possible

    async def _reload(self, old: Configuration | None, new: Configuration) -> None:
        async with self.stats.lock:
            await self._save_runtime_state(new)
            mark = self.write_config(new)
            try:
                await self._wait_for_reload(mark)
            except (HaproxyFailed, OSError) as error:
                rolled_back = await self._roll_back(old)
                if isinstance(error, OSError):
                    raise
                raise _refused("the reload failed", error, rolled_back) from error
            finally:
                self.stats.reset_workers()
            await stick_tables.restore(self.paths, new)
        self.pending_removals = frozenset()
        self.reloads += 1

    async def _wait_for_reload(self, mark: str) -> None:
        self.reloading = True
        try:
            async with self.stats.follow_worker():
                await self.haproxy.reload(mark, timeout=self.settings.start_timeout)
        finally:
            self.reloading = False

    async def _save_runtime_state(self, new: Configuration) -> None:
        """So that the new worker sends nothing to servers known dead, and clients to theirs; and the counters, for its
        own begin at nought."""
        await stick_tables.save(self.paths, new)
        try:
            text = await runtime.execute(self.paths.stats_socket, "show servers state")
            await self.stats.collect_counters()
        except runtime.RuntimeApiError as error:
            log.warning("reloading without the servers' health load_balancer=%s: %s", self.id, error)
            self.paths.server_states.write_text("1\n")
            return
        self.udp_and_probes.inherit(text, new)
        write(
            self.paths.server_states,
            servers.state_file(text, new, self.udp_and_probes.down).encode(),
            mode=self.paths.mode,
        )
        self.stats.save()

    async def _roll_back(self, old: Configuration | None) -> str:
        if old is None:
            return "What was in force before goes on"  # haproxy keeps its worker; we do not know its configuration
        try:
            await self._save_runtime_state(old)
            await self._wait_for_reload(self.write_config(old))
        except (HaproxyFailed, OSError) as error:
            log.error("rolling back failed load_balancer=%s: %s", self.id, error)  # noqa: TRY400
            return f"The former file is back, but haproxy did not load it: {error}"
        await stick_tables.restore(self.paths, old)
        return "The former configuration is in force"

    def write_config(self, configuration: Configuration) -> str:
        """Replace ``haproxy.cfg``; the mark by which a worker that loaded it is known."""
        mark = f"{global_section.structure(configuration)} {time.time_ns():x}"
        peer = self.settings.amphora_id if configuration.vrrp else ""
        head = global_section.render(self.paths, mark=mark, local_peer=peer)
        self.files.link_files(configuration, self.paths.files)
        write(self.paths.config, compose(configuration, global_section=head).encode(), mode=self.paths.mode)
        return mark


def _refused(what: str, error: HaproxyFailed, more: str = "") -> PushRefused:
    message = f"{what}: {error}. {more}".rstrip()
    return PushRefused(Refusal("transient" if shortage.may_pass(message) else "failed", message))
