# SPDX-License-Identifier: Apache-2.0
"""The loop that looks at every haproxy, and tells all control planes: each interval, and at once when a state changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from octavia_amphora.apply.disk import write
from octavia_amphora.apply.load_balancer import LoadBalancer
from octavia_amphora.apply.load_balancers import LoadBalancers
from octavia_amphora.apply.stats_collector import COST_FACTOR
from octavia_amphora.options import Options
from octavia_amphora.wire.heartbeat import BalancerBeat, Heartbeat, encode, short_digest
from octavia_amphora.wire.messages import AgentConfig, States

from .receivers import HeartbeatReceivers
from .sockets import HeartbeatSockets

log = logging.getLogger("octavia_amphora.heartbeat")

# Only where haproxy's log cannot be watched, or while something is waited for that nobody tells of.
POLL_SECONDS = 0.25
MAX_BOOT_AHEAD = 10 * 366 * 86_400_000
"""A number of a start that is so many milliseconds ahead of the clock was never one."""


class HeartbeatSender:
    """Sends heartbeats until it is cancelled; from ``source``, where the amphora has several ways out."""

    def __init__(self, options: Options, load_balancers: LoadBalancers, wake: asyncio.Event, source: str = "") -> None:
        settings = options.config
        self._load_balancers = load_balancers
        self._wake = wake
        self._amphora_id, self._key = settings.amphora_id, bytes.fromhex(settings.heartbeat_key)
        self._interval = settings.heartbeat_interval
        self.receivers = HeartbeatReceivers(settings)
        self._sockets = HeartbeatSockets(source)
        self._warned: set[object] = set()
        self.boot, self.sequence = next_boot(Path(settings.state_directory)), 0
        options.subscribe(self._changed)

    def _changed(self, settings: AgentConfig) -> None:
        self._interval = settings.heartbeat_interval
        self._wake.set()

    async def run(self) -> None:
        """Look and tell, for ever."""
        last_sent: tuple[object, ...] | None = None
        sent_at = float("-inf")
        try:
            while True:
                began = time.monotonic()
                self._wake.clear()
                states = await self._collect_all()
                significant = tuple(_significant_part(one) for one in states)
                if significant != last_sent or began - sent_at >= self._interval:
                    self._send(states)
                    last_sent, sent_at = significant, began
                cost = time.monotonic() - began
                await self._wait(sent_at + self._interval, cost)
        finally:
            self._sockets.close()

    async def _wait(self, next_beat: float, cost: float) -> None:
        """Until the next look: when somebody says that something changed, soon if there are checks, else at the beat."""
        pause = next_beat - time.monotonic()
        if any(one.needs_polling or one.has_pending_work for one in self._load_balancers.balancers()):
            pause = min(pause, max(POLL_SECONDS, cost * COST_FACTOR))
        with contextlib.suppress(TimeoutError):
            # not wait_for: before Python 3.12 it forgets that it was cancelled when it is woken in the same moment
            async with asyncio.timeout(max(0.0, pause)):
                await self._wake.wait()

    async def _collect_all(self) -> list[tuple[LoadBalancer, States]]:
        balancers = self._load_balancers.balancers()
        found = await asyncio.gather(*(self._collect(one) for one in balancers))
        return [(one, states) for one, states in zip(balancers, found, strict=True) if states is not None]

    async def _collect(self, balancer: LoadBalancer) -> States | None:
        """What one says; the others are told of even where this one cannot be looked at."""
        try:
            states = await balancer.collect_states()
            await balancer.remove_idle_servers()
        except Exception as error:
            if (balancer.id, str(error)) not in self._warned:
                log.exception("cannot be looked at load_balancer=%s", balancer.id)
                self._warned.add((balancer.id, str(error)))
            return None
        return states

    def _send(self, collected: Sequence[tuple[LoadBalancer, States]]) -> None:
        self.sequence += 1
        beat = Heartbeat(
            amphora_id=self._amphora_id,
            boot=self.boot,
            sequence=self.sequence,
            time=time.time(),
            balancers=tuple(_balancer_beat(balancer, states) for balancer, states in collected),
        )
        self._sockets.send(self.receivers.addresses, encode(beat, self._key))
        for balancer, _ in collected:
            balancer.save_counters()


def next_boot(directory: Path) -> int:
    """The number of this start: the clock's milliseconds, but always more than the one before, which is kept on disk."""
    path, now = directory / "boot", int(time.time() * 1000)
    try:
        before = int(path.read_text())
    except (OSError, ValueError):
        before = 0
    boot = max(now, before + 1) if before < now + MAX_BOOT_AHEAD else now
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, str(boot).encode(), durable=True)
    except OSError as error:  # the clock alone tells the next start from this one, then
        log.warning("the number of this start cannot be kept: %s", error)
    return boot


def _balancer_beat(balancer: LoadBalancer, states: States) -> BalancerBeat:
    return BalancerBeat(
        load_balancer_id=states.load_balancer_id,
        digest=short_digest(states.digest),
        generation=balancer.generation,
        serving=states.serving,
        listeners=tuple(states.listeners.values()),
        servers=tuple(state for each in states.servers.values() for state in each.values()),
        vrrp=states.vrrp,
        repairs=msgspec.structs.astuple(balancer.repairs),
    )


def _significant_part(one: tuple[LoadBalancer, States]) -> object:
    """What is told at once when it changes: everything but the counters."""
    balancer, states = one
    status = {name: listener.status for name, listener in states.listeners.items()}
    return (
        states.load_balancer_id,
        states.digest,
        balancer.generation,
        states.serving,
        status,
        states.servers,
        states.vrrp,
        msgspec.structs.astuple(balancer.repairs),
    )
