# SPDX-License-Identifier: Apache-2.0
"""Weights changed a second in a pool of 1,000 members, with a real agent and a real haproxy, while nothing reloads.

Two ways, each at two doors. *Many at once*: every weight of the pool is another, told in one request (a deployment that
moves traffic). *One at a time*: each change is a request of its own, that waits for the one before (the agent's API: the
control plane has one push under way) or has seven others beside it (the v2 API).

At the agent's door, a change is what the control plane does from one configuration to the next: the new digest, the
difference, the push, until the agent says that it is in force. At the v2 API's, it is Octavia's batch of members, and
PUTs of members, each waiting until it is in force. The members are up, and nobody asks them: haproxy puts a server that
is up anew into its queues when its weight changes, which one that is down is spared. At the end haproxy is asked what it
has.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from netns.agents import BACKEND, Amphora
from netns.installation import RUNTIME, Installation
from netns.sandbox import Sandbox
from octavia_amphora.haproxy import runtime, servers
from octavia_amphora.wire.config import Configuration, Server, difference, digest
from octavia_amphora.wire.messages import Push, VersionStamp
from octavia_provider.client.deadline import Deadline

from .render import address
from .rows import Row, at_least, median
from .site import balancer, folder, remove, site
from .topics import NotHere, Say

MEMBERS, GOAL = 1000, 1000
ROUNDS, SINGLES, IN_FLIGHT = 9, 100, 8
WEIGHTS = 256


def weight(member: int, turn: int) -> int:
    """Another one for each member and, for one member, in each turn; never 0."""
    return (member + turn) % WEIGHTS + 1


# ── At the agent's door ──────────────────────────────────────────────────────────────────────────────────────────────
def pool(turn: int) -> list[Server]:
    """All members with the weights of this turn."""
    return [Server(f"m{i}", address(i), 80, weight(i, turn)) for i in range(MEMBERS)]


async def at_the_agent(base: Path, walls: Sandbox) -> tuple[list[float], list[float]]:
    """Changes a second: all in one push, and one a push; a number for each round."""
    amphora = Amphora(walls, base)
    await amphora.start()
    try:
        now = amphora.configuration(*pool(0))
        assert (await amphora.push(now)).outcome == "start"
        many, single = [], []
        for turn in range(1, ROUNDS + 1):
            new = amphora.configuration(*pool(turn))
            many.append(MEMBERS / await _seconds(amphora, [now, new]))
            steps = list(_one_by_one(new, turn))
            single.append(SINGLES / await _seconds(amphora, [new, *steps]))
            now = steps[-1]
        await _has(amphora, now)
    finally:
        await amphora.close()
    return many, single


def _one_by_one(start: Configuration, turn: int) -> Iterator[Configuration]:
    """Configurations that each have one weight more changed."""
    now = start
    for number in range(SINGLES):
        backend = now.backends[BACKEND]
        one = backend.servers[f"m{number}"]
        changed = msgspec.structs.replace(one, weight=weight(number, turn + 100))
        backend = msgspec.structs.replace(backend, servers={**backend.servers, one.name: changed})
        now = msgspec.structs.replace(now, backends={BACKEND: backend})
        yield now


async def _seconds(amphora: Amphora, steps: list[Configuration]) -> float:
    """From the first configuration, which is in force, through all the others, each by a push of what changed."""
    known = digest(steps[0])
    began = time.perf_counter()
    for old, new in itertools.pairwise(steps):
        amphora.revision += 1
        stamp = VersionStamp(0, 1, amphora.revision, amphora.revision, digest(new))
        push = Push(stamp, delta=difference(old, new, since=known))
        applied = await amphora.client.push(amphora.host, amphora.load_balancer_id, push)
        assert applied.outcome == "runtime", applied
        known = stamp.digest
    return time.perf_counter() - began


async def _has(amphora: Amphora, wanted: Configuration) -> None:
    """haproxy has all weights."""
    path = Path(amphora.run_directory.name, amphora.load_balancer_id, "stats.sock")
    found = weights(await runtime.execute(path, "show servers state"))
    assert found == {s.name: s.weight for s in wanted.backends[BACKEND].servers.values()}


def weights(text: str) -> dict[str, int]:
    """By server, what haproxy says."""
    return {one.name: one.weight for one in servers.parse_states(text)}


# ── At the v2 API's door ─────────────────────────────────────────────────────────────────────────────────────────────
def batch(made: Installation, pool_id: str, turn: int) -> float:
    """Octavia's batch: all members with the weights of this turn, until it is in force."""
    members = [{"address": address(i), "protocol_port": 80, "weight": weight(i, turn)} for i in range(MEMBERS)]
    path, deadline = f"/v2/lbaas/pools/{pool_id}", Deadline(120.0)
    began = time.perf_counter()
    told = {"json": {"members": members}, "wait": 60, "timeout": 60.0}
    made.client.request("PUT", f"{path}/members", deadline=deadline, **told)
    taken = time.perf_counter() - began
    assert made.get("pool", pool_id)["provisioning_status"] == "ACTIVE"
    return taken


def singles(made: Installation, pool_id: str, members: Mapping[str, str], turn: int) -> float:
    """PUTs of members, each until it is in force, with some in flight."""

    def one(number: int) -> str:
        values: dict[str, Any] = {"weight": weight(number, turn + 100)}
        return str(made.update("member", members[address(number)], parent=pool_id, **values)["provisioning_status"])

    began = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as clients:
        outcomes = list(clients.map(one, range(SINGLES)))
    taken = time.perf_counter() - began
    assert set(outcomes) == {"ACTIVE"}, outcomes
    return taken


def at_the_api(made: Installation, say: Say) -> tuple[list[float], list[float]]:
    """Changes a second: all in one batch, and one a PUT; a number for each round."""
    found = balancer(made)
    pool_id = found["pool"]["id"]
    batch(made, pool_id, 0)
    ids = {one["address"]: one["id"] for one in made.client.list("member", parent=pool_id, deadline=Deadline(30.0))}
    many, single, workers = [], [], made.workers()
    for turn in range(1, ROUNDS + 1):
        say(f"v2 API, round {turn} of {ROUNDS}")
        many.append(MEMBERS / batch(made, pool_id, turn))
        single.append(SINGLES / singles(made, pool_id, ids, turn))
    assert made.workers() == workers, "haproxy was reloaded"
    told = made.in_amphora("python3", "-c", RUNTIME, found["load_balancer"]["id"], "show servers state")
    numbers = [weight(i, turn + 100 if i < SINGLES else turn) for i in range(MEMBERS)]
    assert weights(told.stdout) == {ids[address(i)]: number for i, number in enumerate(numbers)}
    remove(made, found)
    return many, single


def measure(say: Say) -> Iterator[Row]:
    """Four rows."""
    if os.geteuid() != 0 or shutil.which("haproxy") is None:
        raise NotHere("needs root and haproxy: run make bench as root, after make setup")
    say(f"agent, {ROUNDS} rounds")
    walls = Sandbox()
    try:
        with folder() as base:
            many, single = asyncio.run(at_the_agent(base, walls))
    finally:
        walls.close()
    note = f"all {MEMBERS} weights in one push, until the agent says it is in force"
    yield Row("runtime.agent_many", median(many), "weights/s", at_least(GOAL), ROUNDS, note)
    note = f"one weight a push, one push after the other, {SINGLES} a round"
    yield Row("runtime.agent_single", median(single), "weights/s", None, ROUNDS, note)
    with site() as made:
        many, single = at_the_api(made, say)
    note = f"Octavia's batch of {MEMBERS} members, until it is in force"
    yield Row("runtime.api_many", median(many), "weights/s", None, ROUNDS, note)
    note = f"a PUT for each, {IN_FLIGHT} in flight, {SINGLES} a round"
    yield Row("runtime.api_single", median(single), "weights/s", None, ROUNDS, note)
