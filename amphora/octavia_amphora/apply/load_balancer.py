# SPDX-License-Identifier: Apache-2.0
"""One load balancer in this amphora: its records, its haproxy, and the way from one configuration to the next."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable

from octavia_amphora.haproxy import servers, stick_tables
from octavia_amphora.haproxy.process import Haproxy
from octavia_amphora.haproxy.watchdog import Watchdog
from octavia_amphora.supervision import supervised
from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import Applied, Outcome, Push, Refusal, Stamp, Standing, States

from . import changes, drain, inspection, version_fence
from .disk import Disk, PushRecord
from .errors import PushRefused
from .exchange import Exchange
from .files import Files
from .runtime_certificates import RuntimeCertificates
from .settings import AgentSettings
from .stats_collector import StatsCollector
from .udp_and_probes import UdpAndProbes

log = logging.getLogger("octavia_amphora.apply")


class Balancer:
    """Applies pushes one after the other. ``changed`` is called when what a heartbeat says may be another now."""

    def __init__(self, load_balancer_id: str, settings: AgentSettings, changed: Callable[[], None]) -> None:
        self.id = load_balancer_id
        self._settings = settings
        self._changed = changed
        self._paths = settings.paths(load_balancer_id)
        self._paths.make()
        self._files = Files(self._paths)
        self._runtime_certificates = RuntimeCertificates(self._paths, self._files)
        self._disk = Disk(self._paths.state)
        self._accepted = self._disk.accepted()
        self._newest = self._disk.newest() or self._accepted
        self._haproxy = Haproxy(settings.haproxy, self._paths, on_death=self._died, on_log=self._stirred)
        self._stats = StatsCollector(self._paths)
        self._udp_and_probes = UdpAndProbes(load_balancer_id, self._paths, self._judged)
        self._exchange = Exchange(
            load_balancer_id,
            settings,
            self._paths,
            self._files,
            self._haproxy,
            self._stats,
            self._udp_and_probes,
            self._runtime_certificates,
        )
        self._watchdog = Watchdog(load_balancer_id, self._paths, self._haproxy, self._exchange)
        self._judging: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._last: States | None = None
        self._stir: asyncio.TimerHandle | None = None
        self._unsaved = False
        self._complained = ""
        self._lock = asyncio.Lock()
        self._revival: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        if self._newest is None:
            self._known.set()

    # ── What is asked ────────────────────────────────────────────────────────────────────────────────────────────────
    async def push(self, push: Push) -> Applied:
        """Put a configuration in force, or raise ``PushRefused``."""
        async with self._lock:
            old, workers = self.configuration, self._haproxy.workers
            try:
                applied = await self._put(push)
            except OSError as error:  # of the machine: nothing that is configured is to blame
                raise PushRefused(Refusal("transient", f"cannot be put in force now: {error}")) from error
            gone = drain.removed(old, self.configuration)
        await drain.let_finish(self._paths, gone, workers, self._settings.finish)
        return applied

    async def _put(self, push: Push) -> Applied:
        began = time.monotonic()
        version_fence.admit(push.stamp, self._newest)
        if self._accepted and self._accepted.stamp == push.stamp and self._haproxy.alive:
            return self._applied(push.stamp, "unchanged", began)
        new = version_fence.configuration(self.id, push, self._accepted)
        self._paths.make()
        new = self._files.take(new)
        self._keep(PushRecord(push.stamp, new))
        old = self.configuration
        try:
            await self._udp_and_probes.put(new, old, linger=True)
            outcome = await self._exchange.bring_about(old, new)
        except (PushRefused, OSError):
            await self._put_back(push.stamp, old, new)
            raise
        self._accept()
        await self._udp_and_probes.settle(new)
        return self._applied(push.stamp, outcome, began)

    async def _put_back(self, stamp: Stamp, old: Configuration | None, new: Configuration) -> None:
        try:
            await self._udp_and_probes.put(old, new)
            # Nothing to repeat after a crash: the stamp alone says that it came.
            self._keep(PushRecord(stamp))
            self._files.forget_others(self.configuration)
        except (PushRefused, OSError) as error:
            log.warning("not all is put back load_balancer=%s: %s", self.id, error)

    async def remove(self, stamp: Stamp) -> None:
        """Stop serving; a tombstone stays, so that an older push does not bring it back."""
        async with self._lock:
            if self._newest and self._newest.removed and stamp.order == self._newest.stamp.order:
                return
            if self._newest and stamp.order < self._newest.stamp.order:
                version_fence.admit(stamp, self._newest)
            self._paths.make()
            self._keep(PushRecord(stamp, removed=True))
            await self._end()
        self._changed()

    async def standing(self) -> Standing | None:
        """What is in force, once the agent has made sure of it; None when nothing is."""
        await self._known.wait()
        if self._accepted is None:
            return None
        haproxy = self._haproxy
        return Standing(self._accepted.stamp, haproxy.serving, haproxy.master, haproxy.workers, self._exchange.reloads)

    async def look(self) -> States | None:
        """States and counters now (during a reload: as last seen); None when nothing is in force."""
        accepted = self._accepted
        if accepted is None or accepted.configuration is None:
            return None
        if self._stats.steady.locked() and self._last is not None and self._last.digest == accepted.stamp.digest:
            return self._last
        if self._haproxy.alive:
            try:
                found = await self._stats.look(accepted.configuration, accepted.stamp.digest)
            except OSError as error:  # we cannot ask now, which says nothing of haproxy
                self._complain(f"cannot look at haproxy: {error}")
                return self._last
        else:
            # keys do not outlive a reboot: no digest tells the control plane that the whole is to be pushed
            digest = accepted.stamp.digest if self._files.has_all(accepted.configuration) else ""
            found = self._stats.blind(accepted.configuration, digest)
        if self._haproxy.alive and not found.serving:
            self._watchdog.suspect()
        found = await self._udp_and_probes.see(accepted.configuration, found)
        self._last = found
        return found

    @property
    def configuration(self) -> Configuration | None:
        """The configuration in force; None when nothing is."""
        return self._accepted.configuration if self._accepted else None

    @property
    def generation(self) -> int:
        """The generation in force."""
        return self._accepted.stamp.generation if self._accepted else 0

    @property
    def is_polled(self) -> bool:
        """Whether states can change without a word from haproxy."""
        if self.configuration is None or self._haproxy.tells_states:
            return False
        return servers.any_is_checked(self.configuration)

    @property
    def is_waiting(self) -> bool:
        """Whether servers are to be collected, or haproxy to be started."""
        return bool(self._exchange.leaving) or not self._haproxy.alive

    async def collect(self) -> None:
        """Take away servers that were removed with live connections and have none any more."""
        if not self._exchange.leaving or self._lock.locked():
            return
        async with self._lock:
            await self._exchange.run([changes.removal(*one) for one in sorted(self._exchange.leaving)])

    def save(self) -> None:
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
            self._complain(f"cannot be kept on disk: {error}")
        else:
            self._complained = ""

    def _complain(self, what: str) -> None:
        """Once, not at each beat."""
        if what != self._complained:
            log.warning("%s load_balancer=%s", what, self.id)
            self._complained = what

    # ── Coming and going ─────────────────────────────────────────────────────────────────────────────────────────────
    async def recover(self) -> None:
        """Once, when the agent starts: find haproxy, and make what is in force what is on disk."""
        async with self._lock:
            try:
                await self._recover()
            except OSError as error:
                log.error("not recovered yet load_balancer=%s: %s", self.id, error)  # noqa: TRY400
                self._died()
            finally:
                self._known.set()
        self._watch()

    async def _recover(self) -> None:
        found = await self._haproxy.adopt()
        if self._newest is None or self._newest.removed:
            await self._end()
            return
        unfinished = self._newest.configuration is not None and self._newest != self._accepted
        if not (found and await self._adopted(unfinished=unfinished)):
            await self._resume(unfinished=unfinished)
        if configuration := self.configuration:
            self._udp_and_probes.follow(configuration)
            await self._udp_and_probes.settle(configuration)

    async def _adopted(self, *, unfinished: bool) -> bool:
        """Whether the haproxy that was found has what it should have."""
        configuration = self._newest.configuration if unfinished and self._newest else self.configuration
        if configuration is None or not inspection.keeps_what_is_not_told(self.configuration, configuration):
            return False
        leaving = await inspection.leaving(self._paths, configuration)
        if leaving is None:
            return False
        log.info("adopted haproxy load_balancer=%s master=%d", self.id, self._haproxy.master)
        self._exchange.leaving = leaving
        await stick_tables.restore(
            self._paths, configuration
        )  # if the agent before was killed in the middle of a reload
        if unfinished:
            self._exchange.write_config(configuration)
            self._accept()
        return True

    async def close(self) -> None:
        """Let go: haproxy goes on serving."""
        for task in (self._revival, self._judging, self._watching):
            if task:
                task.cancel()
        if self._stir:
            self._stir.cancel()
        self._udp_and_probes.close()
        async with self._lock:
            self.save()
            self._haproxy.release()

    async def _resume(self, *, unfinished: bool) -> None:
        """The agent was killed while it put the newest in force, or haproxy is not as the records say."""
        if unfinished and self._newest and self._newest.configuration:
            log.warning("finishing an interrupted push load_balancer=%s", self.id)
            try:
                await self._exchange.replace(self.configuration, self._newest.configuration)
            except PushRefused as error:
                log.warning("the interrupted push is refused load_balancer=%s: %s", self.id, error)
                self._keep(PushRecord(self._newest.stamp))
            else:
                self._accept()
                return
        if (configuration := self.configuration) is None:
            return
        try:
            if self._haproxy.alive:
                await self._exchange.replace(configuration, configuration)
            else:  # it was proven when it came
                await self._exchange.start(configuration)
        except (PushRefused, OSError) as error:
            log.error("haproxy does not come up load_balancer=%s: %s", self.id, error)  # noqa: TRY400
            self._died()

    async def _end(self) -> None:
        if self._newest is None:
            return
        if self._haproxy.alive:
            await self._haproxy.stop(timeout=self._settings.drain)
        self._udp_and_probes.follow(None)
        await self._udp_and_probes.put(None, self.configuration)
        self._accepted, self._last, self._exchange.leaving = None, None, frozenset()
        self._stats = self._exchange.stats = StatsCollector(self._paths)
        self._disk.bury(self._newest)
        shutil.rmtree(self._paths.run)

    def _died(self) -> None:
        """haproxy ended and nobody wanted it: start it again, at once, then with growing pauses."""
        self._changed()
        if self._revival is None or self._revival.done():
            self._revival = asyncio.ensure_future(supervised(f"revival {self.id}", self._revive))

    async def _revive(self) -> None:
        pause = 0.0
        while True:
            async with self._lock:
                configuration = self.configuration
                if configuration is None or self._haproxy.alive:
                    return
                log.error("haproxy is gone, starting it load_balancer=%s", self.id)
                try:
                    await self._exchange.start(configuration)
                except (PushRefused, OSError) as error:
                    log.error("haproxy does not start load_balancer=%s: %s", self.id, error)  # noqa: TRY400
                else:
                    await self._udp_and_probes.settle(configuration)
                    self._changed()
                    return
            pause = min(max(0.2, pause * 2), self._settings.longest_pause)
            await asyncio.sleep(pause)

    def _stirred(self) -> None:
        """haproxy has written to its log: the state of a server may be another now. Many lines are one look."""
        if self._stir is None:
            self._stir = asyncio.get_running_loop().call_later(self._stats.rest, self._look_again)

    def _look_again(self) -> None:
        self._stir = None
        self._changed()

    def _judged(self) -> None:
        """Our checks found a server dead, or alive again."""
        self._changed()
        if self._judging is None or self._judging.done():
            self._judging = asyncio.ensure_future(supervised(f"verdicts {self.id}", self._judge))

    async def _judge(self) -> None:
        told = None
        while told != self._udp_and_probes.down:
            async with self._lock:
                told = self._udp_and_probes.down
                if configuration := self.configuration:
                    await self._udp_and_probes.settle(configuration)

    def _watch(self) -> None:
        """Look for a haproxy that hangs, from now on."""
        if self._watching is None:
            self._watching = asyncio.ensure_future(supervised(f"watchdog {self.id}", self._watchdog.run))

    # ── Small things ─────────────────────────────────────────────────────────────────────────────────────────────────
    def _keep(self, record: PushRecord) -> None:
        self._disk.put_newest(record)
        self._newest = record

    def _accept(self) -> None:
        self._accepted = self._newest
        try:
            self._disk.accept_newest()
            self._unsaved = False
            self._files.forget_others(self.configuration)
        except OSError as error:  # it is in force; written down it is as soon as it can be
            self._unsaved = True
            self._complain(f"cannot be kept on disk: {error}")
        self._last = None
        self._udp_and_probes.follow(self.configuration)
        self._watch()
        self._changed()

    def _applied(self, stamp: Stamp, outcome: Outcome, began: float) -> Applied:
        return Applied(stamp, outcome, self._haproxy.workers, round(time.monotonic() - began, 6))
