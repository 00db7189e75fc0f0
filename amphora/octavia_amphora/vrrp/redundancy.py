# SPDX-License-Identifier: Apache-2.0
"""Being one of a pair, for one load balancer: keepalived is kept running, told whether haproxy serves, and what it says is told on.

A keepalived that dies leaves the addresses on the interface. They stay until another amphora has taken over, so that nobody is
without an owner meanwhile, and are taken off before keepalived is started again: it has to ask for them like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.shortage import is_shortage
from octavia_amphora.supervision import supervised
from octavia_amphora.wire.heartbeat import Repairs
from octavia_amphora.wire.vrrp import Vrrp, VrrpState

from . import addresses, handover, router
from .addresses import Held, VrrpError
from .adverts import wait_for_owner
from .files import VrrpFiles, configuration_text
from .keepalived import Keepalived, check
from .sentinel import Sentinel

log = logging.getLogger("octavia_amphora.vrrp")

STOPPED_INTERVAL = 0.25
"""Between two looks whether keepalived was stopped: before the others have missed three adverts, unless they come very fast."""
TAKEOVER_SECONDS = 1.0
"""So long an amphora whose haproxy ended waits for another one; it takes a few milliseconds where there is one."""
MASTER_DOWN_INTERVALS = 4
"""So many advert intervals without an advert, and a standby is the owner: three and its skew (RFC 9568, 6.1)."""
START_SECONDS = 5.0
"""So long a keepalived that was started is given until it says a state; it takes some 25 ms where the machine has nothing else to do."""
STABLE_SECONDS = 10.0
LONGEST_PAUSE = 10.0


class Redundancy:
    """``changed`` is called when the state is another one."""

    def __init__(
        self, amphora_id: str, load_balancer_id: str, paths: Paths, claims: Claims, changed: Callable[[], None],
        *, repairs: Repairs,
    ) -> None:  # fmt: skip
        self._repairs = repairs
        self._claims = claims
        self._amphora_id = amphora_id
        self._id = load_balancer_id
        self._files = VrrpFiles(paths.run)
        self._sentinel = Sentinel(paths.lock, self._files.track)
        self._on_change = changed
        self._keepalived = Keepalived(self._files, on_state=self._on_state, on_death=self._on_death)
        self._vrrp: Vrrp | None = None
        self._wanted_text = ""
        self._moved = asyncio.Event()
        self._settled = True
        self._state: VrrpState = "FAULT"
        self._serving: bool | None = None
        self._started_at = 0.0
        self._pause = 0.0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def state(self) -> VrrpState:
        """What keepalived says; empty where there is no VRRP. It is the owner once it has all addresses as they should be."""
        return self._state if self._vrrp else ""

    @property
    def settled(self) -> bool:
        """Whether what was to be put in force last is."""
        return self._settled

    @property
    def active(self) -> bool:
        """Whether this amphora is one of a pair."""
        return self._vrrp is not None

    async def test(self, vrrp: Vrrp | None) -> None:
        """``VrrpError`` where it cannot be put in force."""
        if vrrp is None or vrrp == self._vrrp:
            return
        candidate = self._files.config.with_suffix(".candidate")
        candidate.write_text(self._text(vrrp, await addresses.held()))
        try:
            if problem := await asyncio.to_thread(check, candidate):
                raise VrrpError(f"keepalived refuses its configuration: {problem}")
        finally:
            candidate.unlink()

    async def apply(self, vrrp: Vrrp | None) -> None:
        """Put it in force, from whatever there is: an earlier agent may have left a keepalived."""
        self._settled = False
        await (self._join(vrrp) if vrrp else self._leave())
        self._settled = True

    async def _join(self, vrrp: Vrrp) -> None:
        if vrrp == self._vrrp and self._keepalived.alive:
            return
        there = await addresses.held()
        text = self._text(vrrp, there)
        if self._vrrp is None or (vrrp.forwards, vrrp.router_id) != (self._vrrp.forwards, self._vrrp.router_id):
            own = router.number(self._files.folder, vrrp.router_id)
            async with self._claims.routing:
                await handover.route(vrrp, own, {one.address: one.interface for one in there})
        first, self._vrrp = self._vrrp is None, vrrp
        if first:  # what it was when it was one of a pair before says nothing
            self._state = self._keepalived.state if self._keepalived.adopt() else "FAULT"
        if first and self._keepalived.alive:
            log.info("adopted keepalived process=%d state=%s", self._keepalived.pid, self.state)
        self._wanted_text = text
        serving, self._serving = bool(self._serving), None
        self.set_serving(serving=serving)
        if self._keepalived.alive:
            if self._keepalived.state == "BACKUP" or not self._keepalived.has_told:
                self._run("reload", self._reload_in_time)
            else:
                self._reload()
        elif not self._is_running("revival"):
            await self._keepalived.kill()
            await addresses.remove(vrrp.vips)
            self._start()
        self._run("watch", self._watch)
        self._on_change()

    def set_serving(self, *, serving: bool) -> None:
        """Tell keepalived, at once, whether haproxy serves: one that does not gives the addresses up."""
        if serving == self._serving:
            return
        self._serving = serving
        if self._vrrp is None and not self._files.track.exists():
            return  # nobody reads it; who joins later writes what is so then
        try:
            if serving:
                self._sentinel.start()
            self._files.track.write_text("0\n" if serving else "1\n")
        except OSError as error:
            self._serving = None
            log.warning(
                "keepalived cannot be told that haproxy %s: %s", "serves" if serving else "does not serve", error
            )

    async def wait_taken_over(self) -> None:
        """Wait until another amphora says that it has the addresses, but not for long: a haproxy that is started anew remembers no
        client, and would tell the others of the members that it has chosen for them.
        """
        if self._vrrp:
            try:
                await wait_for_owner(self._vrrp.peers, self._vrrp.router_id, TAKEOVER_SECONDS)
            except OSError as error:
                log.warning("adverts cannot be heard: %s", error)

    async def stop(self) -> None:
        """The load balancer is served here no longer: the others are told, and nothing is left."""
        if not self._files.config.exists():
            return
        if self._vrrp is None:
            self._keepalived.adopt()
        self._vrrp = None
        self._cancel()
        self._sentinel.stop()
        vips, own = self._left()
        await self._keepalived.stop()
        await addresses.remove(vips)
        async with self._claims.routing:
            await handover.leave(own)

    def close(self) -> None:
        """Let go: keepalived goes on."""
        self._cancel()
        self._keepalived.release()

    def _text(self, vrrp: Vrrp, there: Sequence[Held]) -> str:
        found = addresses.links(vrrp, there)
        return configuration_text(vrrp, found, name=self._amphora_id, folder=self._files.folder)

    async def _leave(self) -> None:
        """The amphora is alone from now on. If it has the addresses it keeps them: they have been made its own before."""
        if not self._files.config.exists():
            self._vrrp = None
            return
        self._cancel()
        self._sentinel.stop()
        self._vrrp = None
        owner = self._keepalived.state == "MASTER"
        vips, own = self._left()
        await self._keepalived.kill()
        if owner:
            await addresses.keep(vips)
        await addresses.remove(vips, lasting=False)
        async with self._claims.routing:
            await handover.leave(own)
        for one in (self._files.config, self._files.track):
            one.unlink(missing_ok=True)
        self._on_change()

    async def _reload_in_time(self) -> None:
        """A reload begins the wait for adverts anew, so one after the owner's end would lengthen the outage: reload when
        an advert has just come, or keepalived has another state. One that was just started first has to listen."""
        self._moved.clear()
        if not self._keepalived.has_told:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), START_SECONDS)
        vrrp = self._vrrp
        if vrrp is None or not self._is_outdated():
            return
        self._moved.clear()
        if self._keepalived.state == "BACKUP":
            heard = wait_for_owner(vrrp.peers, vrrp.router_id, MASTER_DOWN_INTERVALS * vrrp.advert_interval)
            waiting = [asyncio.ensure_future(heard), asyncio.ensure_future(self._moved.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)  # where adverts cannot be heard: at once
        self._reload()

    def _reload(self) -> None:
        if self._keepalived.alive and self._is_outdated():
            self._files.write_config(self._wanted_text)
            self._keepalived.reload()

    def _is_outdated(self) -> bool:
        """Whether the file is another one: it is written no sooner than it is read, so that the next agent knows."""
        return not self._files.config.exists() or self._files.config.read_text() != self._wanted_text

    def _left(self) -> tuple[tuple[str, ...], int]:
        """The shared addresses and the router that are to go."""
        vips, known = addresses.told_of(self._files.config.read_text())
        own = router.given(self._files.folder)
        return vips, known if own is None else own

    # ── keepalived's life ────────────────────────────────────────────────────────────────────────────────────────────
    def _start(self) -> None:
        self._started_at = time.monotonic()
        self._files.write_config(self._wanted_text)
        self._keepalived.start()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(STOPPED_INTERVAL)
            if self._keepalived.end_stopped():
                log.error("keepalived was stopped: ended it")

    def _on_state(self) -> None:
        log.info("state=%s", self._keepalived.state)
        self._moved.set()
        if self._keepalived.state == "MASTER":
            self._run("settle", self._settle)
        else:
            self._publish()

    def _publish(self) -> None:
        self._state = self._keepalived.state
        self._on_change()

    async def _settle(self) -> None:
        try:
            if self._vrrp:
                await addresses.settle(
                    addresses.shared_on(self._vrrp, addresses.links(self._vrrp, await addresses.held()))
                )
        finally:
            self._publish()

    def _on_death(self) -> None:
        log.error("keepalived is gone, state=%s: %s", self._keepalived.state, self._keepalived.log_tail())
        self._run("revival", self._revive)

    async def _revive(self) -> None:
        """Start keepalived again: after another amphora has taken over, where this one has the addresses and haproxy serves."""
        owner = self._keepalived.state == "MASTER" and self._serving
        self._pause = (
            0.0 if time.monotonic() - self._started_at >= STABLE_SECONDS else min(LONGEST_PAUSE, self._pause * 2 or 0.1)
        )
        await self._keepalived.kill()
        self._publish()
        while (vrrp := self._vrrp) is not None and not self._keepalived.alive:
            try:
                if owner:
                    await wait_for_owner(vrrp.peers, vrrp.router_id, 4 * vrrp.advert_interval + 0.5)
                    owner = False
                await addresses.remove(vrrp.vips)
                await asyncio.sleep(self._pause)
                self._start()
                self._repairs.keepalived_started += 1
            except (VrrpError, OSError) as error:
                log.error("keepalived does not start: %s", error)  # noqa: TRY400
                self._pause = min(LONGEST_PAUSE, max(0.2, self._pause * 2))
                await asyncio.sleep(self._pause if is_shortage(error) else LONGEST_PAUSE)

    def _is_running(self, name: str) -> bool:
        return name in self._tasks and not self._tasks[name].done()

    def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        if not self._is_running(name):
            self._tasks[name] = asyncio.ensure_future(supervised(f"VRRP: {name}", work))

    def _cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
