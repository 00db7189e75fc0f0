# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: how many a second one core takes, by UDP on loopback, and what 10,000 amphorae cost in memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from octavia_amphora.wire.config import Configuration, digest
from octavia_amphora.wire.heartbeat import BalancerBeat, Heartbeat, encode
from octavia_amphora.wire.messages import Counters, ListenerState
from octavia_provider.clouds.netns.dialer import SO_RCVBUFFORCE
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.controller.heartbeats import Heartbeats
from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.controller.push import InForce
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.ports import Amphora, Scope
from octavia_provider.render.haproxy import Placement, render

from .render import graph
from .rows import Row, at_least, median
from .topics import Say

AMPHORAE, MANY, BEATS, RUNS = 500, 10_000, 10, 5
KEY = b"k" * 32
BUFFER = 8 * 1024 * 1024


class Site:
    """So many amphorae, each with a load balancer of ``members`` of its own; it stands for the store and the controller."""

    def __init__(self, amphorae: int, members: int) -> None:
        self.ids = [str(uuid.uuid4()) for _ in range(amphorae)]
        text = msgspec.json.encode(render(graph(members), Placement(vips=("10.0.0.2",))).configuration)
        self.known = {id_: self._reconciler(id_, text) for id_ in self.ids}
        self.members = members
        self.receiving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiving.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.receiving.bind(("127.0.0.1", 0))
        self.heartbeat_receiver = f"127.0.0.1:{self.receiving.getsockname()[1]}"
        itself = cast("Any", self)
        self.heartbeats = Heartbeats(itself, StatusCache(), itself, itself, itself)

    def _reconciler(self, id_: str, text: bytes) -> BalancerReconciler:
        scope = Scope(id=id_, kind="load_balancer")
        made = BalancerReconciler(cast("Any", SimpleNamespace(networks=None, holder="bench")), DesiredState(scope))
        configuration = msgspec.structs.replace(msgspec.json.decode(text, type=Configuration), load_balancer_id=id_)
        made.in_force[id_] = InForce(configuration, digest(configuration))
        return made

    def reconciler(self, id_: str) -> BalancerReconciler | None:
        return self.known.get(id_)

    async def read(self, _: object) -> list[Any]:
        return [Amphora(id=id_, heartbeat_key=KEY, load_balancer_id=id_) for id_ in self.ids]

    def heartbeat_socket(self) -> socket.socket:
        return self.receiving

    def beats(self, sequence: int) -> list[bytes]:
        """One of each amphora. Counters rise; one member in a thousand changes its state."""
        parts = []
        for number, id_ in enumerate(self.ids):
            state = "down" if (number + sequence) % 1000 == 0 else "up"
            listeners = (ListenerState(counters=Counters(sequence * 1000, sequence * 5000, 7, sequence * 10)),)
            known = self.known[id_].in_force[id_].digest
            beat = BalancerBeat(id_, known, 1, True, listeners, (state, *("up",) * (self.members - 1)))  # type: ignore[arg-type]
            parts += encode(Heartbeat(id_, 1, sequence, 1.0, (beat,)), KEY)
        return parts


def _send(address: tuple[str, int], datagrams: list[bytes], going: Any) -> None:
    """In a process of its own, as fast as it can."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        going.wait()
        for datagram in datagrams:
            sending.sendto(datagram, address)


async def _rate(members: int) -> float:
    """Heartbeats that were accepted in a second of this process's processor time."""
    site = Site(AMPHORAE, members)
    await site.heartbeats._learn()
    await site.heartbeats.open(cast("Any", site))
    datagrams = [part for sequence in range(1, BEATS + 1) for part in site.beats(sequence)]
    going = multiprocessing.get_context("fork").Event()
    sender = multiprocessing.get_context("fork").Process(
        target=_send, args=(site.receiving.getsockname(), datagrams, going)
    )
    sender.start()
    going.set()
    began, before = time.process_time(), -1
    while sender.is_alive() or before != (before := int(site.heartbeats.facts()["accepted"])):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    spent = time.process_time() - began
    accepted = int(site.heartbeats.facts()["accepted"])
    site.heartbeats.close()
    sender.join()
    assert not site.heartbeats.facts()["rejected"]
    return accepted / spent


def _resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def _memory() -> tuple[float, float]:
    """What the configurations of so many take, and what hearing them takes beside them."""
    before = _resident()
    site = Site(MANY, 3)
    configured = _resident()
    await site.heartbeats._learn()
    for sequence in (1, 2):
        for datagram in site.beats(sequence):
            site.heartbeats.hear_datagram(datagram)
    return configured - before, _resident() - configured


def _measure_memory(answer: Any) -> None:
    answer.put(asyncio.run(_memory()))


def measure(say: Say) -> Iterator[Row]:
    """Rates, then memory."""
    for members, goal in ((3, at_least(10_000)), (100, at_least(10_000)), (1_000, None)):
        say(f"{AMPHORAE} amphorae with {members} members, {RUNS} times")
        rates = [asyncio.run(_rate(members)) for _ in range(RUNS)]
        note = "accepted in a second of processor time, by UDP on loopback; each amphora has a balancer of its own"
        yield Row(f"heartbeats.{members}_members", median(rates), "/s", goal, RUNS, note)
    say(f"memory of {MANY} amphorae")
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_measure_memory, args=(answer,))
    process.start()
    configured, heard = answer.get()
    process.join()
    yield Row("heartbeats.memory_10000", heard, "MiB", note="keys, sequences, statuses and counters; RSS")
    yield Row(
        "heartbeats.memory_10000_configurations", configured, "MiB", note="what they are read by, 3 members each; RSS"
    )
