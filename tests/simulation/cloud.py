# SPDX-License-Identifier: Apache-2.0
"""The simulation's cloud: servers, a network with two subnets, and rules that let clients in to listeners.

It is made like OpenStack: servers take their time, addresses are ports that have to be asked for, nothing is published.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from octavia_amphora.wire.interfaces import Address, Interface
from octavia_provider.model.errors import Conflict, Invalid, Refused, Unreachable, Violation
from octavia_provider.model.listener import Listener
from octavia_provider.model.load_balancer import LoadBalancer
from octavia_provider.ports import (
    Allocation,
    AmphoraSpec,
    CloudDriver,
    CloudResource,
    CloudStep,
    Instance,
    Inventory,
    MemberSubnets,
    Record,
    SeatSpec,
    StateVersion,
    Vip,
    no_subnets,
)

from .network import CLOUD, answered
from .world import Lifeline, Server

NETWORK = "00000000-0000-4000-8000-000000000001"
IPV4, IPV6 = "00000000-0000-4000-8000-000000000004", "00000000-0000-4000-8000-000000000006"
CIDRS = {IPV4: ipaddress.ip_network("10.1.0.0/16"), IPV6: ipaddress.ip_network("fd00::/64")}


@answered(lambda *_: CLOUD)
class SimulationCloud:
    """``ports.Cloud``."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline, self._world = lifeline, lifeline.world

    # ── servers ──────────────────────────────────────────────────────────────────────────────────────────────────────
    async def boot(self, order: AmphoraSpec) -> Instance:
        server = self._world.servers.get(order.id)
        if server is None or (not server.instance.alive and server.files):
            await self._lifeline.effect("boot")
            self._world.server_groups.add(order.load_balancer_id)
            agent = (f"192.0.2.{next(self._world.numbers)}", 9443)
            instance = Instance(
                amphora_id=order.id, load_balancer_id=order.load_balancer_id, agent=agent, alive=False,
                **_carrying(order.vips),
            )  # fmt: skip
            server = self._world.servers[order.id] = Server(instance, domain=self._domain(order), flavor=order.flavor)
        if not server.files:
            await self._lifeline.effect("start_agent")
            server.give(order.files(*server.instance.agent))
            server.instance = replace(server.instance, alive=True)
        return server.instance

    def _domain(self, order: AmphoraSpec) -> int:
        """One of two failure domains, where those that it is to be apart from are fewer."""
        there = [self._world.servers[id_].domain for id_ in order.apart_from if id_ in self._world.servers]
        return min((0, 1), key=there.count)

    async def instances(self, load_balancer_id: str) -> Sequence[Instance]:
        await self._lifeline.effect("list_servers")
        return [server.instance for server in self._world.live(load_balancer_id)]

    async def attach(self, seat: SeatSpec, *, keep: bool) -> Instance:
        await self._lifeline.effect("attach")
        host = self._world.servers.get(seat.host_id)
        if host is None or not host.instance.alive:
            raise Unreachable("it does not run", subject=f"amphora {seat.host_id}")
        key = (seat.host_id, seat.load_balancer_id)
        before = self._world.seats.get(key)
        made = Instance(
            amphora_id=seat.id, load_balancer_id=seat.load_balancer_id, agent=host.instance.agent, host=seat.host_id,
            **_carrying(seat.vips, before if keep else None),
        )  # fmt: skip
        self._world.seats[key] = made
        return self._world.seat(key)

    async def detach(self, host_id: str, load_balancer_id: str) -> None:
        await self._lifeline.effect("detach")
        self._world.seats.pop((host_id, load_balancer_id), None)

    async def readdress(self, amphora_id: str, vips: Sequence[Vip], *, keep: bool) -> Instance:
        await self._lifeline.effect("readdress")
        server = self._world.servers.get(amphora_id)
        if server is None:
            raise Unreachable("there is no such server", subject=f"amphora {amphora_id}")
        server.instance = replace(server.instance, **_carrying(vips, server.instance if keep else None))
        return server.instance

    async def restart_agent(self, order: AmphoraSpec) -> None:
        await self._lifeline.effect("restart_agent")
        server = self._world.servers.get(order.id)
        if server is None:
            return
        server.give(order.files(*server.instance.agent))
        server.answering = server.beating = True
        server.boot += 1

    async def delete(self, amphora_id: str) -> None:
        await self._lifeline.effect("delete_server")
        self._world.take_away(amphora_id)

    # ── sockets ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def connect_socket(self, family: int) -> socket.socket:
        raise NotImplementedError("the simulation's agents are not called by sockets")

    def heartbeat_socket(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (ours, theirs):
            end.setblocking(False)
        self._world.receivers.append(theirs)
        self._world.hearing[theirs] = self._lifeline.name
        return ours

    @property
    def heartbeat_receiver(self) -> str:
        return "192.0.2.254:5555"

    # ── its life ─────────────────────────────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        await self._lifeline.effect("authenticate")

    async def stop(self, *, unless: Callable[[], Awaitable[bool]] | None = None) -> bool:
        return not (unless is not None and await unless())

    async def close(self) -> None:
        """It goes on."""

    async def ended(self) -> AsyncIterator[None]:
        """It does not tell."""
        return
        yield

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def inventory(self) -> Inventory:
        await self._lifeline.effect("list_all")
        rules = [CloudResource(kind="listener", id=id_, words=f"rule of {id_}") for id_ in self._world.rules]
        seats = [self._world.seat(key) for key in self._world.seats]
        servers = [server.instance for server in self._world.servers.values()]
        return Inventory(instances=[*servers, *seats], resources=rules)

    async def pushed(self) -> Mapping[str, Mapping[str, StateVersion]]:
        return {}


@answered(lambda *_: CLOUD)
class SimulationNetworks:
    """``ports.RemoteAllocation``: an address is a port, and it takes a call to make one."""

    unsupported: Mapping[str, str] = {"vip_qos_policy_id": "the simulation has no QoS policies"}

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline, self._world = lifeline, lifeline.world

    async def allocate(self, load_balancer: Record) -> Allocation:
        spec = load_balancer.spec
        if spec["vip_network_id"] not in (None, NETWORK):
            raise Invalid([Violation(("vip_network_id",), f"network {spec['vip_network_id']} could not be found")])
        first = spec["vip_subnet_id"] or IPV4
        address = await self._port(load_balancer.id, first, spec["vip_address"])
        more = []
        for vip in spec["additional_vips"]:
            given = await self._port(load_balancer.id, vip["subnet_id"], vip.get("ip_address"))
            more.append({"subnet_id": vip["subnet_id"], "ip_address": given})
        values = {
            "vip_network_id": NETWORK, "vip_subnet_id": first, "vip_address": address, "additional_vips": more,
        }  # fmt: skip
        vips = (_vip(first, address), *(_vip(one["subnet_id"], one["ip_address"]) for one in more))
        return Allocation(values=values, vips=vips)

    async def release(self, load_balancer_id: str, keep: Collection[str]) -> None:
        await self._lifeline.effect("list_ports")
        for key, address in list(self._world.ports.items()):
            if key[0].partition("/")[0] == load_balancer_id and address not in keep:
                await self._lifeline.effect("delete_port")
                self._world.ports.pop(key, None)
        if not keep:
            self._world.server_groups.discard(load_balancer_id)

    async def own(self, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        own = [(one, await self._port(f"{load_balancer.id}/{amphora_id}", one, None)) for one in CIDRS]
        return tuple(replace(_vip(subnet_id, address), served=False) for subnet_id, address in own)

    async def _port(self, load_balancer_id: str, subnet_id: str, given: str | None) -> str:
        if subnet_id not in CIDRS:
            raise Invalid([Violation(("vip_subnet_id",), f"subnet {subnet_id} could not be found")])
        await self._lifeline.effect("list_ports")
        if found := self._world.ports.get((load_balancer_id, subnet_id)):
            return found
        await self._lifeline.effect("create_port")
        if found := self._world.ports.get((load_balancer_id, subnet_id)):  # another control plane was faster
            return found
        taken = {address for (_, subnet), address in self._world.ports.items() if subnet == subnet_id}
        if given in taken:
            raise Conflict(f"{given} is in use", path=("vip_address",))
        hosts = (str(host) for host in CIDRS[subnet_id].hosts())
        address = given or next(host for host in hosts if host not in taken)
        self._world.ports[load_balancer_id, subnet_id] = address
        return address


def _carrying(vips: Sequence[Vip], kept: Instance | None = None) -> dict[str, tuple[Any, ...]]:
    """These addresses, and those that were there and are kept; and what the agent has to make of its interface for that."""
    before = (kept.vips, kept.shared) if kept else ((), ())
    new = (tuple(vip.address for vip in vips if vip.shared is shared) for shared in (False, True))
    alone, shared = (tuple(dict.fromkeys((*old, *now))) for old, now in zip(before, new, strict=True))
    addresses = (*map(Address, alone), *(Address(one, shared=True) for one in shared))
    return {"vips": alone, "shared": shared, "interfaces": (Interface("fa:16:3e:00:00:01", addresses=addresses),)}


def _vip(subnet_id: str, address: str) -> Vip:
    return Vip(address=address, network_id=NETWORK, prefix=CIDRS[subnet_id].prefixlen)


@dataclass(frozen=True, slots=True)
class Rule(CloudStep):
    """Let clients in to a listener, or (``port`` None) no more."""

    load_balancer_id: str = ""
    port: int | None = None


@answered(lambda *_: CLOUD)
class SimulationAccess:
    """``ports.ListenerAccess``: a rule for each listener."""

    def __init__(self, lifeline: Lifeline) -> None:
        self._lifeline, self._world = lifeline, lifeline.world

    async def observe(self, load_balancer_id: str) -> Sequence[tuple[str, int]]:
        await self._lifeline.effect("list_rules")
        return [(id_, port) for id_, (owner, port) in self._world.rules.items() if owner == load_balancer_id]

    def plan(
        self, load_balancer: LoadBalancer | None, listeners: Collection[Listener], instances: Sequence[Instance],
        observed: Sequence[tuple[str, int]], member_subnets: MemberSubnets = no_subnets,
    ) -> tuple[CloudStep, ...]:  # fmt: skip
        wanted = {one.id: one.protocol_port for one in listeners if one.admin_state_up} if instances else {}
        return (
            *(Rule(i, f"shut out of {i}", before=True) for i, _ in observed if i not in wanted),
            *(
                Rule(i, f"let in to {i}", load_balancer_id=load_balancer.id, port=port)
                for i, port in wanted.items()
                if load_balancer and (i, port) not in observed
            ),
        )

    async def carry_out(self, step: CloudStep) -> None:
        assert isinstance(step, Rule)
        await self._lifeline.effect("set_rule")
        if step.port is None:
            self._world.rules.pop(step.object_id, None)
        elif step.port == 666:
            raise Refused("port 666 is not allowed by policy")
        else:
            self._world.rules[step.object_id] = (step.load_balancer_id, step.port)

    def missing(self, observed: Sequence[tuple[str, int]], inventory: Inventory) -> bool:
        return not all(inventory.has("listener", id_) for id_, _ in observed)


def driver(lifeline: Lifeline) -> CloudDriver:
    """The simulation as a control plane takes it."""
    return CloudDriver(
        name="simulation", cloud=SimulationCloud(lifeline), networks=SimulationNetworks(lifeline),
        access=SimulationAccess(lifeline),
    )  # fmt: skip
