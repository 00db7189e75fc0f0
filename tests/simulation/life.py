# SPDX-License-Identifier: Apache-2.0
"""A life of a site: steps and faults one after the other. Once they are over, all has to be as it should be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import structlog

from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.model.errors import Conflict, OctaviaError, Unreachable
from octavia_provider.planner import plan as planner
from octavia_provider.ports import AgentRefused, Transaction

from . import checks
from .cloud import IPV6, NETWORK
from .loop import VirtualLoop
from .network import CLOUD, STORE
from .site import PAIR, ControlPlane, Site, prepare, site
from .steps import LEASE_SECONDS, Life, Step
from .store import commit
from .world import Ended, Server

MOST_CONTROL_PLANES = 3
TIMES = {"boot": 3.0, "ready": 1.0}
EXPECTED = (OctaviaError, AgentRefused, OSError, Ended)
PATIENCE = 2000
"""Virtual seconds until all is well, once nothing fails any more."""


def run(life: Life) -> list[str]:
    """Live it; answers the effects of its control planes, in their order. What is wrong at its end is raised."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(prepare())
        with reproducible(life.seed), no_internal_error():
            return runner.run(_live(life))


@contextlib.contextmanager
def no_internal_error() -> Iterator[None]:
    """What a control plane catches, logs and tries again is not lost: only failures that are meant may be there."""
    found: list[BaseException] = []

    def keep(_logger: Any, _method: str, told: dict[str, Any]) -> Any:
        error = told.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, EXPECTED):
            found.append(error)
        raise structlog.DropEvent

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR), processors=[keep])
    try:
        yield
    finally:
        structlog.reset_defaults()
    if found:
        raise AssertionError("an internal error of a control plane") from found[0]


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Whatever is drawn at random is drawn from the seed."""
    ids, made = random.Random(seed), uuid.uuid4
    uuid.uuid4 = lambda: uuid.UUID(int=ids.getrandbits(128), version=4)
    random.seed(seed)
    try:
        yield
    finally:
        uuid.uuid4 = made


async def _live(life: Life) -> list[str]:
    async with site(roles=life.roles, lease_seconds=LEASE_SECONDS, with_api=False, times=TIMES) as made:
        living = life.living(made) if life.living else Living(made)
        await living.begin(life.seed)
        for step in life.steps:
            await getattr(living, step.name)(*step.numbers)
        await living.finish()
        return made.world.told


class Living:
    """Each step is a method."""

    def __init__(self, made: Site) -> None:
        self.site, self.world, self.network = made, made.world, made.world.network
        self.planes: list[ControlPlane] = []
        self.balancers: list[str] = []
        self.listeners: list[tuple[str, str]] = []
        """(load balancer, listener)"""
        self.started = 1

    async def begin(self, seed: int) -> None:
        self.network.random = random.Random(seed)
        self.world.lookers.append(self.look_at_owners)
        self.planes.append(await self.site.start(holder="plane 1"))

    # ── what users do ────────────────────────────────────────────────────────────────────────────────────────────────
    async def make(self) -> None:
        self.balancers.append(await self.site.write("load_balancer", vip_network_id=NETWORK))

    async def listen(self, which: int, port: int) -> None:
        if balancer := _of(self.balancers, which):
            with contextlib.suppress(Conflict):
                spec = {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": port}
                self.listeners.append((balancer, await self.site.write("listener", **spec)))

    async def move(self, which: int, port: int) -> None:
        if listener := _of(self.listeners, which):
            with contextlib.suppress(Conflict):
                await self._change("listener", listener[1], protocol_port=port)

    async def close(self, which: int) -> None:
        if listener := _of(self.listeners, which):
            self.listeners.remove(listener)
            await self._delete("listener", listener[1])

    async def readdress(self, which: int, ipv6: bool) -> None:
        if balancer := _of(self.balancers, which):
            await self._change("load_balancer", balancer, additional_vips=[{"subnet_id": IPV6}] if ipv6 else [])

    async def choose_flavor(self, which: int, pair: bool) -> None:
        if balancer := _of(self.balancers, which):
            await self._change("load_balancer", balancer, flavor_id=self.site.flavors[PAIR] if pair else None)

    async def fail_over(self, which: int, whom: str) -> None:
        some = {"all": slice(None), "first": slice(1), "last": slice(1, None)}[whom]

        def work(tx: Transaction) -> None:
            if balancer and tx.scope(balancer) is not None:
                tx.retire([amphora.id for amphora in tx.amphorae(balancer)][some])
                tx.touch(balancer)

        balancer = _of(self.balancers, which)
        await commit(self.site.store, work)

    async def unmake(self, which: int) -> None:
        if balancer := _of(self.balancers, which):
            self.balancers.remove(balancer)
            self.listeners = [one for one in self.listeners if one[0] != balancer]
            await self._delete("load_balancer", balancer)

    async def _change(self, kind: str, id_: str, **change: Any) -> None:
        if await self._there(kind, id_):
            await self.site.change(kind, id_, **change)

    async def _delete(self, kind: str, id_: str) -> None:
        if await self._there(kind, id_):
            await self.site.delete(kind, id_)

    async def _there(self, kind: str, id_: str) -> bool:
        record = await self.site.store.read(lambda tx: tx.get(kind, id_))
        return record is not None and not record.deleting

    # ── calls and links ──────────────────────────────────────────────────────────────────────────────────────────────
    async def fail(self, name: str, times: int) -> None:
        self.world.fail(name, *(Unreachable("gateway timeout") for _ in range(times)))

    async def lose_answers(self, name: str, times: int) -> None:
        self.network.unanswered[name] += times

    async def slow(self, name: str, seconds: float) -> None:
        self.world.times[name] = seconds

    async def repeat_pushes(self, times: int) -> None:
        self.network.repeated += times

    async def jumble_heartbeats(self) -> None:
        self.network.jumbled = True

    async def cut(self, what: str, which: int, of: int) -> None:
        plane, server = self.planes[which % len(self.planes)].lifeline.name, _of(list(self.world.servers), of)
        others = [one for one in self.world.servers if one != server]
        links = {
            "requests": [(plane, server)],
            "answers": [(server, plane)],
            "both": [(plane, server), (server, plane)],
            "cloud": [(plane, CLOUD), (CLOUD, plane)][: 1 + of % 2],
            "store": [(plane, STORE), (STORE, plane)][: 1 + of % 2],
            "vrrp": [(server, other) for other in others] + [(other, server) for other in others if which % 2],
        }[what]
        self.network.cuts += [(source, target) for source, target in links if source and target]

    async def mend(self, which: int) -> None:
        if link := _of(self.network.cuts, which):
            self.network.cuts.remove(link)

    # ── amphorae ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def lose(self, which: int) -> None:
        if id_ := _of(list(self.world.servers), which):
            self.world.take_away(id_)

    async def deafen(self, which: int) -> None:
        if server := self._server(which):
            server.answering = False

    async def hang(self, which: int) -> None:
        if server := self._server(which):
            server.answering = server.beating = False

    def _server(self, which: int) -> Server | None:
        return _of(list(self.world.servers.values()), which)

    # ── control planes and time ──────────────────────────────────────────────────────────────────────────────────────
    async def crash(self, which: int, effects: int, other: bool) -> None:
        """One ends after so many more effects, and is followed by one of the same holder or by one that has to wait."""
        plane = self.planes[which % len(self.planes)]
        plane.lifeline.crash_at = len(plane.lifeline.effects) + effects
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                await plane.lifeline.ended.wait()
        await plane.kill()
        self.planes.remove(plane)
        await self._start("" if other else plane.lifeline.name)

    async def crash_while_starting(self, effects: int, other: bool) -> None:
        plane = self.planes.pop(0)
        await plane.kill()
        holder = self._new_holder() if other else plane.lifeline.name
        self._let_start(holder)
        doomed = await self.site.start(holder=holder, crash_at=effects + 1)
        await asyncio.sleep(5)
        await doomed.kill()
        await self._start(holder)

    async def add_control_plane(self) -> None:
        if len(self.planes) < MOST_CONTROL_PLANES:
            await self._start()

    async def pause(self, which: int, seconds: float) -> None:
        """It hangs, and then goes on where it was: its lease may be another's by then."""
        if len(self.planes) < MOST_CONTROL_PLANES and seconds > LEASE_SECONDS:
            await self._start()
        going = self.planes[which % len(self.planes)].lifeline.going
        going.clear()
        await asyncio.sleep(seconds)
        going.set()

    async def freeze(self, seconds: float) -> None:
        """Nothing of this machine runs meanwhile."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.advance(seconds)

    async def turn_clock(self, seconds: float) -> None:
        """That of the store, by which leases run out."""
        self.world.clock_error += seconds

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _new_holder(self) -> str:
        self.started += 1
        return f"plane {self.started}"

    async def _start(self, holder: str = "") -> None:
        holder = holder or self._new_holder()
        self._let_start(holder)
        self.planes.append(await self.site.start(holder=holder))

    def _let_start(self, holder: str) -> None:
        """A process does not start where it cannot read and write."""
        self.world.failures.pop("write", None)
        self.network.unanswered.pop("write", None)
        self.network.cuts = [link for link in self.network.cuts if not {holder, STORE} <= {*link}]

    # ── what has to be so ────────────────────────────────────────────────────────────────────────────────────────────
    def look_at_owners(self) -> None:
        """At each effect of any control plane: nobody shares VIPs with another, unless the pair is cut from each other."""
        if any(source in self.world.servers and target in self.world.servers for source, target in self.network.cuts):
            return
        for balancer in self.balancers:
            there = {server.instance.amphora_id: server.instance for server in self.world.live(balancer)}
            owners = [id_ for id_ in there if self.world.vrrp_state(id_, balancer) == "MASTER"]
            alone = [id_ for id_, one in there.items() if one.vips and id_ not in owners]
            self.world.violate(len(owners) > 1, f"{balancer} has owners {owners} and {alone}")

    async def finish(self) -> None:
        """Links come back in any order, then all else is well; the rest is for the control planes."""
        random.shuffle(self.network.cuts)
        while self.network.cuts:
            self.network.cuts.pop()
            await asyncio.sleep(random.choice((0.0, 1.0, 5.0)))
        self.network.heal()
        self.world.failures.clear()
        self.world.times = {**TIMES}
        for server in self.world.servers.values():
            server.answering = server.beating = True
        await self.until_well()
        for balancer in self.balancers:
            await self._delete("load_balancer", balancer)
        for balancer in self.balancers:
            await self.site.when_settled(balancer)
        await self.empty()
        await checks.is_empty(self.site)
        assert self.world.violations == []
        never_back(self.world.pushed)

    async def empty(self) -> None:
        """Take away what is left beside load balancers."""

    async def until_well(self) -> None:
        """Each load balancer is as it should be, nothing is in the way of it, and its plan is empty."""
        wrong: Exception | None = None
        seen = -1
        for _ in range(PATIENCE):
            await asyncio.sleep(1.0)
            if seen == (seen := self._changes()) and wrong:
                continue  # nothing has changed since
            try:
                await self._look_whether_well()
            except (
                AssertionError,
                KeyError,
            ) as error:  # the second amphora, or what is to be released, is still on its way
                wrong = error
            else:
                return
        raise AssertionError("it does not become well") from wrong

    def _changes(self) -> int:
        """What may have an effect; troubles pass without one."""
        calls = self.world.calls
        return sum(calls.values()) - calls["list_all"] if not self._troubles() else -1

    def _troubles(self) -> dict[str, str]:
        return {scope: why for plane in self.planes for scope, why in plane.controller.troubles().items()}

    async def _look_whether_well(self) -> None:
        assert self._troubles() == {}
        scopes = await self.site.store.read(lambda tx: tx.scopes())
        assert all(scope.applied == scope.generation for scope in scopes)
        for balancer in self.balancers:
            await checks.is_whole(self.site, balancer)
            reconciled = [found for plane in self.planes if (found := plane.controller.reconciler(balancer))]
            assert reconciled
            for reconciler in reconciled:
                assert isinstance(reconciler, BalancerReconciler)
                assert planner.plan(reconciler.wanted(), reconciler.observed()) == ()


def never_back(pushed: list[tuple[str, str, str, Any]]) -> None:
    """No amphora went back, no fence served two control planes, and no revision names two configurations of an amphora."""
    histories: dict[tuple[str, str], list[Any]] = {}
    whose: dict[tuple[str, int, int], str] = {}
    digests: dict[tuple[str, str, Any], str] = {}
    for plane, amphora, balancer, stamp in pushed:
        histories.setdefault((amphora, balancer), []).append(stamp)
        assert whose.setdefault((balancer, stamp.epoch, stamp.fence), plane) == plane
        assert digests.setdefault((amphora, balancer, stamp.order), stamp.digest) == stamp.digest
    for history in histories.values():
        for before, after in pairwise(history):
            assert before.order < after.order
            assert before.generation <= after.generation


def _of(some: list[Any], which: int) -> Any:
    return some[which % len(some)] if some else None


def shrunk(life: Life, fails: Any, attempts: int = 200) -> Life:
    """Fewer steps that fail as well: one after the other is left out."""
    steps: tuple[Step, ...] = life.steps
    place = len(steps) - 1
    while place >= 0 and attempts > 0:
        fewer = steps[:place] + steps[place + 1 :]
        attempts -= 1
        if fails(replace(life, steps=fewer)):
            steps = fewer
        place = min(place, len(steps)) - 1
    return replace(life, steps=steps)
