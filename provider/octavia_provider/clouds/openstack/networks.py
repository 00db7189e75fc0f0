# SPDX-License-Identifier: Apache-2.0
"""Addresses as ports of Neutron (``ports.RemoteAllocation``). The VIP's port is bound nowhere: amphorae carry its address by allowed address pairs."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from octavia_provider.model.errors import Conflict, Forbidden, Invalid, NotFound, Path, Refused, Violation
from octavia_provider.ports import LOCAL_PROJECT, Allocation, Named, Record, Vip

from . import names
from .amphora_ports import AmphoraPorts
from .neutron import Neutron, address_in, first_address
from .nova import Nova
from .session import Json

_SRIOV = "amphorae on OpenStack have virtual interfaces yet"
UNSUPPORTED: Mapping[str, str] = {
    "sriov_vip": _SRIOV, "allow_member_sriov": _SRIOV, "request_sriov": _SRIOV,
    "volume_zone": "volumes are made in the zone of the server",
}  # fmt: skip


class OpenStackNetworks:
    """``ports.RemoteAllocation``: each VIP has a port of its own, each amphora one in the VIPs' network."""

    unsupported = UNSUPPORTED

    def __init__(self, neutron: Neutron, amphora_ports: AmphoraPorts, nova: Nova) -> None:
        self._neutron, self._amphora_ports, self._nova = neutron, amphora_ports, nova

    async def missing(self, named: Collection[Named]) -> frozenset[Named]:
        """See ``ports.NetworkLookup.missing``."""
        wanted = sorted(set(named), key=lambda one: (one.collection, one.id))
        there = await asyncio.gather(*(self._neutron.exists(one.collection, one.id) for one in wanted))
        return frozenset(one for one, found in zip(wanted, there, strict=True) if not found)

    async def allocate(self, load_balancer: Record) -> Allocation:
        """See ``ports.RemoteAllocation.allocate``."""
        spec = load_balancer.spec
        given = await self._given_port(spec["vip_port_id"], ("vip_port_id",), again=bool(spec["vip_address"]))
        subnet = await (self._neutron.subnet(_chosen(given, spec)) if given else self._vip_subnet(spec))
        port = given or await self._vip_port(load_balancer, subnet, spec["vip_address"], ("vip_address",))
        network_id = port["network_id"]
        vips, more = [_vip(subnet, address_in(port, subnet["id"]))], []
        for path, wanted in _additional(spec):
            other, found = await self._more(load_balancer, network_id, path, wanted)
            address = address_in(other, found["id"])
            vips.append(_vip(found, address))
            more.append({"subnet_id": found["id"], "ip_address": address, "port_id": other["id"]})
        values = {
            "vip_network_id": network_id, "vip_subnet_id": subnet["id"], "vip_address": vips[0].address,
            "vip_port_id": port["id"], "additional_vips": more,
        }  # fmt: skip
        return Allocation(values=values, vips=tuple(vips))

    async def own(self, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        """See ``ports.RemoteAllocation.own``: in each subnet that a VIP is in."""
        spec = load_balancer.spec
        subnet_ids = [spec["vip_subnet_id"], *(vip["subnet_id"] for vip in spec["additional_vips"])]
        port = await self._amphora_ports.ensure(load_balancer.id, amphora_id, spec["vip_network_id"], subnet_ids)
        found = [await self._neutron.subnet(id_) for id_ in subnet_ids]
        return tuple(_vip(one, address_in(port, one["id"]), served=False) for one in found)

    async def release(self, load_balancer_id: str, keep: Collection[str]) -> None:
        """See ``ports.RemoteAllocation.release``. Ports that somebody else made are left alone."""
        for port in await self._neutron.all_of("ports", load_balancer_id):
            amphora_id = names.tagged(port["tags"], "octavia-amphora")
            kept = amphora_id is not None or {one["ip_address"] for one in port["fixed_ips"]} & set(keep)
            if not keep or not kept:  # an amphora's ports go with it
                await self._neutron.delete("ports", port["id"])
        if not keep:
            for group in await self._neutron.all_of("security-groups", load_balancer_id):
                await self._neutron.delete("security-groups", group["id"])
            await self._nova.forget_group(load_balancer_id)

    async def _given_port(self, id_: str | None, path: Path, *, again: bool) -> Json | None:
        """The port that the spec names: a user's, or our own once it was made. ``again``: its address is known, so it is made again
        where somebody has deleted it."""
        if id_ is None:
            return None
        try:
            port = await self._neutron.port(id_)
        except NotFound as error:
            if again:
                return None
            raise _absent(error, path) from error
        if not port["fixed_ips"]:
            raise Invalid([Violation(path, f"port {id_} has no address")])
        return port

    async def _vip_subnet(self, spec: Mapping[str, Any]) -> Json:
        """Where the VIP is to be; of a network the subnet that has its address, else the first of IPv4."""
        if spec["vip_subnet_id"]:
            subnet = await self._there(self._neutron.subnet(spec["vip_subnet_id"]), ("vip_subnet_id",))
            if spec["vip_network_id"] not in (None, subnet["network_id"]):
                message = f"is not a subnet of network {spec['vip_network_id']}"
                raise Invalid([Violation(("vip_subnet_id",), message)])
            return subnet
        network_id = spec["vip_network_id"]
        await self._there(self._neutron.network(network_id), ("vip_network_id",))
        there = sorted(await self._neutron.subnets(network_id), key=lambda one: (one["ip_version"], one["created_at"]))
        found = [one for one in there if _holds(one, spec["vip_address"])]
        if not found:
            what = f"has no subnet with {spec['vip_address']}" if there else "has no subnet"
            raise Invalid([Violation(("vip_network_id",), f"network {network_id} {what}")])
        return found[0]

    async def _more(
        self, load_balancer: Record, network_id: str, path: Path, wanted: Mapping[str, Any]
    ) -> tuple[Json, Json]:
        subnet = await self._there(self._neutron.subnet(wanted["subnet_id"]), (*path, "subnet_id"))
        if subnet["network_id"] != network_id:
            message = f"is not a subnet of network {network_id}, where the VIP is"
            raise Invalid([Violation((*path, "subnet_id"), message)])
        address, at = wanted.get("ip_address"), (*path, "ip_address")
        given = await self._given_port(wanted.get("port_id"), (*path, "port_id"), again=bool(address))
        return given or await self._vip_port(load_balancer, subnet, address, at, subnet["id"]), subnet

    async def _vip_port(
        self, load_balancer: Record, subnet: Json, address: str | None, path: Path, part: str | None = None
    ) -> Json:
        """The port of a VIP, found or made. It is never bound, and belongs to the project of the load balancer, as Octavia's: so its users
        can give it a floating IP."""
        fixed = {"subnet_id": subnet["id"], **({"ip_address": address} if address else {})}
        body = {
            "network_id": subnet["network_id"], "fixed_ips": [fixed], "admin_state_up": False,
            "device_owner": names.OWNER, "device_id": names.vip_device(load_balancer.id),
        }  # fmt: skip
        name, tags = names.vip_port(load_balancer.id, part), [names.load_balancer(load_balancer.id)]
        subject = f"load balancer {load_balancer.spec.get('name') or load_balancer.id}, its VIP"
        owner = {} if load_balancer.project_id == LOCAL_PROJECT else {"project_id": load_balancer.project_id}
        try:
            try:
                found = await self._neutron.ensure("ports", name, {**body, **owner}, tags, subject=subject)
            except (Forbidden, Refused) as error:  # only an administrator of Neutron makes what belongs to others
                if not owner or (isinstance(error, Refused) and "project_id" not in error.message):
                    raise
                found = await self._neutron.ensure("ports", name, body, tags, subject=subject)
        except Conflict as error:
            raise Conflict(error.message, subject=subject, hint=error.hint, path=path) from error
        if address is not None and address_in(found, subnet["id"]) != address:  # it is to have another address now
            await self._neutron.delete("ports", found["id"])
            return await self._vip_port(load_balancer, subnet, address, path, part)
        return found

    async def _there(self, asked: Any, path: Path) -> Json:
        """What is named in the spec has to be there."""
        try:
            return dict(await asked)
        except NotFound as error:
            raise _absent(error, path) from error


def _chosen(port: Json, spec: Mapping[str, Any]) -> str:
    """Which of a port's subnets the VIP is in: that of its address, else the one that is named, else that of the first address."""
    by_address = {one["ip_address"]: one["subnet_id"] for one in port["fixed_ips"]}
    if spec["vip_address"] in by_address:
        return str(by_address[spec["vip_address"]])
    if spec["vip_subnet_id"] in by_address.values():
        return str(spec["vip_subnet_id"])
    return str(by_address[first_address(port)])


def _absent(error: NotFound, path: Path) -> Invalid:
    """What the spec names is not there. ``path`` ends in ``vip_network_id``, ``subnet_id`` and the like."""
    noun = str(path[-1]).removeprefix("vip_").removesuffix("_id")
    return Invalid([Violation(path, f"{error.message}; openstack {noun} list shows what there is")])


def _additional(spec: Mapping[str, Any]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    return ((("additional_vips", index), vip) for index, vip in enumerate(spec["additional_vips"]))


def _holds(subnet: Json, address: str | None) -> bool:
    return address is None or ipaddress.ip_address(address) in ipaddress.ip_network(subnet["cidr"])


def _vip(subnet: Json, address: str | None, *, served: bool = True) -> Vip:
    if address is None:
        raise Conflict(f"the port has no address in subnet {subnet['id']}", hint="give it one, or name another port")
    prefix = ipaddress.ip_network(subnet["cidr"]).prefixlen
    return Vip(
        address=address, network_id=subnet["network_id"], prefix=prefix, gateway=subnet["gateway_ip"], served=served
    )
