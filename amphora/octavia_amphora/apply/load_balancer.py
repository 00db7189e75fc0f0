# SPDX-License-Identifier: Apache-2.0
"""One load balancer in this amphora: its records, its haproxy, and the way from one configuration to the next."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable

import msgspec

from octavia_amphora.haproxy import servers, stick_tables
from octavia_amphora.haproxy.process import Haproxy
from octavia_amphora.haproxy.watchdog import Watchdog
from octavia_amphora.interfaces.applier import Interfaces
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.vrrp.addresses import VrrpError
from octavia_amphora.vrrp.redundancy import Redundancy
from octavia_amphora.wire.config import Configuration, without_contents
from octavia_amphora.wire.heartbeat import Repairs
from octavia_amphora.wire.messages import (
    Applied,
    InForce,
    LoadBalancerStatus,
    Outcome,
    Push,
    Refusal,
    States,
    VersionStamp,
)

from . import changes, drain, inspection, version_fence
from .config_applier import ConfigApplier
from .disk import Disk, PushRecord
from .errors import PushRefused
from .files import Files
from .revival import Debounced, Revival
from .runtime_certificates import RuntimeCertificates
from .settings import AgentSettings
from .stats_collector import StatsCollector
from .udp_and_probes import UdpAndProbes

log = logging.getLogger("octavia_amphora.apply")


class LoadBalancer:
    """Applies pushes one after the other. ``changed`` is called when what a heartbeat says may be another now."""

    def __init__(
        self, id_: str, settings: AgentSettings, claims: Claims, interfaces: Interfaces, changed: Callable[[], None]
    ) -> None:
        self.id, self._settings, self._interfaces = id_, settings, interfaces
        self._on_change = changed
        self._paths = settings.paths(id_)
        self._paths.create()
        self._files = Files(self._paths)
        self._runtime_certificates = RuntimeCertificates(self._paths, self._files)
        self._disk = Disk(self._paths.state)
        self._accepted = self._disk.accepted()
        self._newest = self._disk.newest() or self._accepted
        # haproxy has written to its log: the state of a server may be another now. Many lines are one look.
        self._log_written = Debounced(lambda: self._stats.min_interval, changed)
        self._haproxy = Haproxy(settings.haproxy, self._paths, on_death=self._on_death, on_log=self._log_written)
        self.repairs = Repairs()
        self._redundancy = Redundancy(settings.amphora_id, id_, self._paths, claims, changed, repairs=self.repairs)
        self._stats = StatsCollector(self._paths)
        self._verdicts = Revival(f"verdicts {self.id}", self._apply_verdicts, settings.max_restart_pause)
        self._udp_and_probes = UdpAndProbes(id_, self._paths, claims, self._verdicts.begin)
        self._applier = ConfigApplier(
            id_, settings, self._paths, self._files, self._haproxy, self._stats, self._udp_and_probes, self._runtime_certificates
        )  # fmt: skip
        watched = (id_, self._paths, self._haproxy, self._applier, self._redundancy)
        self._watchdog = Watchdog(*watched, repairs=self.repairs)
        self._last_states: States | None = None
        self._unsaved = False
        self._last_warning = ""
        self._lock = asyncio.Lock()
        self._revival = Revival(f"revival {self.id}", self._revive, settings.max_restart_pause)
        self._recovered = asyncio.Event()
        self._udp_and_probes.claim(self.configuration)
        if self._newest is None:
            self._recovered.set()

    # ── What is asked ────────────────────────────────────────────────────────────────────────────────────────────────
    async def push(self, push: Push) -> Applied:
        """Put a configuration in force, or raise ``PushRefused``."""
        async with self._lock:
            old, workers = self.configuration, self._haproxy.workers
            try:
                applied = await self._apply(push)
            except (OSError, VrrpError) as error:  # of the machine: nothing that is configured is to blame
                raise PushRefused(Refusal("transient", f"cannot be put in force now: {error}")) from error
            removed = drain.removed_servers(old, self.configuration)
        await drain.wait_until_idle(self._paths, removed, workers, self._settings.idle_timeout)
        return applied

    async def _apply(self, push: Push) -> Applied:
        began = time.monotonic()
        version_fence.check_order(push.stamp, self._newest)
        if self._accepted and self._accepted.stamp == push.stamp and self._haproxy.alive and self._redundancy.settled:
            return self._result(push.stamp, "unchanged", began)
        new = version_fence.resolve(self.id, push, self._accepted)
        self._paths.create()
        new = self._files.store(new)
        self._save_newest(PushRecord(push.stamp, new))
        old = self.configuration
        try:
            await self._interfaces.extend(self.id, new.interfaces)
            await self._redundancy.test(new.vrrp)
            await self._udp_and_probes.apply_rules(new, old, linger=True)
            outcome = await self._applier.apply(old, new)
        except (PushRefused, OSError, VrrpError):
            await self._restore(push.stamp, old, new)
            raise
        self._accept()
        await self._udp_and_probes.sync(new)
        await self._redundancy.apply(new.vrrp)
        await self._interfaces.claim(self.id, new.interfaces)
        return self._result(push.stamp, outcome, began)

    async def _restore(self, stamp: VersionStamp, old: Configuration | None, new: Configuration) -> None:
        try:
            await self._udp_and_probes.apply_rules(old, new)
            # Nothing to repeat after a crash: the stamp alone says that it came.
            self._save_newest(PushRecord(stamp))
            self._files.remove_unused(self.configuration)
            await self._interfaces.claim(self.id, old.interfaces if old else ())
        except (PushRefused, OSError) as error:
            log.warning("not all is put back load_balancer=%s: %s", self.id, error)

    async def remove(self, stamp: VersionStamp) -> None:
        """Stop serving; a tombstone stays, so that an older push does not bring it back."""
        async with self._lock:
            if self._newest and self._newest.removed and stamp.order == self._newest.stamp.order:
                return
            if self._newest and stamp.order < self._newest.stamp.order:
                version_fence.check_order(stamp, self._newest)
            self._paths.create()
            self._save_newest(PushRecord(stamp, removed=True))
            await self._stop_and_clean()
        self._on_change()

    async def status(self) -> LoadBalancerStatus | None:
        """What is in force, once the agent has made sure of it; None when nothing is."""
        await self._recovered.wait()
        if self._accepted is None:
            return None
        haproxy = self._haproxy
        return LoadBalancerStatus(
            self._accepted.stamp, haproxy.serving, haproxy.master, haproxy.workers, self._applier.reloads,
            self._redundancy.state,
        )  # fmt: skip

    async def collect_states(self) -> States | None:
        """States and counters now (during a reload: as last seen); None when nothing is in force."""
        accepted = self._accepted
        if accepted is None or accepted.configuration is None:
            return None
        last = self._last_states
        if self._stats.lock.locked() and last is not None and last.digest == accepted.stamp.digest:
            return last
        if self._haproxy.alive:
            try:
                found = await self._stats.collect(accepted.configuration, accepted.stamp.digest)
            except OSError as error:  # we cannot ask now, which says nothing of haproxy
                self._warn_once(f"cannot look at haproxy: {error}")
                return self._last_states
        else:
            # keys do not outlive a reboot: no digest tells the control plane that the whole is to be pushed
            digest = accepted.stamp.digest if self._files.has_contents(accepted.configuration) else ""
            found = self._stats.stopped_states(accepted.configuration, digest)
        if self._haproxy.alive and not found.serving:
            self._watchdog.trigger()
        found = await self._udp_and_probes.add_states(accepted.configuration, found)
        found = msgspec.structs.replace(found, vrrp=self._redundancy.state)
        self._last_states = found
        return found

    @property
    def configuration(self) -> Configuration | None:
        """The configuration in force; None when nothing is."""
        return self._accepted.configuration if self._accepted else None

    @property
    def in_force(self) -> InForce | None:
        """The configuration in force, for who has not pushed it."""
        configuration = self.configuration
        if self._accepted is None or configuration is None:
            return None
        return InForce(self._accepted.stamp.digest, without_contents(configuration))

    @property
    def generation(self) -> int:
        """The generation in force."""
        return self._accepted.stamp.generation if self._accepted else 0

    @property
    def needs_polling(self) -> bool:
        """Whether states can change without a word from haproxy."""
        if self.configuration is None or self._haproxy.watches_log:
            return False
        return servers.has_checks(self.configuration)

    @property
    def has_pending_work(self) -> bool:
        """Whether servers are to be collected, or haproxy to be started."""
        return bool(self._applier.pending_removals) or not self._haproxy.alive

    async def remove_idle_servers(self) -> None:
        """Take away servers that were removed with live connections and have none any more."""
        if not self._applier.pending_removals or self._lock.locked():
            return
        async with self._lock:
            await self._applier.run_commands([changes.removal(*one) for one in sorted(self._applier.pending_removals)])

    def save_counters(self) -> None:
        """At each heartbeat: keep the counters, and haproxy's log short. A disk that is full is waited for."""
        try:
            if self._unsaved and not self._lock.locked():
                self._disk.accept_newest()
                self._unsaved = False
            if self._accepted:
                self._stats.save()
            if not self._lock.locked():
                self._haproxy.trim_log()
        except OSError as error:
            self._warn_once(f"cannot be kept on disk: {error}")
        else:
            self._last_warning = ""

    def _warn_once(self, what: str) -> None:
        """Once, not at each beat."""
        if what != self._last_warning:
            log.warning("%s load_balancer=%s", what, self.id)
            self._last_warning = what

    # ── Coming and going ─────────────────────────────────────────────────────────────────────────────────────────────
    async def recover(self) -> None:
        """Once, when the agent starts: find haproxy, and make what is in force what is on disk."""
        async with self._lock:
            try:
                await self._recover()
            except (OSError, VrrpError) as error:
                log.error("not recovered yet load_balancer=%s: %s", self.id, error)  # noqa: TRY400
                self._on_death()
            finally:
                self._recovered.set()
        self._watchdog.start()

    async def _recover(self) -> None:
        found = await self._haproxy.adopt()
        if self._newest is None or self._newest.removed:
            await self._stop_and_clean()
            return
        unfinished = self._newest.configuration is not None and self._newest != self._accepted
        if not (found and await self._adopt_running(unfinished=unfinished)):
            await self._finish_or_restart(unfinished=unfinished)
        if configuration := self.configuration:
            self._udp_and_probes.set_configuration(configuration)
            await self._udp_and_probes.sync(configuration)
            self._tell_serving()
            await self._redundancy.apply(configuration.vrrp)
            await self._interfaces.claim(self.id, configuration.interfaces)

    async def _adopt_running(self, *, unfinished: bool) -> bool:
        """Whether the haproxy that was found has what it should have."""
        configuration = self._newest.configuration if unfinished and self._newest else self.configuration
        if configuration is None or not inspection.is_distinguishable(self.configuration, configuration):
            return False
        leaving = await inspection.find_pending_removals(self._paths, configuration)
        if leaving is None:
            return False
        log.info("adopted haproxy load_balancer=%s master=%d", self.id, self._haproxy.master)
        self._applier.pending_removals = leaving
        # the agent before may have been killed in the middle of a reload
        await stick_tables.restore(self._paths, configuration)
        if unfinished:
            self._applier.write_config(configuration)
            self._accept()
        return True

    async def close(self) -> None:
        """Let go: haproxy goes on serving."""
        for one in (self._watchdog, self._verdicts, self._revival, self._log_written):
            one.cancel()
        self._redundancy.close()
        self._udp_and_probes.close()
        async with self._lock:
            self._stats.release_old_workers()
            self.save_counters()
            self._haproxy.release()

    async def _finish_or_restart(self, *, unfinished: bool) -> None:
        """The agent was killed while it put the newest in force, or haproxy is not as the records say."""
        if unfinished and self._newest and self._newest.configuration:
            log.warning("finishing an interrupted push load_balancer=%s", self.id)
            try:
                await self._applier.reload_or_start(self.configuration, self._newest.configuration)
            except PushRefused as error:
                log.warning("the interrupted push is refused load_balancer=%s: %s", self.id, error)
                self._save_newest(PushRecord(self._newest.stamp))
            else:
                self._accept()
                return
        if (configuration := self.configuration) is None:
            return
        try:
            if self._haproxy.alive:
                await self._applier.reload_or_start(configuration, configuration)
            else:  # it was proven when it came
                await self._applier.start(configuration)
                self.repairs.haproxy_started += 1
        except (PushRefused, OSError) as error:
            log.error("haproxy does not come up load_balancer=%s: %s", self.id, error)  # noqa: TRY400
            self._on_death()

    async def _stop_and_clean(self) -> None:
        if self._newest is None:
            return
        await self._redundancy.stop()
        self._stats.release_old_workers()
        if self._haproxy.alive:
            await self._haproxy.stop(timeout=self._settings.drain_timeout)
        self._udp_and_probes.set_configuration(None)
        await self._udp_and_probes.apply_rules(None, self.configuration)
        await self._interfaces.claim(self.id, ())
        self._accepted, self._last_states, self._applier.pending_removals = None, None, frozenset()
        self._stats = self._applier.stats = StatsCollector(self._paths)
        self._disk.write_tombstone(self._newest)
        shutil.rmtree(self._paths.run)

    def _on_death(self) -> None:
        """haproxy ended and nobody wanted it: start it again, at once, then with growing pauses."""
        self._tell_serving()
        self._on_change()
        self._revival.begin()

    async def _revive(self) -> bool:
        async with self._lock:
            configuration = self.configuration
            if configuration is None:
                return True
            try:
                if not self._haproxy.alive:
                    log.error("haproxy is gone, starting it load_balancer=%s", self.id)
                    await self._redundancy.wait_taken_over()
                    await self._applier.start(configuration)
                    self.repairs.haproxy_started += 1
                    await self._udp_and_probes.sync(configuration)
                self._tell_serving()
                if not self._redundancy.settled:
                    await self._redundancy.apply(configuration.vrrp)
            except (PushRefused, OSError, VrrpError) as error:
                log.error("not served yet load_balancer=%s: %s", self.id, error)  # noqa: TRY400
                return False
        self._on_change()
        return True

    def _tell_serving(self) -> None:
        """A haproxy that does not serve gives up the addresses that it shares."""
        self._redundancy.set_serving(serving=self._haproxy.serving)

    async def _apply_verdicts(self) -> bool:
        """Our checks found a server dead, or alive again: it is told once haproxy and the kernel heed it."""
        applied = None
        while applied != self._udp_and_probes.down:
            async with self._lock:
                applied = self._udp_and_probes.down
                if configuration := self.configuration:
                    await self._udp_and_probes.sync(configuration)
        self._on_change()
        return True

    def _save_newest(self, record: PushRecord) -> None:
        self._disk.save_newest(record)
        self._newest = record

    def _accept(self) -> None:
        self._accepted = self._newest
        try:
            self._disk.accept_newest()
            self._unsaved = False
            self._files.remove_unused(self.configuration)
        except OSError as error:  # it is in force; written down it is as soon as it can be
            self._unsaved = True
            self._warn_once(f"cannot be kept on disk: {error}")
        self._last_states = None
        self._tell_serving()
        self._udp_and_probes.set_configuration(self.configuration)
        self._watchdog.start()
        self._on_change()

    def _result(self, stamp: VersionStamp, outcome: Outcome, began: float) -> Applied:
        return Applied(stamp, outcome, self._haproxy.workers, round(time.monotonic() - began, 6))
