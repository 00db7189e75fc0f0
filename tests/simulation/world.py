# SPDX-License-Identifier: Apache-2.0
"""What is outside of control planes: a cloud's servers, ports and rules, the agents, and the failures that befall them.

A control plane reaches it through its ``Lifeline``, one effect after another. There it can be made to end (``crash_at``): it
never learns whether its last call had an effect, and nothing that it does later has any.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.heartbeat import BalancerBeat, Heartbeat, encode
from octavia_amphora.wire.messages import (
    AgentConfig,
    AgentOptions,
    Counters,
    ListenerState,
    Receivers,
    Refusal,
    VersionStamp,
)
from octavia_provider.model.errors import Unreachable
from octavia_provider.ports import Instance

from .network import CLOUD, STORE, Network

HEARTBEAT_SECONDS = 1.0
CERTIFICATE, AUTHORITIES = "/run/octavia-amphora/agent.pem", "/run/octavia-amphora/authorities.pem"
SETTINGS = "/etc/octavia-amphora/agent.json"
_PRIORITY = re.compile(r"priority (\d+)")
Verdict = Callable[[str, Configuration], Refusal | None]


class Ended(Exception):
    """This control plane has been killed."""


@dataclass(slots=True)
class Standing:
    """What an agent has of one load balancer."""

    newest: VersionStamp
    stamp: VersionStamp | None = None
    configuration: Configuration | None = None


@dataclass(slots=True)
class Server:
    """A server of the cloud with the agent in it. ``answering``: whether the agent hears the control plane."""

    instance: Instance
    files: Mapping[str, tuple[int, bytes]] = field(default_factory=dict)
    standing: dict[str, Standing] = field(default_factory=dict)
    histories: dict[str, list[VersionStamp]] = field(default_factory=dict)
    tombstones: dict[str, VersionStamp] = field(default_factory=dict)
    """Of load balancers that it had, the newest."""
    answering: bool = True
    beating: bool = True
    boot: int = 1
    said: tuple[int, int] = (0, 0)
    options: list[AgentOptions] = field(default_factory=list)
    receivers: Receivers | None = None
    domain: int = 0
    flavor: Mapping[str, Any] = field(default_factory=dict)

    shows: bytes = b""
    trusts: bytes = b""

    @property
    def history(self) -> list[VersionStamp]:
        """Of the load balancer that it is for alone."""
        return self.histories.get(self.instance.load_balancer_id, [])

    def vrrp(self, load_balancer_id: str) -> str:
        """The text of keepalived that is in force; empty where there is none."""
        standing = self.standing.get(load_balancer_id)
        configuration = standing.configuration if standing and self.instance.alive else None
        return configuration.vrrp.text if configuration and configuration.vrrp else ""

    def give(self, files: Mapping[str, tuple[int, bytes]]) -> None:
        """Files are written, and the agent is started with them."""
        self.files = files
        self.shows, self.trusts = (files[path][1] if path in files else b"" for path in (CERTIFICATE, AUTHORITIES))

    @property
    def settings(self) -> AgentConfig:
        return msgspec.json.decode(self.files[SETTINGS][1], type=AgentConfig)


@dataclass(slots=True)
class Seat:
    """A load balancer's place on a server that others use too: what is asked of it is the server's."""

    instance: Instance
    server: Server

    @property
    def standing(self) -> dict[str, Standing]:
        return self.server.standing

    @property
    def domain(self) -> int:
        return self.server.domain

    @property
    def flavor(self) -> Mapping[str, Any]:
        return {}

    def vrrp(self, load_balancer_id: str) -> str:
        return self.server.vrrp(load_balancer_id)


class World:
    """``latency``: seconds that each call takes; ``times``: of those that take longer, by name."""

    def __init__(self, *, latency: float = 0.01, times: Mapping[str, float] | None = None) -> None:
        self.latency, self.times = latency, {"boot": 20.0, "ready": 1.0, **(times or {})}
        self.servers: dict[str, Server] = {}
        self.seats: dict[tuple[str, str], Instance] = {}
        """(server, load balancer) → what it carries of it"""
        self.ports: dict[tuple[str, str], str] = {}
        """(load balancer, subnet) → address"""
        self.server_groups: set[str] = set()
        """Of load balancers and amphora groups: they keep servers apart, and go with the ports."""
        self.rules: dict[str, tuple[str, int]] = {}
        """listener → (load balancer, port): who may come in"""
        self.failures: dict[str, list[Exception]] = {}
        self.refuse: Verdict = lambda _amphora, _configuration: None
        self.network = Network()
        self.clock_error = 0.0
        """Seconds that the store's clock is fast."""
        self.receivers: list[socket.socket] = []
        self.hearing: dict[socket.socket, str] = {}
        """receiver → control plane"""
        self.recorder: Callable[[bytes], None] | None = None
        """Sees each heartbeat on its way."""
        self.lookers: list[Callable[[], None]] = []
        """Called at each effect of a control plane."""
        self.violations: list[str] = []
        self.told: list[str] = []
        """Each effect, with its control plane and its end."""
        self.calls: Counter[str] = Counter()
        self.disbelieved = 0
        """Handshakes that failed, since one side did not believe what the other one showed."""
        self.down: set[tuple[str, str]] = set()
        """(amphora, member): what it sees down"""
        self.numbers = itertools.count(1)
        self.lost = asyncio.Event()
        self.heartbeat_seconds = HEARTBEAT_SECONDS
        self.owners: dict[str, str] = {}
        """load balancer → which amphora has its VIPs by VRRP"""
        self.pushed: list[tuple[str, str, str, VersionStamp]] = []
        """What agents have put in force: (control plane, amphora, load balancer, stamp)"""

    def vrrp_state(self, amphora_id: str, load_balancer_id: str) -> str:
        """What its keepalived says; the election is over at once."""
        there = self.live(load_balancer_id)
        taking_part = {one.instance.amphora_id: text for one in there if (text := one.vrrp(load_balancer_id))}
        if amphora_id not in taking_part:
            return ""
        priorities = {id_: int(_PRIORITY.findall(text)[0]) for id_, text in taking_part.items()}
        heard = [id_ for id_ in taking_part if self.network.passes(id_, amphora_id)]
        if len(heard) < len(taking_part):
            return "MASTER" if priorities[amphora_id] == max(priorities[i] for i in {*heard, amphora_id}) else "BACKUP"
        owner = self.owners.get(load_balancer_id)
        able = (
            [id_ for id_, text in taking_part.items() if "nopreempt" not in text]
            if owner in taking_part
            else taking_part
        )
        best = max(able, key=lambda id_: priorities[id_], default=owner)
        if owner not in taking_part or priorities[best] > priorities[owner]:
            owner = self.owners[load_balancer_id] = best
        return "MASTER" if owner == amphora_id else "BACKUP"

    def violate(self, broken: bool, what: str) -> None:
        """Note what must never be so: what is raised in a control plane, it would take for a failure of its own."""
        if broken and what not in self.violations:
            self.violations.append(what)

    def fail(self, name: str, *errors: Exception) -> None:
        """The next calls of this name fail so."""
        self.failures.setdefault(name, []).extend(errors)

    def live(self, load_balancer_id: str) -> list[Server | Seat]:
        """Its servers, and its places on others."""
        own = [s for s in self.servers.values() if s.instance.load_balancer_id == load_balancer_id]
        return [*own, *(Seat(self.seat(key), self.servers[key[0]]) for key in self.seats if key[1] == load_balancer_id)]

    def seat(self, key: tuple[str, str]) -> Instance:
        """As it is, which depends on its server."""
        host = self.servers[key[0]].instance
        return replace(self.seats[key], agent=host.agent, alive=host.alive)

    def take_away(self, amphora_id: str) -> None:
        """A server with all that is on it."""
        self.servers.pop(amphora_id, None)
        self.seats = {key: seat for key, seat in self.seats.items() if key[0] != amphora_id}

    async def beat(self) -> None:
        """Agents send heartbeats, for as long as they are there."""
        for sequence in itertools.count(1):
            await asyncio.sleep(self.heartbeat_seconds)
            for server in list(self.servers.values()):
                if server.instance.alive and server.beating and SETTINGS in server.files:
                    self._send(server, sequence)

    def _send(self, server: Server, sequence: int) -> None:
        settings = server.settings
        balancers = tuple(self._balancers(server))
        beat = Heartbeat(server.instance.amphora_id, server.boot, sequence, 1.0, balancers)
        server.said = (server.boot, sequence)
        for part in encode(beat, bytes.fromhex(settings.heartbeat_key)):
            if self.recorder is not None:
                self.recorder(part)
            for receiver in list(self.receivers):
                if self.network.passes(server.instance.amphora_id, self.hearing.get(receiver, "")):
                    self.network.deliver(partial(self._hand, receiver, part))

    def _hand(self, receiver: socket.socket, part: bytes) -> None:
        try:
            receiver.send(part)
        except BlockingIOError:
            return  # nobody reads: the control plane is paused
        except OSError:
            if receiver in self.receivers:
                self.receivers.remove(receiver)
            receiver.close()

    def _balancers(self, server: Server) -> Iterator[BalancerBeat]:
        for load_balancer_id, standing in server.standing.items():
            seat = self.seats.get((server.instance.amphora_id, load_balancer_id))
            id_ = (seat or server.instance).amphora_id
            if standing.stamp is None or standing.configuration is None:
                continue
            names = [name for backend in standing.configuration.backends.values() for name in backend.servers]
            yield BalancerBeat(
                load_balancer_id, standing.stamp.digest, standing.stamp.generation, True,
                tuple(ListenerState(counters=Counters(bytes_in=10)) for _ in standing.configuration.frontends),
                tuple("down" if (id_, name) in self.down else "up" for name in names),
                vrrp=self.vrrp_state(id_, load_balancer_id),
            )  # fmt: skip


class Lifeline:
    """What one control plane does in the world."""

    def __init__(self, world: World, *, name: str = "", crash_at: int | None = None) -> None:
        self.world = world
        self.name = name
        self.crash_at = crash_at
        self.effects: list[str] = []
        self.ended = asyncio.Event()
        self.killed = False
        self.going = asyncio.Event()
        self.going.set()

    async def alive(self) -> None:
        """A control plane that is paused goes on from here later; one that has ended does not, but to be taken apart."""
        await self.going.wait()
        if self.killed:
            raise Ended
        if self.ended.is_set():
            await asyncio.Event().wait()

    async def effect(self, name: str, target: str = CLOUD) -> None:
        """Comes before each effect, and raises what is to fail. A call over the network does not outlive a pause."""
        network = self.world.network
        await asyncio.sleep(network.seconds(self.world.times.get(name, self.world.latency)))
        if self.crash_at is not None and len(self.effects) >= self.crash_at:
            self.ended.set()
        paused = not self.going.is_set()
        await self.alive()
        if paused and name != "write":
            raise Unreachable(f"{name}: the connection was closed by the other end")
        network.request(name, self.name, target)
        for look in self.world.lookers:
            look()
        self.effects.append(name)
        self.world.told.append(f"{self.name} {name} {target}")
        self.world.calls[name] += 1
        if errors := self.world.failures.get(name):
            raise errors.pop(0)

    def answer(self, name: str, source: str) -> None:
        """Comes after each call, which had its effect, and raises where the answer gets lost."""
        self.world.network.answer(name, source, self.name)

    async def read(self) -> None:
        """Comes before each look at the store."""
        await self.alive()
        self.world.network.request("read", self.name, STORE)
