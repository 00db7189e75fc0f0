# SPDX-License-Identifier: Apache-2.0
"""A control plane for tests of the API: the real store and application, and a reconciler that finds everything good.

``refuse`` names objects (by name) that it settles as refused; ``hold`` stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

from octavia_amphora.wire.messages import Counters
from octavia_provider import __version__
from octavia_provider.api import Callbacks, Server, Settings, TcpPort, Users, create_app, serve_unix
from octavia_provider.clouds.netns.networks import NetnsNetworks
from octavia_provider.controller.certificate_watch import CertificateWatch
from octavia_provider.model import statuses
from octavia_provider.model.kinds import LOCAL_KINDS
from octavia_provider.ports import (
    AGENT,
    CERTIFICATE,
    DRAIN,
    Amphora,
    CertificateManager,
    Networks,
    Record,
    Settlement,
    Transaction,
)
from octavia_provider.store import SqlStore, open_store

PROJECT = "5f4fa2b0-7d0b-4b7a-9c2c-2a4f6f6d9e01"
BASE = "http://octavia/v2"
PATHS = {
    "load_balancer": "/lbaas/loadbalancers", "listener": "/lbaas/listeners", "pool": "/lbaas/pools",
    "health_monitor": "/lbaas/healthmonitors", "l7_policy": "/lbaas/l7policies", "tls_container": "/octavia/tls-containers",
    "amphora_group": "/octavia/amphora-groups",
    "flavor_profile": "/lbaas/flavorprofiles", "flavor": "/lbaas/flavors",
    "availability_zone_profile": "/lbaas/availabilityzoneprofiles", "availability_zone": "/lbaas/availabilityzones",
    "local_network": "/local/networks", "local_host": "/local/hosts",
}  # fmt: skip
WORDS = {
    "load_balancer": "loadbalancer", "listener": "listener", "pool": "pool", "member": "member",
    "health_monitor": "healthmonitor", "l7_policy": "l7policy", "l7_rule": "rule", "tls_container": "tls_container",
    "amphora_group": "amphora_group",
    "flavor_profile": "flavorprofile", "flavor": "flavor", "quota": "quota",
    "availability_zone_profile": "availability_zone_profile", "availability_zone": "availability_zone",
    "local_network": "network", "local_host": "host",
}  # fmt: skip


class StatusCache:
    """The board of a cloud where all is well; counters can be given."""

    def __init__(self) -> None:
        self.counters: dict[str, Counters] = {}
        self.troubles: dict[str, str | None] = {}
        self.vrrp: dict[str, str] = {}

    def operating_status(self, record: Record) -> str:
        return statuses.ONLINE

    def trouble(self, scope_id: str) -> str | None:
        return self.troubles.get(scope_id)

    def statistics(self, load_balancer_id: str, listener_id: str, amphora_id: str | None = None) -> Counters:
        return self.counters.get(listener_id, Counters())

    def vrrp_state(self, amphora_id: str) -> str | None:
        return self.vrrp.get(amphora_id)

    def running(self, host_id: str) -> bool:
        return True


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def violations(self) -> list[tuple[tuple[Any, ...], str]]:
        return [(tuple(v["path"]), v["message"]) for v in self.body["violations"]]


@dataclass
class Plane:
    store: SqlStore
    status_cache: StatusCache
    server: Server
    path: Path
    session: aiohttp.ClientSession
    refuse: set[str] = field(default_factory=set)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: list[bool] = field(default_factory=list)
    activity: list[int] = field(default_factory=list)
    busy: asyncio.Event = field(default_factory=asyncio.Event)
    care: bool = False
    """Whether what is asked of amphorae is done, too; ``care_version``: of agents that are started anew, None: they do not come back."""
    care_version: str | None = __version__
    newest_image: str | None = None
    """What amphorae are made from that replace others."""
    texts: Any = None
    operations: Any = None

    async def call(
        self, method: str, path: str, body: Any = None, *, wait: float | None = None, **headers: str
    ) -> Answer:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        url = path if path.startswith("http") else BASE + path
        async with self.session.request(method, url, json=body, headers=headers) as response:
            found = await response.json() if response.content_type == "application/json" else None
            return Answer(response.status, response.headers, found)

    def place(self, kind: str, spec: dict[str, Any]) -> str:
        if kind == "l7_rule":
            return f"/lbaas/l7policies/{spec['l7policy_id']}/rules"
        return f"/lbaas/pools/{spec['pool_id']}/members" if kind == "member" else PATHS[kind]

    async def post(self, kind: str, spec: dict[str, Any], *, wait: float | None = 10, owner: Any = None) -> Answer:
        body = {WORDS[kind]: spec, **({"owner": owner} if owner else {})}
        return await self.call("POST", self.place(kind, spec), body, wait=wait)

    async def make(self, kind: str, **spec: Any) -> dict[str, Any]:
        """Create and settle; the object as it is shown."""
        answer = await self.post(kind, spec)
        assert answer.status == 201, answer.body
        return answer.body[WORDS[kind]]

    async def make_pending(self, kind: str, **spec: Any) -> dict[str, Any]:
        """Create without waiting."""
        answer = await self.post(kind, spec, wait=None)
        assert answer.status == 201, answer.body
        return answer.body[WORDS[kind]]

    async def balancer(self, name: str = "lb", **values: Any) -> dict[str, Any]:
        network = await self.make("local_network", name=f"{name}-net")
        return await self.make("load_balancer", name=name, vip_network_id=network["id"], **values)

    async def records(self) -> list[Record]:
        return await self.store.read(lambda tx: tx.find())

    async def settle(self) -> None:
        """The test's reconciler: whatever is written comes into force, or is refused with a reason."""
        async with self.store.watch() as watch:
            while True:
                await self.held.wait()
                pending = await self.store.read(lambda tx: any(s.applied < s.generation for s in tx.scopes()))
                if not self.held.is_set():  # held back while we read: what was read since is not to be settled
                    continue
                if pending:
                    await self.store.write(self._settle_all)
                await watch.changed()

    def _settle_all(self, tx: Transaction) -> None:
        for scope in tx.scopes():
            if scope.applied < scope.generation:
                new = [r for r in tx.find(scope_id=scope.id, since=scope.applied) if not r.deleting]
                good = {r.id: r.spec for r in new if r.spec.get("name") not in self.refuse}
                bad = {r.id: "haproxy said no" for r in new if r.id not in good}
                tx.settle(Settlement(scope_id=scope.id, generation=scope.generation, accepted=good, errors=bad))
                if self.care:
                    self._care_for_amphorae(tx, scope.id)

    def _care_for_amphorae(self, tx: Transaction, load_balancer_id: str) -> None:
        """What is to be replaced is, and what was asked of agents is done."""
        for amphora in tx.amphorae(load_balancer_id):
            if amphora.retiring:
                tx.delete_amphora(amphora.id)
                new = replace(amphora, id=str(uuid.uuid4()), retiring=False, agent_version=__version__)
                tx.put_amphora(replace(new, image_id=self.newest_image))
                continue
            done = amphora.requests - {DRAIN}
            version = self.care_version if AGENT in done and self.care_version else amphora.agent_version
            expires = "2099-01-01T00:00:00+00:00" if CERTIFICATE in done else amphora.certificate_expires
            tx.put_amphora(replace(amphora, agent_version=version, certificate_expires=expires))
            if AGENT not in done or self.care_version:
                tx.fulfil([amphora.id], *done)
            drained = DRAIN in amphora.requests
            self.status_cache.vrrp[amphora.id] = "BACKUP" if drained else "MASTER"


class Texts:
    """What haproxy is told. ``change``: what a changed template adds to it; ``refused``: why haproxy does not take that."""

    def __init__(self, status_cache: StatusCache) -> None:
        self._status_cache = status_cache
        self._in_force: dict[str, str] = {}
        self.change = ""
        self.refused: str | None = None

    async def in_force(self, load_balancer_id: str) -> str:
        return self._in_force.get(load_balancer_id, f"# {load_balancer_id}")

    async def rendered(self, load_balancer_id: str) -> dict[str, str]:
        return {"next": f"# {load_balancer_id}{self.change}", "shipped": ""}

    async def render(self, load_balancer_id: str) -> None:
        self._status_cache.troubles[load_balancer_id] = self.refused
        if self.refused is None:
            self._in_force[load_balancer_id] = f"# {load_balancer_id}{self.change}"


class EveryScope:
    """A controller that has the lease of all."""

    events = SimpleNamespace(name="test")

    def reconciler(self, scope_id: str) -> str:
        return scope_id


class Operations:
    """What operators ask for: ``configured`` are amphorae that were given settings; ``refused``: why they are not."""

    def __init__(self) -> None:
        self.configured: list[str] = []
        self.refused: Exception | None = None
        self.rotations = 0
        self.watch: CertificateWatch | None = None

    async def reread(self, id_: str) -> bool:
        return self.watch is not None and await self.watch.reread(id_)

    def heartbeats(self) -> dict[str, Any]:
        return {"accepted": 0, "rejected": {}, "amphorae": 0, "silent": 0, "breaker_open": False}

    def authority(self) -> dict[str, Any]:
        phase = "trust" if self.rotations else None
        return {"expires": "2036-01-01T00:00:00+00:00", "issuer": "a", "trusted": ["a"], "phase": phase, "waiting": []}

    async def rotate_authority(self) -> None:
        self.rotations += 1

    async def configure(self, amphora: Amphora) -> None:
        if self.refused:
            raise self.refused
        self.configured.append(amphora.id)


@contextlib.asynccontextmanager
async def plane(
    folder: Path, *, users: Users | None = None, certificates: CertificateManager | None = None,
    networks: Networks | None = None,
) -> AsyncIterator[Plane]:  # fmt: skip
    """``users``: those who are served on a TCP port of the loopback, ``server.address``. ``certificates``: by reference. ``networks``: of
    another cloud than the embedded one."""
    store = open_store(f"sqlite:///{folder}/octavia.db", folder / "key")
    status_cache = StatusCache()
    activity: list[int] = []
    busy = asyncio.Event()
    stopped: list[bool] = []

    def count(change: int) -> None:
        activity.append(change)
        if change > 0:
            busy.set()

    texts = Texts(status_cache)
    operations = Operations()
    if certificates is not None:
        operations.watch = CertificateWatch(store, certificates, EveryScope(), quiet=0.0)  # type: ignore[arg-type]
    callbacks = Callbacks(
        stop=lambda: stopped.append(True), activity=count, configurations=texts, operations=operations
    )
    settings = Settings(
        project_id=PROJECT, home=str(folder), cloud="netns", schema=store.schema, started_at="now",
    )  # fmt: skip
    directory = NetnsNetworks()
    app = create_app(
        store, status_cache, networks or directory, settings=settings, callbacks=callbacks,
        local_kinds=LOCAL_KINDS, directory=directory, users=users, certificate_manager=certificates,
    )  # fmt: skip
    tcp = TcpPort(host="127.0.0.1", port=0) if users else None
    with tempfile.TemporaryDirectory() as short:  # socket paths must be short
        path = Path(short) / "s"
        server = await serve_unix(app, path, tcp=tcp)
        connector = aiohttp.UnixConnector(path=str(path), limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            found = Plane(
                store, status_cache, server, path, session, stopped=stopped, activity=activity, busy=busy, texts=texts,
                operations=operations,
            )  # fmt: skip
            found.held.set()
            reconciler = asyncio.create_task(found.settle())
            try:
                yield found
            finally:
                reconciler.cancel()
                await asyncio.gather(reconciler, return_exceptions=True)
                await server.close()
                await store.close()
