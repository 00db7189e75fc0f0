# SPDX-License-Identifier: Apache-2.0
"""Control planes in a world: started, killed, paused, and asked by their own API."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from octavia_provider.api import Server, deletion, serve_unix
from octavia_provider.api.create_update import ObjectWriter
from octavia_provider.api.graph_create import create_requests
from octavia_provider.api.rules import living
from octavia_provider.control_plane import Facts, Parts, control_plane
from octavia_provider.controller.controller import LEASE_SECONDS, Controller
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.model.events import Event, EventFilter
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import UNLIMITED, Authority, Record, Settlement
from octavia_provider.store import SqlStore
from unit.api import settling

from .agents import SimulationAgents, SimulationAuthority
from .cloud import NETWORK, SimulationNetworks, driver
from .store import SimulationStore, commit, new_store
from .world import Lifeline, World

SINGLE, PAIR = ("STANDALONE",), ("MASTER", "BACKUP")
HELD = {SINGLE: 1, PAIR: 5}
"""Ports of a load balancer with one VIP: each amphora of a pair has one of its own in both subnets."""
PREPARED: dict[tuple[str, ...], str] = {}
"""Flavors that are in every site of this process."""
PATIENCE = 1000.0
"""Virtual seconds: more than any wait of the control plane."""


async def prepare() -> None:
    """What the first site of a process would take time and randomness for."""
    if not PREPARED:
        async with site():
            pass


class Api(settling.Plane):
    """Asks a control plane, and waits for as long as it takes: time is virtual."""

    async def post(
        self, kind: str, spec: dict[str, Any], *, wait: float | None = 300, owner: Any = None
    ) -> settling.Answer:
        return await super().post(kind, spec, wait=wait, owner=owner)


@dataclass(slots=True, eq=False)
class ControlPlane:
    """One that runs. ``api``: what asks it; it and the controller are there unless it has ended while it started."""

    lifeline: Lifeline
    task: asyncio.Task[None]
    stopping: asyncio.Event
    controller: Controller = field(init=False)
    api: Api = field(init=False, repr=False)

    async def stop(self) -> None:
        """In order: leases are given up."""
        self.stopping.set()
        await self.task

    async def stop_when(self, condition: Callable[[], bool]) -> None:
        """In order, once this is so."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - as Site.until()
                await asyncio.sleep(0.5)
        await self.stop()

    async def kill(self) -> None:
        """At once: nothing that it does from now on has an effect, and its leases go on."""
        self.lifeline.killed = True
        self.lifeline.ended.set()
        self.lifeline.going.set()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass(slots=True)
class Site:
    """A world with a store and the control planes on it. ``clock``: of a certificate authority with real keys."""

    world: World
    store: SqlStore
    folder: Path
    roles: tuple[str, ...] = SINGLE
    clock: Callable[[], dt.datetime] | None = None
    lease_seconds: float = LEASE_SECONDS
    with_api: bool = True
    flavors: dict[tuple[str, ...], str] = field(default_factory=dict)
    """by roles"""
    planes: list[ControlPlane] = field(default_factory=list)
    boots_at_once: int = UNLIMITED
    """of control planes that are started from now on"""

    async def flavor(self, **data: Any) -> str:
        """A flavor, which is in force."""
        profile = await self.write(
            "flavor_profile", name=str(data), provider_name="amphora", flavor_data=json.dumps(data)
        )
        made = await self.write("flavor", name=str(data), flavor_profile_id=profile)
        for id_ in (profile, made):
            await commit(self.store, lambda tx, id_=id_: tx.settle(Settlement(scope_id=id_, generation=1)))
        return made

    def with_flavor(self, spec: dict[str, Any]) -> dict[str, Any]:
        """A load balancer of this site is a pair where its ``roles`` are those of one."""
        return {"flavor_id": self.flavors[self.roles], **spec} if self.roles in self.flavors else spec

    async def start(self, *, holder: str = "one", crash_at: int | None = None) -> ControlPlane:
        """Another control plane. One of the same holder takes up the leases of its predecessor at once."""
        lifeline = Lifeline(self.world, name=holder, crash_at=crash_at)
        ready: asyncio.Future[tuple[Controller, Api | None]] = asyncio.get_running_loop().create_future()
        stopping = asyncio.Event()
        task = asyncio.create_task(self._run(lifeline, holder, ready, stopping))
        ended = asyncio.create_task(lifeline.ended.wait())
        await asyncio.wait([task, ready, ended], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if task.done():
            task.result()
        plane = ControlPlane(lifeline, task, stopping)
        if ready.done():
            plane.controller, api = ready.result()
            if api is not None:
                plane.api = api
        self.planes.append(plane)
        return plane

    async def _run(
        self,
        lifeline: Lifeline,
        holder: str,
        ready: asyncio.Future[tuple[Controller, Api | None]],
        stopping: asyncio.Event,
    ) -> None:
        status_cache, path = StatusCache(), self.folder / f"{len(self.planes)}.sock"
        store = SimulationStore(self.store, lifeline)
        authority = await self._authority()
        agents = SimulationAgents(lifeline, authority)
        parts = Parts(
            store=store, driver=replace(driver(lifeline), boots_at_once=self.boots_at_once), agents=agents, authority=authority,
            status_cache=status_cache, holder=holder, lease_seconds=self.lease_seconds,
        )  # fmt: skip
        facts = Facts(project_id=settling.PROJECT, idle_seconds=None)

        async def serve(application: Any) -> Server:
            return await serve_unix(application, path)

        if not self.with_api:
            async with control_plane(parts, facts, serve=None, stop=stopping.set) as controller:
                ready.set_result((controller, None))
                await stopping.wait()
            return
        async with control_plane(parts, facts, serve=serve, stop=stopping.set) as controller:
            connector, timeout = aiohttp.UnixConnector(path=str(path), limit=0), aiohttp.ClientTimeout(total=None)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                ready.set_result((controller, Api(self.store, status_cache, None, path, session)))  # type: ignore[arg-type]
                await stopping.wait()

    async def _authority(self) -> Authority:
        if self.clock is None:
            await commit(self.store, lambda tx: tx.secret(SimulationAuthority.SECRET, lambda: b"simulation"))
            return SimulationAuthority()
        clock, id_ = self.clock, self.store.control_plane_id
        return await commit(self.store, lambda tx: CertificateAuthority.load(tx.secret, id_, clock=clock))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, virtually."""
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
                await asyncio.sleep(0.5)

    async def balancer(self, plane: ControlPlane, name: str = "lb", **values: Any) -> dict[str, Any]:
        """A load balancer that is ACTIVE, with a listener, a pool and two members."""
        lb = await plane.api.make("load_balancer", name=name, vip_network_id=NETWORK, **self.with_flavor(values))
        listener = await plane.api.make(
            "listener", name="web", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80
        )
        pool = await plane.api.make(
            "pool", name="web", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
        )
        for number in (1, 2):
            await plane.api.make("member", pool_id=pool["id"], address=f"10.1.9.{number}", protocol_port=80)
        return lb

    async def write(self, kind: str, **spec: Any) -> str:
        """What a POST writes, while no control plane runs; the new object's id."""
        networks = SimulationNetworks(Lifeline(self.world))
        spec = self.with_flavor(spec) if kind == "load_balancer" else spec
        (wanted,) = create_requests(kind, spec, settling.PROJECT)
        made = await commit(self.store, lambda tx: ObjectWriter.begin(tx, networks).create([wanted], None))
        return made.record.id

    async def change(self, kind: str, id_: str, **change: Any) -> None:
        """What a PUT writes."""
        networks = SimulationNetworks(Lifeline(self.world))
        await commit(self.store, lambda tx: ObjectWriter.begin(tx, networks).update(kind, id_, change, None))

    async def delete(self, kind: str, id_: str) -> None:
        """What a DELETE with ``cascade`` writes."""
        await commit(self.store, lambda tx: deletion.remove(tx, living(tx, kind, id_), cascade=True))

    async def records(self, scope_id: str) -> list[Record]:
        return await self.store.read(lambda tx: tx.find(scope_id=scope_id))

    async def when_settled(self, scope_id: str) -> None:
        """Wait for it, virtually."""
        async with asyncio.timeout(PATIENCE):
            while not await self.settled(scope_id):  # noqa: ASYNC110 - as until()
                await asyncio.sleep(0.5)

    async def until_active(self, plane: ControlPlane, lb: dict[str, Any]) -> None:
        """Wait for it, virtually."""
        async with asyncio.timeout(PATIENCE):
            while (await self.show(plane, lb))["provisioning_status"] != "ACTIVE":  # noqa: ASYNC110 - as until()
                await asyncio.sleep(0.5)

    async def settled(self, scope_id: str) -> bool:
        """Whether the newest generation is settled, or all is gone."""
        scope = await self.store.read(lambda tx: tx.scope(scope_id))
        return scope is None or scope.applied == scope.generation

    async def run_with_crashes(self, scope_id: str, first: int = 1) -> int:
        """Start control planes, the first of which ends after ``first`` effects, the next after one more, until one has
        settled the scope; how many there were."""
        for number in itertools.count(first):
            plane = await self.start(crash_at=number)
            while not plane.lifeline.ended.is_set() and not await self.settled(scope_id):  # noqa: ASYNC110 - as until()
                await asyncio.sleep(0.5)
            ended = plane.lifeline.ended.is_set()
            await plane.kill()
            if not ended:
                return number - first
        raise AssertionError

    async def events(self, load_balancer_id: str | None = None) -> list[Event]:
        """In their order."""
        wanted = EventFilter(load_balancer_ids=(load_balancer_id,) if load_balancer_id else ())
        return await self.store.read(lambda tx: tx.events(wanted, limit=5000))

    async def show(self, plane: ControlPlane, lb: dict[str, Any]) -> dict[str, Any]:
        answer = await plane.api.call("GET", f"/lbaas/loadbalancers/{lb['id']}")
        return dict(answer.body.get("loadbalancer", {}))


@contextlib.asynccontextmanager
async def site(
    *, roles: tuple[str, ...] = SINGLE, clock: Callable[[], dt.datetime] | None = None,
    lease_seconds: float = LEASE_SECONDS, with_api: bool = True, **world: Any,
) -> AsyncIterator[Site]:  # fmt: skip
    """A site whose control planes are ended with it."""
    made = World(**world)
    virtual = asyncio.get_running_loop().time
    store = new_store(lambda: virtual() + made.clock_error)
    with tempfile.TemporaryDirectory(prefix="sim-") as folder:  # socket paths must be short
        here = Site(made, store, Path(folder), roles, clock, lease_seconds, with_api)
        if not PREPARED:
            PREPARED[PAIR] = await here.flavor(loadbalancer_topology="ACTIVE_STANDBY")
            store.keep()
        here.flavors = {**PREPARED}
        beating = asyncio.create_task(made.beat())
        try:
            yield here
        finally:
            for plane in here.planes:
                await plane.kill()
            beating.cancel()
            for receiver in made.receivers:
                receiver.close()
            await store.close()
