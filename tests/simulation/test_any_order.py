# SPDX-License-Identifier: Apache-2.0
"""Writes, failures and ends of control planes in any order: once they are over, all is as it should be."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, precondition, rule

from octavia_provider.controller.controller import LEASE_SECONDS
from octavia_provider.model.errors import Conflict, Unreachable
from octavia_provider.ports import Transaction

from . import checks
from .cloud import IPV6, NETWORK
from .loop import VirtualLoop
from .site import PAIR, SINGLE, ControlPlane, site
from .store import commit

T = TypeVar("T")
PORTS = st.integers(80, 84)
CALLS = st.sampled_from(("boot", "ready", "push", "create_port", "delete_port", "delete_server", "set_rule", "write"))


class AnyOrder(RuleBasedStateMachine):
    """One site; a listener is named with its load balancer."""

    balancers = Bundle("balancers")
    listeners = Bundle("listeners")

    @initialize(roles=st.sampled_from((SINGLE, PAIR)))
    def begin(self, roles: tuple[str, ...]) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.stack = AsyncExitStack()
        self.site = self.run(self.stack.enter_async_context(site(roles=roles)))
        self.planes: list[ControlPlane] = [self.run(self.site.start())]
        self.living: set[str] = set()
        self.started = 1

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    # ── what users do ────────────────────────────────────────────────────────────────────────────────────────────────
    @rule(target=balancers)
    def make(self) -> str:
        made = self.run(self.site.write("load_balancer", vip_network_id=NETWORK))
        self.living.add(made)
        return made

    @rule(target=listeners, balancer=balancers, port=PORTS)
    def listen(self, balancer: str, port: int) -> tuple[str, str]:
        spec = {"loadbalancer_id": balancer, "protocol": "TCP", "protocol_port": port}
        try:
            return balancer, self.run(self.site.write("listener", **spec))
        except Conflict:
            return balancer, ""

    @rule(listener=listeners, port=PORTS)
    def move(self, listener: tuple[str, str], port: int) -> None:
        try:
            self.run(self.change("listener", listener[1], protocol_port=port))
        except Conflict:
            return

    async def change(self, kind: str, id_: str, **change: Any) -> None:
        record = await self.site.store.read(lambda tx: tx.get(kind, id_))
        if record is not None and not record.deleting:
            await self.site.change(kind, id_, **change)

    @rule(listener=consumes(listeners))
    def close(self, listener: tuple[str, str]) -> None:
        self.run(self.delete("listener", listener[1]))

    async def delete(self, kind: str, id_: str) -> None:
        record = await self.site.store.read(lambda tx: tx.get(kind, id_))
        if record is not None and not record.deleting:
            await self.site.delete(kind, id_)

    @rule(balancer=balancers, ipv6=st.booleans())
    def readdress(self, balancer: str, ipv6: bool) -> None:
        more = [{"subnet_id": IPV6}] if ipv6 else []
        self.run(self.change("load_balancer", balancer, additional_vips=more))

    @rule(balancer=balancers, pair=st.booleans())
    def choose_flavor(self, balancer: str, pair: bool) -> None:
        self.run(self.change("load_balancer", balancer, flavor_id=self.site.flavors[PAIR] if pair else None))

    @rule(balancer=balancers, which=st.sampled_from((slice(None), slice(1), slice(1, None))))
    def fail_over(self, balancer: str, which: slice) -> None:
        def work(tx: Transaction) -> None:
            if balancer in self.living and tx.scope(balancer) is not None:
                tx.retire([amphora.id for amphora in tx.amphorae(balancer)][which])
                tx.touch(balancer)

        self.run(commit(self.site.store, work))

    @rule(balancer=consumes(balancers))
    def unmake(self, balancer: str) -> None:
        self.run(self.delete("load_balancer", balancer))
        self.living.discard(balancer)

    # ── what befalls them ────────────────────────────────────────────────────────────────────────────────────────────
    @rule(name=CALLS, times=st.integers(1, 3))
    def fail(self, name: str, times: int) -> None:
        self.site.world.fail(name, *(Unreachable("gateway timeout") for _ in range(times)))

    @rule(number=st.integers(0, 5), how=st.sampled_from(("lose", "deafen", "hang")))
    def befall(self, number: int, how: str) -> None:
        servers = list(self.site.world.servers.items())
        if not servers:
            return
        id_, server = servers[number % len(servers)]
        if how == "lose":
            del self.site.world.servers[id_]
            return
        server.answering = False
        server.beating = how == "deafen"

    @rule(effects=st.integers(0, 12), other=st.booleans())
    def replace_control_plane(self, effects: int, other: bool) -> None:
        """One that ends after some effects, and another one after it: of the same holder, or of one that has to wait."""
        for plane in self.planes:
            self.run(plane.kill())
        if other:
            self.started += 1
        holder = f"plane {self.started}"
        self.site.world.failures.pop("write", None)  # a process does not start where it cannot write
        doomed = self.run(self.site.start(holder=holder, crash_at=effects + 1))
        self.run(asyncio.sleep(30))
        self.run(doomed.kill())
        self.planes = [self.run(self.site.start(holder=holder))]

    @precondition(lambda self: len(self.planes) < 3)
    @rule()
    def add_control_plane(self) -> None:
        self.started += 1
        self.site.world.failures.pop("write", None)
        self.planes.append(self.run(self.site.start(holder=f"plane {self.started}")))

    @rule(number=st.integers(0, 2), seconds=st.sampled_from((1.0, LEASE_SECONDS * 2)))
    def pause_control_plane(self, number: int, seconds: float) -> None:
        going = self.planes[number % len(self.planes)].lifeline.going
        going.clear()
        self.run(asyncio.sleep(seconds))
        going.set()

    @rule(seconds=st.sampled_from((0.05, 1.0, 30.0)))
    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # ── and in the end ───────────────────────────────────────────────────────────────────────────────────────────────
    def teardown(self) -> None:
        try:
            if hasattr(self, "site"):
                self.run(self.finish())
                self.run(self.stack.aclose())
        finally:
            if hasattr(self, "runner"):
                self.runner.close()

    async def finish(self) -> None:
        self.site.world.failures.clear()
        for server in self.site.world.servers.values():
            server.answering = server.beating = True
        async with asyncio.timeout(2000):
            while not await self.at_rest():  # noqa: ASYNC110 - as Site.until()
                await asyncio.sleep(1.0)
        for balancer in self.living:
            await checks.is_whole(self.site, balancer)
        for balancer in list(self.living):
            await self.delete("load_balancer", balancer)
            await self.site.when_settled(balancer)
        await checks.is_empty(self.site)

    async def at_rest(self) -> bool:
        scopes = await self.site.store.read(lambda tx: tx.scopes())
        if any(scope.applied < scope.generation for scope in scopes):
            return False
        if any(plane.controller.troubles() for plane in self.planes):
            return False
        try:
            for balancer in self.living:
                await checks.is_whole(self.site, balancer)
        except (AssertionError, KeyError):  # the second amphora, or what is to be released, is still on its way
            return False
        return True


EXAMPLES = int(os.environ.get("SIMULATION_EXAMPLES", "30"))
"""Of 25 steps each; two take about a second of a processor."""
TestAnyOrder = pytest.mark.timeout(600 + 5 * EXAMPLES)(AnyOrder.TestCase)
TestAnyOrder.settings = settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)
