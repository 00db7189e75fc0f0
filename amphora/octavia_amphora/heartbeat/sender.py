# SPDX-License-Identifier: Apache-2.0
"""The loop that looks at every haproxy, and tells all control planes: each interval, and at once when a state changed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from octavia_amphora.apply.disk import write
from octavia_amphora.apply.load_balancer import Balancer
from octavia_amphora.apply.load_balancers import LoadBalancers
from octavia_amphora.apply.stats_collector import LOOK_SHARE
from octavia_amphora.wire.heartbeat import BalancerBeat, Heartbeat, encode, short
from octavia_amphora.wire.messages import Settings, States

log = logging.getLogger("octavia_amphora.heartbeat")

# Only where haproxy's log cannot be watched, or while something is waited for that nobody tells of.
LOOK_SECONDS = 0.25
DAMAGED = 10 * 366 * 86_400_000
"""A number of a start that is so many milliseconds ahead of the clock was never one."""


class HeartbeatSender:
    """Sends heartbeats until it is cancelled."""

    def __init__(self, settings: Settings, load_balancers: LoadBalancers, wake: asyncio.Event) -> None:
        self._settings = settings
        self._load_balancers = load_balancers
        self._wake = wake
        self._key = bytes.fromhex(settings.heartbeat_key)
        self._receivers = [_address(one) for one in settings.receivers]
        self._sockets: dict[int, socket.socket] = {}
        self._sequence = 0
        self._complained: set[object] = set()
        self.boot = next_boot(Path(settings.state_directory))

    async def run(self) -> None:
        """Look and tell, for ever."""
        told: tuple[object, ...] | None = None
        told_at = float("-inf")
        try:
            while True:
                began = time.monotonic()
                self._wake.clear()
                seen = await self._look()
                essence = tuple(_essence(one) for one in seen)
                if essence != told or began - told_at >= self._settings.heartbeat_interval:
                    self._send(seen)
                    told, told_at = essence, began
                cost = time.monotonic() - began
                await self._pause(told_at + self._settings.heartbeat_interval, cost)
        finally:
            for one in self._sockets.values():
                one.close()
            self._sockets.clear()

    async def _pause(self, next_beat: float, cost: float) -> None:
        """Until the next look: when somebody says that something changed, soon if there are checks, else at the beat."""
        pause = next_beat - time.monotonic()
        if any(one.is_polled or one.is_waiting for one in self._load_balancers.balancers()):
            pause = min(pause, max(LOOK_SECONDS, cost * LOOK_SHARE))
        with contextlib.suppress(TimeoutError):
            # not wait_for: before Python 3.12 it forgets that it was cancelled when it is woken in the same moment
            async with asyncio.timeout(max(0.0, pause)):
                await self._wake.wait()

    async def _look(self) -> list[tuple[Balancer, States]]:
        balancers = self._load_balancers.balancers()
        found = await asyncio.gather(*(self._look_at(one) for one in balancers))
        return [(one, states) for one, states in zip(balancers, found, strict=True) if states is not None]

    async def _look_at(self, balancer: Balancer) -> States | None:
        """What one says; the others are told of even where this one cannot be looked at."""
        try:
            states = await balancer.look()
            await balancer.collect()
        except Exception as error:
            if (balancer.id, str(error)) not in self._complained:
                log.exception("cannot be looked at load_balancer=%s", balancer.id)
                self._complained.add((balancer.id, str(error)))
            return None
        return states

    def _send(self, seen: Sequence[tuple[Balancer, States]]) -> None:
        self._sequence += 1
        beat = Heartbeat(
            amphora_id=self._settings.amphora_id,
            boot=self.boot,
            sequence=self._sequence,
            time=time.time(),
            balancers=tuple(_beat(balancer, states) for balancer, states in seen),
        )
        parts = encode(beat, self._key)
        for family, address in self._receivers:
            self._send_to(family, address, parts)
        for balancer, _ in seen:
            balancer.save()

    def _send_to(self, family: int, address: tuple[str, int], parts: Sequence[bytes]) -> None:
        try:
            if family not in self._sockets:
                self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            for part in parts:
                self._sockets[family].sendto(part, address)
            self._complained.discard(address)
        except OSError as error:
            if address not in self._complained:  # once, not at each beat
                log.warning("heartbeat to %s port %d: %s", *address, error)
                self._complained.add(address)


def next_boot(directory: Path) -> int:
    """The number of this start: the clock's milliseconds, but always more than the one before, which is kept on disk."""
    path, now = directory / "boot", int(time.time() * 1000)
    try:
        before = int(path.read_text())
    except (OSError, ValueError):
        before = 0
    boot = max(now, before + 1) if before < now + DAMAGED else now
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, str(boot).encode(), durable=True)
    except OSError as error:  # the clock alone tells the next start from this one, then
        log.warning("the number of this start cannot be kept: %s", error)
    return boot


def _beat(balancer: Balancer, states: States) -> BalancerBeat:
    return BalancerBeat(
        load_balancer_id=states.load_balancer_id,
        digest=short(states.digest),
        generation=balancer.generation,
        serving=states.serving,
        listeners=tuple(states.listeners.values()),
        servers=tuple(state for each in states.servers.values() for state in each.values()),
    )


def _essence(one: tuple[Balancer, States]) -> object:
    """What is told at once when it changes: everything but the counters."""
    balancer, states = one
    status = {name: listener.status for name, listener in states.listeners.items()}
    return (states.load_balancer_id, states.digest, balancer.generation, states.serving, status, states.servers)


def _address(text: str) -> tuple[int, tuple[str, int]]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    return family, (host, int(port))
