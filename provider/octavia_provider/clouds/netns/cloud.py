# SPDX-License-Identifier: Apache-2.0
"""The embedded cloud, as the control plane uses it (``ports.Cloud``), and its networks, hosts and publications."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from octavia_provider.model.errors import Refused, Unreachable
from octavia_provider.ports import AmphoraSpec, CloudResource, Instance, Inventory, SeatSpec, StateVersion, Vip

from .client import Client, Hello, HolderEnded, NoHolder
from .dialer import Dialer
from .listening import open_listening
from .specs import HostSpec, NetworkSpec, Publication
from .state import pushed

AGENT_PORT = 9443
"""Where agents listen, Octavia's ``[haproxy_amphora] bind_port``."""
SUBNET_BASE = "100.64.0.0/16"
"""The management network: shared address space (RFC 6598), which no local network may use, so none can overlap it."""
RECEIVER_PORTS = 16
"""Control planes that can share one cloud."""
AGENT_COMMAND = (sys.executable, "-P", "-m", "octavia_amphora.main")

log = structlog.get_logger(__name__)


class NetnsCloud:
    """Network namespaces of this machine, behind walls of their own; root is needed.

    What exists is in the holder (a process that goes on when this one ends) and in the kernel; nothing is remembered
    here. A call that makes something starts the holder when it is gone; one that looks finds nothing then. ``shared``: other
    control planes use it too.
    """

    def __init__(
        self, home: Path, *, subnet_base: str = SUBNET_BASE, agent_command: Sequence[str] = AGENT_COMMAND,
        shared: bool = False,
    ) -> None:  # fmt: skip
        self._shared = shared
        self._client = Client(Path(os.path.realpath(home)), subnet_base, agent_command, fenced=shared)
        self._attaching = threading.Lock()
        self._changing = asyncio.Lock()
        self._holder: Hello | None = None
        self._dialer: Dialer | None = None
        self._heard_in: int | None = None

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        """Find the cloud that runs, or build it. Refused says what the machine lacks."""
        await asyncio.to_thread(self._start)

    async def stop(self, *, unless: Callable[[], Awaitable[bool]] | None = None) -> bool:
        """End it: returns when its processes are gone. ``<home>/cloud`` is removed; logs stay. See ``ports``.

        What is asked for meanwhile is made in the next cloud: it would be lost in one that is about to end.
        """
        async with self._changing:
            if unless is not None and await unless():
                return False
            await asyncio.to_thread(self._detach)
            if not await asyncio.to_thread(self._client.stop, only_empty=unless is not None):
                return False
        log.info("cloud.stopped", home=str(self._client.home))
        return True

    async def forget_fences(self) -> None:
        """Heed any lease again: the store may be an earlier one, and nobody else serves it."""
        with contextlib.suppress(NoHolder, Refused):  # one of an earlier version knows none
            await asyncio.to_thread(self._client.ask, "forget_fences")

    async def close(self) -> None:
        """Let go of it: everything in it goes on."""
        await asyncio.to_thread(self._detach)

    async def lost(self) -> None:
        """Return when the cloud that heartbeats come from has ended; sockets that were opened in it lead nowhere then."""
        try:
            found = await asyncio.to_thread(self._client.hello)
        except (NoHolder, HolderEnded):
            return
        if self._heard_in not in (None, found.pid):  # another one was started since
            found.close()
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(found.process, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(found.process)
            found.close()

    async def ended(self) -> AsyncIterator[None]:
        """Each time something in the cloud has ended by itself. It comes to an end with the cloud."""
        try:
            connection = await asyncio.to_thread(self._client.watch)
        except (NoHolder, HolderEnded, Refused):  # none there, or one of an earlier version that does not tell
            return
        loop = asyncio.get_running_loop()
        with connection, contextlib.suppress(ConnectionResetError):  # it ended before it read what we sent
            while await loop.sock_recv(connection, 65536):
                yield

    @property
    def holder_pid(self) -> int:
        """The process id of the holder, as this process sees it. Unreachable when there is none."""
        return self._attached()[0].pid

    def _start(self) -> None:
        _require_root()
        found = self._client.start()
        with self._attaching:
            if self._holder and self._dialer and self._holder.alive and self._holder.pid == found.pid:
                found.close()  # a new dialer would not know at which port heartbeats come in
                return
            self._release()
            self._attach(found)

    def _attached(self) -> tuple[Hello, Dialer]:
        """The holder that runs now and the thread in its namespace: found again when it was replaced."""
        with self._attaching:
            if self._holder is None or self._dialer is None or not self._holder.alive:
                self._release()
                try:
                    return self._attach(self._client.hello())
                except NoHolder as error:
                    raise Unreachable("it does not run", subject="embedded cloud", hint="start it") from error
            return self._holder, self._dialer

    def _detach(self) -> None:
        with self._attaching:
            self._release()

    def _release(self) -> None:
        if self._dialer:
            self._dialer.close()
        if self._holder:
            self._holder.close()
        self._holder = self._dialer = None

    def _attach(self, found: Hello) -> tuple[Hello, Dialer]:
        try:
            dialer = Dialer(found.network, found.gateway, ports=RECEIVER_PORTS if self._shared else 1)
        except BaseException:
            found.close()
            raise
        self._holder, self._dialer = found, dialer
        return found, dialer

    async def _look(self, do: str) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self._client.ask, do)
        except NoHolder:
            return {}

    async def _make(self, do: str, **message: Any) -> dict[str, Any]:
        async with self._changing:
            return await asyncio.to_thread(self._make_now, do, **message)

    def _make_now(self, do: str, **message: Any) -> dict[str, Any]:
        try:
            return self._client.ask(do, **message)
        except NoHolder:
            log.warning("cloud.gone", home=str(self._client.home), asked=do)
            self._start()
        try:
            return self._client.ask(do, **message)
        except NoHolder as error:
            raise Unreachable("it ended right after its start", subject="embedded cloud") from error

    async def _unmake(self, do: str, identity: str) -> None:
        with contextlib.suppress(NoHolder):  # then it is gone, with everything
            await asyncio.to_thread(self._client.ask, do, id=identity)

    # ── amphorae (ports.Compute) ─────────────────────────────────────────────────────────────────────────────────────
    async def boot(self, order: AmphoraSpec) -> Instance:
        """Make the namespaces of an amphora, put its files in and start its agent, or find all that done."""
        vips = [asdict(vip) for vip in order.vips]
        made = await self._make(
            "create_amphora", id=order.id, load_balancer_id=order.load_balancer_id, vips=vips, seats=order.seats
        )
        if not made["started"]:
            made = await self._make("start_amphora", id=order.id, files=await _files(order, made["addresses"][0]))
            log.info("amphora.booted", amphora=order.id, address=made["addresses"][0])
        return _instance({**made, "alive": True})

    async def instances(self, load_balancer_id: str) -> Sequence[Instance]:
        """The amphorae of one load balancer."""
        return [one for one in await self.all_instances() if one.load_balancer_id == load_balancer_id]

    async def all_instances(self) -> Sequence[Instance]:
        """All amphorae; ``alive`` when the namespaces are whole and the agent is kept running."""
        return [_instance(told) for told in (await self._look("amphorae")).get("amphorae", ())]

    async def readdress(self, amphora_id: str, vips: Sequence[Vip], *, keep: bool) -> Instance:
        """Other VIPs for an amphora that runs."""
        told = await self._make("readdress_amphora", id=amphora_id, vips=[asdict(vip) for vip in vips], keep=keep)
        return _instance({**told, "alive": True})

    async def attach(self, seat: SeatSpec, *, keep: bool) -> Instance:
        """A load balancer's addresses on the amphora of a group that runs."""
        told = await self._make("attach", **{**asdict(seat), "vips": [asdict(vip) for vip in seat.vips]}, keep=keep)
        return _instance({**told, "alive": True})

    async def detach(self, host_id: str, load_balancer_id: str) -> None:
        """Nothing of the load balancer is on that amphora."""
        with contextlib.suppress(NoHolder):
            await asyncio.to_thread(self._client.ask, "detach", host_id=host_id, load_balancer_id=load_balancer_id)

    async def restart_agent(self, order: AmphoraSpec) -> None:
        """The agent of an amphora that runs, anew, with its files."""
        address = next((one.agent[0] for one in await self.all_instances() if one.amphora_id == order.id), None)
        if address is not None:
            await self._make("restart_agent", id=order.id, files=await _files(order, address))

    async def delete(self, amphora_id: str) -> None:
        """The amphora does not exist."""
        try:
            await asyncio.to_thread(self._client.ask, "delete_amphora", id=amphora_id)
        except NoHolder:
            await asyncio.to_thread(self._client.forget, amphora_id)

    # ── sockets (ports.Dialer) ───────────────────────────────────────────────────────────────────────────────────────
    def connect_socket(self, family: int = socket.AF_INET) -> socket.socket:
        """A fresh TCP socket in the fabric, from where the management and all local networks are reached."""
        return self._attached()[1].connect_socket(family)

    def heartbeat_socket(self) -> socket.socket:
        """A UDP socket, not blocking, where heartbeats come in; open it again when the cloud was ``lost``."""
        holder, dialer = self._attached()
        self._heard_in = holder.pid
        return dialer.heartbeat_socket()

    @property
    def heartbeat_receiver(self) -> str:
        """Where heartbeats go: ``address:port``."""
        return self._attached()[1].heartbeat_receiver

    # ── networks and hosts ───────────────────────────────────────────────────────────────────────────────────────────
    async def ensure_network(self, spec: NetworkSpec) -> None:
        """The network exists. Refused where it overlaps another one."""
        cidrs = [cidr for cidr in (spec.cidr, spec.ipv6_cidr) if cidr]
        await self._make("ensure_network", id=spec.id, cidrs=cidrs)

    async def delete_network(self, network_id: str) -> None:
        """The network does not exist. TransientError while something is on it."""
        await self._unmake("delete_network", network_id)

    async def networks(self) -> Sequence[str]:
        """Ids of the networks there are."""
        return list((await self._look("networks")).get("networks", ()))

    async def ensure_host(self, spec: HostSpec) -> None:
        """The host exists and runs what the spec says; Refused names a command that cannot be executed."""
        account = None if spec.forward_port is not None else await asyncio.to_thread(_account, spec)
        await self._make("ensure_host", spec={**asdict(spec), "account": account})

    async def delete_host(self, host_id: str) -> None:
        """The host does not exist."""
        await self._unmake("delete_host", host_id)

    async def host_running(self) -> Mapping[str, bool]:
        """Host id → whether its command or forwarder runs now."""
        return dict((await self._look("hosts")).get("running", {}))

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────────
    async def publish(self, publication: Publication) -> None:
        """The listener is published; Refused names the address and port when something else has it."""
        there = {p.listener_id: p for p in await self.publications()}
        old = there.get(publication.listener_id)
        spec = asdict(publication)
        if old is not None and _place(old) == _place(publication):
            if old != publication:
                await self._make("publish", publication=spec)
            return
        other = _there(publication, there.values())
        if other is not None:  # both change places: the socket stays, and so does every connection
            await self._make("publish", publication=spec)
            return
        async with self._changing:
            await asyncio.to_thread(self._publish_anew, publication, spec)

    def _publish_anew(self, publication: Publication, spec: dict[str, Any]) -> None:
        subject = f"listener {publication.listener_id}"
        with open_listening(*_place(publication), subject=subject) as listening:
            self._make_now("publish", publication=spec, pass_descriptor=listening.fileno())

    async def withdraw(self, listener_id: str) -> None:
        """The listener is not published."""
        await self._unmake("withdraw", listener_id)

    async def publications(self) -> Sequence[Publication]:
        """What is published now."""
        told = (await self._look("publications")).get("publications", ())
        return [_publication(spec) for spec in told]

    # ── all of it ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def inventory(self) -> Inventory:
        """Amphorae, publications, hosts and networks."""
        instances = await self.all_instances()
        resources = [
            CloudResource(
                kind="listener", id=p.listener_id, words=f"listener {p.listener_id}, published at {p.address}:{p.port}"
            )
            for p in await self.publications()
        ]
        for id_, running in (await self.host_running()).items():
            resources.append(CloudResource(kind="local_host", id=id_, words=f"host {id_}", running=running))
        networks = await self.networks()
        resources += [CloudResource(kind="local_network", id=id_, words=f"network {id_}") for id_ in networks]
        return Inventory(instances=instances, resources=resources)

    async def pushed(self) -> Mapping[str, Mapping[str, StateVersion]]:
        """What agents keep on disk, running or not."""
        return await asyncio.to_thread(pushed, self._client.home)


async def _files(order: AmphoraSpec, address: str) -> dict[str, tuple[int, str]]:
    """The files of an amphora, as the holder is told of them; their making takes a moment."""
    files = await asyncio.to_thread(order.files, address, AGENT_PORT)
    return {path: (mode, content.decode("latin-1")) for path, (mode, content) in files.items()}


def _instance(told: Mapping[str, Any]) -> Instance:
    agent, proxy = told["addresses"]
    return Instance(
        amphora_id=told["id"], load_balancer_id=told["load_balancer_id"], agent=(agent, AGENT_PORT),
        proxy_address=proxy, health_address=told.get("health_address", agent), alive=told["alive"],
        vips=tuple(told["vips"]), shared=tuple(told["shared"]), host=told.get("host"),
    )  # fmt: skip


def _publication(spec: Mapping[str, Any]) -> Publication:
    places = {name: tuple(map(tuple, spec.get(name, ()))) for name in ("standbys", "checks")}
    target, allowed = tuple(spec["target"]), tuple(spec.get("allowed", ()))
    return Publication(**{**spec, **places, "target": target, "allowed": allowed})


def _place(publication: Publication) -> tuple[str, int, str]:
    """What no two publications can share."""
    return publication.address, publication.port, publication.transport


def _there(wanted: Publication, there: Iterable[Publication]) -> Publication | None:
    """The listener of the same load balancer that is published at that place; ``Refused`` where it is of another."""
    for other in there:
        if _place(other) == _place(wanted):
            if other.load_balancer_id == wanted.load_balancer_id:
                return other
            raise Refused(
                f"{wanted.address}:{wanted.port} is in use on this machine by listener {other.listener_id}",
                subject=f"listener {wanted.listener_id}", hint="publish it at another port",
            )  # fmt: skip
    return None


def _account(spec: HostSpec) -> dict[str, Any]:
    try:
        entry = pwd.getpwnam(spec.user)
    except KeyError as error:
        raise Refused(
            f"this machine has no user {spec.user!r}", subject=f"host {spec.id}", hint="name a user that exists"
        ) from error
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return {"name": entry.pw_name, "home": entry.pw_dir, "identity": [entry.pw_uid, entry.pw_gid, groups]}


def _require_root() -> None:
    if sys.platform != "linux":
        raise Refused("network namespaces are Linux's", subject="embedded cloud", hint="use a Linux machine")
    if os.geteuid() != 0:
        raise Refused("only root may make network namespaces", subject="embedded cloud", hint="run it with sudo")
