# SPDX-License-Identifier: Apache-2.0
"""The ports of amphorae: one on the management network, one on each network that they serve or reach members by."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Sequence

from octavia_amphora.wire.interfaces import Address, Interface
from octavia_amphora.wire.vrrp import PEERS_PORT
from octavia_provider.ports import Vip

from . import names
from .neutron import Layout, Neutron, address_in
from .session import Json
from .settings import OpenStackSettings

VRRP = 112
_PEERS: Json = {"protocol": "tcp", "port_range_min": PEERS_PORT, "port_range_max": PEERS_PORT}
_AMONG_AMPHORAE: tuple[Json, ...] = tuple(
    {"ethertype": family, **what} for family in ("IPv4", "IPv6") for what in ({"protocol": VRRP}, _PEERS)
)


class AmphoraPorts:
    """Makes them, finds them, says what their amphorae carry."""

    def __init__(self, neutron: Neutron, settings: OpenStackSettings) -> None:
        self._neutron, self._settings = neutron, settings
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._management: Json | None = None

    async def group(self, load_balancer_id: str) -> Json:
        """The security group of a load balancer's amphorae. They are let in to each other: VRRP, and haproxy's peers."""
        name, subject = names.security_group(load_balancer_id), f"load balancer {load_balancer_id}, its security group"
        async with self._locks[name]:
            group = await self._neutron.ensure(
                "security-groups", name, {}, [names.load_balancer(load_balancer_id)], subject=subject
            )
            there = {_rule(one) for one in group["security_group_rules"] if one["remote_group_id"]}
            lacking = [rule for rule in _AMONG_AMPHORAE if _rule(rule) not in there]
            if lacking:
                rules = [{**rule, "remote_group_id": group["id"], "description": "amphorae"} for rule in lacking]
                await self._neutron.add_rules(group["id"], rules, subject=subject)
        self._locks.pop(name, None)
        return group

    async def management(
        self, load_balancer_id: str, amphora_id: str, network: str | None = None, *, group: bool = False
    ) -> Json:
        """The port by which its agent is reached. ``group``: of an amphora that load balancers share."""
        network_id = (await self._management_network(network))["id"]
        groups = list(self._settings.management_security_groups)
        return await self._neutron.ensure(
            "ports", names.management_port(amphora_id),
            {"network_id": network_id, **({"security_groups": groups} if groups else {})},
            [*_tags(load_balancer_id, amphora_id, names.MANAGEMENT), *([names.GROUP] if group else ())], subject=f"amphora {amphora_id}, its management port",
        )  # fmt: skip

    async def _management_network(self, network: str | None) -> Json:
        if network is not None:
            return await self._neutron.network(network)
        if self._management is None:
            self._management = await self._neutron.network(self._settings.management_network)
        return self._management

    async def ensure(self, load_balancer_id: str, amphora_id: str, network_id: str, subnet_ids: Iterable[str], *,
        role: str = names.TRAFFIC, host_id: str | None = None, vips: Sequence[Vip] = (),
    ) -> Json:  # fmt: skip
        """Its port on a network, with an address of its own in each of these subnets at least. ``host_id``: whose server it shares.
        ``vips``: addresses that a new port has as address pairs and tags; an existing port is changed by ``carry``."""
        name, wanted = names.network_port(amphora_id, network_id), list(dict.fromkeys(subnet_ids))
        async with self._locks[amphora_id]:
            group = await self.group(load_balancer_id)
            # an amphora's own address needs no pair, and a port that is made anew may get another one
            alone, shared = _carried(network_id, [vip for vip in vips if vip.served])
            body = {
                "network_id": network_id, "security_groups": [group["id"]],
                "fixed_ips": [{"subnet_id": one} for one in wanted],
            }  # fmt: skip
            if alone or shared:  # only the owner of a network may name pairs, even none
                body["allowed_address_pairs"] = [{"ip_address": one} for one in sorted({*alone, *shared})]
            tags = [
                *_tags(load_balancer_id, amphora_id, role), *([names.host(host_id)] if host_id else ()),
                *names.carrying(alone, shared),
            ]  # fmt: skip
            port = await self._neutron.ensure("ports", name, body, tags, subject=f"amphora {amphora_id}, its port")
            if host_id and names.host(host_id) not in port["tags"]:
                port["tags"] = await self._neutron.tag("ports", port["id"], [*port["tags"], names.host(host_id)])
            lacking = [{"subnet_id": one} for one in wanted if address_in(port, one) is None]
            if lacking:
                fixed, tags = [*port["fixed_ips"], *lacking], port["tags"]
                port = {**await self._neutron.update_port(port["id"], fixed_ips=fixed), "tags": tags}
            return port

    async def for_vips(
        self, load_balancer_id: str, amphora_id: str, vips: Sequence[Vip], host_id: str | None = None
    ) -> list[Json]:
        """Its ports on the networks of what it is to carry."""
        ports = []
        for network_id in dict.fromkeys(vip.network_id for vip in vips):
            subnets = await self._neutron.subnets(network_id)
            here = [vip.address for vip in vips if vip.network_id == network_id]
            holding = [one["id"] for one in subnets if any(_in(one, address) for address in here)]
            ports.append(
                await self.ensure(load_balancer_id, amphora_id, network_id, holding, host_id=host_id, vips=vips)
            )
        return ports

    async def carry(self, port: Json, vips: Sequence[Vip], *, keep: bool) -> Json:
        """A port's amphora carries these addresses, and with ``keep`` those too that it had. What is new is allowed first."""
        now, together = _carried(port["network_id"], vips)
        alone, shared = names.carried(port["tags"]) if keep else ((), ())
        alone, shared = tuple(dict.fromkeys((*alone, *now))), tuple(dict.fromkeys((*shared, *together)))
        own = {one["ip_address"] for one in port["fixed_ips"]}
        pairs = sorted({*alone, *shared} - own)
        if pairs != sorted(one["ip_address"] for one in port["allowed_address_pairs"]):
            allowed = [{"ip_address": one} for one in pairs]
            tags = port["tags"]
            port = {**await self._neutron.update_port(port["id"], allowed_address_pairs=allowed), "tags": tags}
        told = [tag for tag in port["tags"] if not tag.startswith(("vip=", "shared="))] + names.carrying(alone, shared)
        if sorted(told) != sorted(port["tags"]):
            port["tags"] = await self._neutron.tag("ports", port["id"], told)
        return port

    async def interface(self, port: Json) -> Interface:
        """What its agent is to make of a port: addresses of its own, and those that it carries."""
        alone, shared = names.carried(port["tags"])
        fixed = sorted(one["ip_address"] for one in port["fixed_ips"])  # Neutron has them in no order
        layout = await self._neutron.layout(port["network_id"], (*fixed, *alone, *shared))
        own = [_address(layout, one) for one in dict.fromkeys((*fixed, *alone))]
        addresses = (*own, *(_address(layout, one, shared=True) for one in shared))
        return Interface(port["mac_address"], layout.mtu, addresses)

    async def interfaces(self, ports: Iterable[Json]) -> tuple[Interface, ...]:
        """Those of ports but the one of management; first those where the VIPs are."""
        chosen = sorted(
            ports, key=lambda one: (names.tagged(one["tags"], "octavia-port") != names.TRAFFIC, one["name"])
        )
        return tuple([await self.interface(port) for port in chosen])

    async def of(self, *tags: str) -> list[Json]:
        """Those with these tags."""
        return await self._neutron.ours("ports", *tags)

    async def delete(self, amphora_id: str, own: Sequence[Json]) -> None:
        """All of an amphora's ports are gone; first those that load balancers have on it, for its ``own`` say that it is shared."""
        shared = any(names.GROUP in port["tags"] for port in own)
        for port in (*(await self.of(names.host(amphora_id)) if shared else ()), *own):
            await self.remove(port)
        self._locks.pop(amphora_id, None)

    async def remove(self, port: Json) -> None:
        """A port is gone."""
        await self._neutron.delete("ports", port["id"])


def _address(layout: Layout, address: str, *, shared: bool = False) -> Address:
    subnet = layout.subnet_of(address)
    if subnet is None:
        return Address(f"{address}/{128 if ':' in address else 32}", None, shared)
    return Address(f"{address}/{ipaddress.ip_network(subnet['cidr']).prefixlen}", subnet["gateway_ip"], shared)


def _rule(rule: Json) -> tuple[str, str, int | None]:
    """What it lets in. Neutron may answer with a name where a number was given."""
    protocol = str(VRRP) if rule["protocol"] == "vrrp" else str(rule["protocol"])
    return rule["ethertype"], protocol, rule.get("port_range_min")


def _tags(load_balancer_id: str, amphora_id: str, role: str) -> list[str]:
    return [names.load_balancer(load_balancer_id), names.amphora(amphora_id), f"octavia-port={role}"]


def _carried(network_id: str, vips: Sequence[Vip]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of these the addresses on a network: which an amphora carries by itself, and as one of a pair."""
    here = [vip for vip in vips if vip.network_id == network_id]
    alone, shared = (tuple(vip.address for vip in here if vip.shared is which) for which in (False, True))
    return alone, shared


def _in(subnet: Json, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(subnet["cidr"])
