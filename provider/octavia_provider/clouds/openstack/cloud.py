# SPDX-License-Identifier: Apache-2.0
"""OpenStack as a control plane uses it (``ports.Cloud``): a server for each amphora, with ports of its own."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from octavia_provider.model.errors import Refused, Unreachable
from octavia_provider.ports import AmphoraSpec, CloudResource, Instance, Inventory, SeatSpec, StateVersion, Vip

from . import names, user_data
from .amphora_ports import AmphoraPorts
from .neutron import first_address
from .nova import IMAGE, REBOOT_SECONDS, RUNNING, Nova
from .placement import Placement
from .session import Json, Session
from .settings import OpenStackSettings

log = structlog.get_logger(__name__)
AGENT_PORT = 9443
"""Octavia's ``[haproxy_amphora] bind_port``."""
INVENTORY_SECONDS = 30.0
"""A list of all that there is serves for so long where nothing was made or deleted meanwhile."""
RECEIVE_BUFFER = 4 << 20


class OpenStackCloud:
    """``ports.Cloud``. What exists is in OpenStack; nothing is remembered here but what seldom changes."""

    def __init__(self, session: Session, nova: Nova, ports: AmphoraPorts, settings: OpenStackSettings) -> None:
        self._session, self._nova, self._ports, self._settings = session, nova, ports, settings
        self._looked: tuple[float, Inventory] | None = None
        self._written = 0
        self._placement = Placement(nova, settings)
        self._changes = 0

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        """Sign in. What is wrong with the credentials is said here."""
        await self._session.sign_in()

    async def stop(self, *, unless: Callable[[], Awaitable[bool]] | None = None) -> bool:
        """OpenStack goes on."""
        return not (unless is not None and await unless())

    async def close(self) -> None:
        """Sign out."""
        await self._session.close()

    async def ended(self) -> AsyncIterator[None]:
        """Nova does not tell: who is silent is asked, and what is missing is found by the inventory."""
        return
        yield

    async def lost(self) -> None:
        """It does not end."""
        await asyncio.Event().wait()

    async def inventory(self) -> Inventory:
        """Two lists, whatever there is."""
        began, writes, changes = time.monotonic(), self._session.writes, self._changes
        if self._looked is not None and began - self._looked[0] < INVENTORY_SECONDS and self._written == writes:
            return self._looked[1]
        servers, ports = await asyncio.gather(self._nova.servers(), self._ports.of())
        servers += await self._nova.hidden(servers, ports)
        parts: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for port in ports:
            whose = str(names.tagged(port["tags"], "octavia-load-balancer"))
            parts[names.kind(port["tags"]), whose].add(port["id"])
        resources = [
            CloudResource(kind=kind, id=id_, words=f"ports of {kind.replace('_', ' ')} {id_}", parts=frozenset(there))
            for (kind, id_), there in parts.items()
        ]
        instances = [_instance(one) for one in (*_with_ports(servers, ports), *_seats(servers, ports))]
        found = Inventory(instances=instances, resources=resources)
        if (self._changes, self._session.writes) == (changes, writes):  # else a boot came to its end meanwhile
            self._looked, self._written = (began, found), writes
        return found

    async def pushed(self) -> Mapping[str, Mapping[str, StateVersion]]:
        """What agents keep is on their own disks."""
        return {}

    def _changed(self) -> None:
        """What was seen before is no more so, nor what is being looked at."""
        self._looked, self._changes = None, self._changes + 1

    # ── amphorae (ports.Compute) ─────────────────────────────────────────────────────────────────────────────────────
    async def boot(self, order: AmphoraSpec) -> Instance:
        """Ports, server group, server: each is looked up first. Returns when the server is ACTIVE."""
        self._changed()
        server = await self._nova.server_of(order.id)
        if server is not None:
            server = await self._nova.active(server["id"], order.id)
        management, traffic = await asyncio.gather(
            self._ports.management(
                order.load_balancer_id, order.id, order.zone.get("management_network"), group=bool(order.seats)
            ),
            self._ports.for_vips(order.load_balancer_id, order.id, order.vips),
        )
        traffic = [await self._ports.carry(port, order.vips, keep=server is not None) for port in traffic]
        if server is not None and management["device_id"] != server["id"]:
            log.warning("openstack.port_lost", amphora=order.id, server=server["id"])
            await self._nova.remove(server["id"], order.id)  # its agent listens at an address that is gone
            server = None
        if server is None:
            server = await self._make(order, management, traffic)
        else:
            await self._plug(server, traffic, order.id)
        self._changed()
        return await self._found(server, order.id)

    async def _found(self, server: Json, amphora_id: str) -> Instance:
        """An amphora as it is now, with all of its interfaces."""
        ports = await self._ports.of(names.amphora(amphora_id))
        return (await self._described(_with_ports([server], ports)))[0]

    async def _described(self, there: Iterable[Placed]) -> list[Instance]:
        return [replace(_instance(one), interfaces=await self._ports.interfaces(one.traffic)) for one in there]

    async def _plug(self, server: Json, ports: Sequence[Json], amphora_id: str) -> None:
        for port in ports:
            if port["device_id"] != server["id"]:
                await self._nova.plug(server["id"], port["id"], subject=f"amphora {amphora_id}")

    async def _make(self, order: AmphoraSpec, management: Json, traffic: Sequence[Json]) -> Json:
        files = await asyncio.to_thread(order.files, first_address(management), AGENT_PORT)
        ports = [management, *traffic]
        described = user_data.described([await self._ports.interface(management)])
        drive = {**files, user_data.INTERFACES: (0o644, described)}
        group_id = await self._nova.group(order.load_balancer_id)
        make = partial(
            self._nova.make, order.load_balancer_id, order.id, ports,
            user_data.encode(drive, f"amphora {order.id}"), flavor=order.flavor, zone=order.zone.get("compute_zone"), group_id=group_id,
            tags=[names.GROUP] if order.seats else (), metadata=user_data.certificate_ends(files),
        )  # fmt: skip
        if group_id and order.apart_from:
            made = await self._placement.make(make, order.load_balancer_id, order.id, order.apart_from)
        else:
            made = await make()
        return await self._nova.active(made["id"], order.id)

    async def instances(self, load_balancer_id: str) -> Sequence[Instance]:
        """Those of one load balancer: its servers with its ports, and its ports in servers that it shares."""
        tag = names.load_balancer(load_balancer_id)
        servers, ports = await asyncio.gather(self._nova.servers(tag), self._ports.of(tag))
        servers += await self._nova.hidden(servers, ports)
        there = _with_ports(servers, ports)
        for host_id in sorted({names.tagged(port["tags"], "octavia-host") or "" for port in ports} - {""}):
            server, management = await asyncio.gather(
                self._nova.server_of(host_id), self._ports.of(names.amphora(host_id))
            )
            there += _seats([server] if server else [], [*ports, *management])
        return await self._described(there)

    async def readdress(self, amphora_id: str, vips: Sequence[Vip], *, keep: bool) -> Instance:
        """Other allowed addresses at its ports; a port on another network is plugged in."""
        server = await self._nova.server_of(amphora_id)
        if server is None:
            raise Unreachable("it has no server any more", subject=f"amphora {amphora_id}")
        load_balancer_id = str(names.tagged(server["tags"], "octavia-load-balancer"))
        ports = await self._ports.for_vips(load_balancer_id, amphora_id, vips)
        traffic = [await self._ports.carry(port, vips, keep=keep) for port in ports]
        await self._plug(server, traffic, amphora_id)
        self._changed()
        return await self._found(server, amphora_id)

    async def attach(self, seat: SeatSpec, *, keep: bool) -> Instance:
        """A load balancer has ports of its own in the server, with security groups of its own."""
        server = await self._nova.server_of(seat.host_id)
        if server is None:
            raise Unreachable("it has no server any more", subject=f"amphora {seat.host_id}")
        ports = await self._ports.for_vips(seat.load_balancer_id, seat.id, seat.vips, seat.host_id)
        traffic = [await self._ports.carry(port, seat.vips, keep=keep) for port in ports]
        await self._plug(server, traffic, seat.id)
        self._changed()
        there = await asyncio.gather(*(self._ports.of(names.amphora(one)) for one in (seat.id, seat.host_id)))
        return (await self._described(_seats([server], [port for ports in there for port in ports])))[0]

    async def detach(self, host_id: str, load_balancer_id: str) -> None:
        """Its ports leave the server, and are gone."""
        self._changed()
        ports = await self._ports.of(names.load_balancer(load_balancer_id), names.host(host_id))
        server = await self._nova.server_of(host_id) if ports else None
        for port in ports:
            if server is not None and port["device_id"] == server["id"]:
                await self._nova.unplug(server["id"], port["id"])
            await self._ports.remove(port)

    async def restart_agent(self, order: AmphoraSpec) -> None:
        """Its server is started anew: nobody can write files into a server that runs. It has those of its config drive again; ``Refused``
        where the certificate there has ended."""
        server = await self._nova.server_of(order.id)
        if server is None:
            return
        ends = server["metadata"].get(user_data.CERTIFICATE_ENDS)
        if ends and dt.datetime.fromisoformat(ends) <= dt.datetime.now(dt.UTC):
            raise Refused(
                f"a reboot would bring back the certificate that it was made with, which ended on {ends}",
                subject=f"amphora {order.id}", hint=f"octaviactl failover {order.id}",
            )  # fmt: skip
        await self._nova.reboot(server["id"])
        await self._nova.active(server["id"], order.id, seconds=REBOOT_SECONDS)

    async def delete(self, amphora_id: str) -> None:
        """Its server is gone, then its ports. One that a port is in is asked for by its id where no list shows it."""
        self._changed()
        tag = names.amphora(amphora_id)
        servers, ports = await asyncio.gather(self._nova.servers(tag), self._ports.of(tag))
        ids = [one["id"] for one in servers]
        for port in ports:
            id_ = port["device_id"]
            if names.is_in_own_server(port) and id_ not in ids and await self._nova.is_of(id_, amphora_id):
                ids.append(id_)
        for id_ in ids:
            await self._nova.remove(id_, amphora_id)
        await self._ports.delete(amphora_id, ports)
        self._changed()

    # ── sockets (ports.Dialer): the control plane is on the management network itself ────────────────────────────────
    def connect_socket(self, family: int) -> socket.socket:
        """A fresh TCP socket."""
        return socket.socket(family, socket.SOCK_STREAM)

    def heartbeat_socket(self) -> socket.socket:
        """A UDP socket, not blocking, where heartbeats come in."""
        host, port = self._settings.bind
        opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            opened.bind((host, port))
        except OSError as error:
            opened.close()
            hint = "OCTAVIA_OPENSTACK_HEARTBEAT_BIND: an address of this machine"
            if error.errno == errno.EADDRINUSE:
                hint = "another control plane listens there; give each an address and port of its own"
            raise Refused(
                f"cannot receive heartbeats at {host}:{port}: {error.strerror}", subject="OpenStack", hint=hint
            ) from error
        opened.setblocking(False)
        return opened

    @property
    def heartbeat_receiver(self) -> str:
        """Where amphorae send their heartbeats."""
        return self._settings.heartbeat_address


@dataclass(frozen=True, slots=True)
class Placed:
    """An amphora, or the place of a load balancer on one that it shares: ``host_id`` is that one's. ``tags`` say whose it is; ``traffic``: the ports
    that are plugged in, but that of management."""

    server: Json
    tags: Sequence[str]
    management: Json | None
    traffic: Sequence[Json]
    host_id: str | None = None


def _with_ports(servers: Sequence[Json], ports: Sequence[Json]) -> list[Placed]:
    """Each server with its own ports."""
    there: defaultdict[str | None, list[Json]] = defaultdict(list)
    for port in ports:
        there[names.tagged(port["tags"], "octavia-amphora")].append(port)
    found = []
    for server in servers:
        own = there[names.tagged(server["tags"], "octavia-amphora")]
        plugged = [
            port for port in own if port["device_id"] == server["id"]
        ]  # one of management may be made anew, for the next server
        management = next((p for p in plugged if names.tagged(p["tags"], "octavia-port") == names.MANAGEMENT), None)
        traffic = [port for port in plugged if port is not management]
        found.append(Placed(server, server["tags"], management, traffic))
    return found


def _seats(servers: Sequence[Json], ports: Sequence[Json]) -> list[Placed]:
    """The places that load balancers have on these servers: what is plugged into them of ports that are not the server's own."""
    found = []
    for host in _with_ports(servers, ports):
        host_id = str(names.tagged(host.tags, "octavia-amphora"))
        there: defaultdict[str | None, list[Json]] = defaultdict(list)
        for port in ports:
            if names.host(host_id) in port["tags"] and port["device_id"] == host.server["id"]:
                there[names.tagged(port["tags"], "octavia-amphora")].append(port)
        found += [Placed(host.server, own[0]["tags"], host.management, own, host_id) for own in there.values()]
    return found


def _instance(placed: Placed) -> Instance:
    """One without a management port counts as not alive: its agent cannot be reached."""
    carried = [names.carried(port["tags"]) for port in placed.traffic]
    management, server = placed.management, placed.server
    address = first_address(management) if management is not None and management["fixed_ips"] else ""
    return Instance(
        amphora_id=str(names.tagged(placed.tags, "octavia-amphora")),
        load_balancer_id=str(names.tagged(placed.tags, "octavia-load-balancer")), agent=(address, AGENT_PORT),
        alive=server["status"] in RUNNING and bool(address), host=placed.host_id,
        vips=tuple(address for alone, _ in carried for address in alone),
        shared=tuple(address for _, shared in carried for address in shared),
        compute_id=server["id"], image_id=server["metadata"].get(IMAGE) or (server["image"] or {}).get("id"),
    )  # fmt: skip
