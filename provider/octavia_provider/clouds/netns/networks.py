# SPDX-License-Identifier: Apache-2.0
"""Addresses of the embedded cloud: which network a VIP or a host stands in, and which addresses it gets there.

Knows the store alone. Each load balancer gets a loopback address of this machine too, where its listeners are published.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from octavia_provider.model import flavor
from octavia_provider.model.errors import Conflict, Invalid, NotFound, Path, Refused, Violation
from octavia_provider.model.load_balancer import LoadBalancer, one_address_a_subnet
from octavia_provider.ports import ListedNetwork, ListedSubnet, Record, Transaction, Vip, flavor_data

from .subnets import Subnet, containing, network, subnet, subnets

_NAMESPACES = "the amphorae of the embedded cloud are network namespaces of this machine, "
UNSUPPORTED: Mapping[str, str] = {
    "compute_flavor": _NAMESPACES + "which have no compute flavor",
    "amp_image_tag": _NAMESPACES + "which are made without an image",
    "sriov_vip": _NAMESPACES + "whose interfaces are virtual",
    "allow_member_sriov": _NAMESPACES + "whose interfaces are virtual",
    "compute_zone": "the embedded cloud is this one machine and has no compute zones",
    "volume_zone": "the embedded cloud is this one machine and has no volumes",
    "vip_qos_policy_id": "the embedded cloud has no QoS policies",
    "vip_sg_ids": "the embedded cloud has no security groups; allowed_cidrs of the listeners says who may come in",
    "request_sriov": _NAMESPACES + "whose interfaces are virtual",
    "management_network": "the embedded cloud has one management network of its own",
}
NO_PORTS = "the embedded cloud has no ports"
PUBLISHED = "published"  # the pool of addresses that load balancers have on the loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """``networks``: where a cidr (a /24) is chosen from. ``reserved``: what the cloud itself uses, and no network may.

    ``published``: loopback addresses for listeners; each instance on a machine has its own.
    """

    networks: str = "10.0.0.0/8"
    reserved: tuple[str, ...] = ("10.0.0.0/16",)
    published: str = "127.88.0.0/16"


class NetnsNetworks:
    """``ports.LocalAllocation`` of the embedded cloud, and its ``ports.NetworkDirectory``."""

    unsupported = UNSUPPORTED

    def __init__(self, settings: NetworkSettings | None = None) -> None:
        settings = settings or NetworkSettings()
        self._pool = IPv4Network(settings.networks)
        self._reserved = tuple(IPv4Network(cidr) for cidr in settings.reserved)
        self._published = IPv4Network(settings.published)

    def place(self, tx: Transaction, kind: str, id: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: A002
        """See ``ports.LocalAllocation.place``."""
        match kind:
            case "load_balancer":
                return self._load_balancer(tx, id, spec)
            case "local_network":
                return self._network(tx, id, spec)
            case "local_host":
                return _host(tx, id, spec)
            case "member":
                _member_subnet(tx, spec)
                return {}
            case _:
                return {}

    def change(self, tx: Transaction, record: Record, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ``ports.LocalAllocation.change``."""
        if record.kind == "member" and spec["subnet_id"]:
            subnet(tx, spec["subnet_id"], ("subnet_id",))
        if record.kind != "load_balancer":
            return {}
        spec = {**record.spec, **spec}
        if spec.get("flavor_id") != record.spec.get("flavor_id"):
            _reserve_for_pair(tx, record.id, spec, ("flavor_id",), was=record.spec.get("flavor_id"))
        return self._more(tx, record.id, spec)

    def vips(self, tx: Transaction, load_balancer: Record) -> tuple[Vip, ...]:
        """See ``ports.LocalAllocation.vips``."""
        place = network(tx, load_balancer.spec["vip_network_id"], ("vip_network_id",), alive=False)
        vips = [containing(place, address).vip(address) for address in _addresses(load_balancer)]
        own = dict(tx.addresses(_reach(load_balancer.id)))
        others = [s for s in _without_vip(place, load_balancer.spec) if s.id in own]
        return (*vips, *(s.vip(own[s.id], served=False) for s in others))

    def own(self, tx: Transaction, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        """See ``ports.LocalAllocation.own``."""
        path: Path = ("vip_network_id",)
        place = network(tx, load_balancer.spec["vip_network_id"], path, alive=False)
        holder = _own(load_balancer.id, amphora_id)
        reserved = dict[str, str]()
        if not tx.addresses(holder):
            reservation = next((one for one in _reservations(load_balancer.id) if tx.addresses(one)), holder)
            reserved = dict(tx.addresses(reservation))
            tx.free_addresses(reservation)
        own = ((one, one.take(tx, holder, reserved.get(one.id), path)) for one in subnets(place))
        return tuple(one.vip(address, served=False) for one, address in own)

    def require_room(self, tx: Transaction, load_balancer: Record, leaving: Collection[str]) -> None:
        """See ``ports.LocalAllocation.require_room``. Who replaces one that runs has an address of its own meanwhile, and so has
        the other, also where it was alone."""
        amphorae = tx.amphorae(load_balancer.id)
        if not any(a.id in leaving and not a.retiring and a.status == "ALLOCATED" for a in amphorae):
            return  # what was never made goes first
        holders = [_own(load_balancer.id, amphora.id) for amphora in amphorae]
        for one in subnets(network(tx, load_balancer.spec["vip_network_id"], ("vip_network_id",), alive=False)):
            lacking = sum(one.id not in dict(tx.addresses(holder)) for holder in holders)
            reserved = sum(one.id in dict(tx.addresses(holder)) for holder in _reservations(load_balancer.id))
            needed = 1 + lacking - reserved
            free = one.free(tx, f"{load_balancer.id}/probe", needed)
            if free < needed:
                raise _no_room(load_balancer, one, needed, free)

    def give_back(self, tx: Transaction, load_balancer_id: str, carried: Iterable[str]) -> None:
        """See ``ports.LocalAllocation.give_back``."""
        record = tx.get("load_balancer", load_balancer_id)
        if record is not None:
            wanted = {vip.address for vip in self.vips(tx, record)}
            kept = {address for one in _reservations(record.id) for _, address in tx.addresses(one)}
            tx.free_addresses(record.id, {*carried, *wanted, *kept, record.spec.get("published_address", "")})

    def networks(self, tx: Transaction) -> list[ListedNetwork]:
        """See ``ports.NetworkDirectory.networks``."""
        return [_listed(record) for record in tx.find("local_network") if not record.deleting]

    def _load_balancer(self, tx: Transaction, id_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        place = _vip_subnet(tx, spec)
        values = {
            "vip_network_id": place.network.id,
            "vip_subnet_id": place.id,
            "vip_address": place.take(tx, id_, spec["vip_address"], ("vip_address",)),
            "published_address": self._publish(tx, id_),
        }
        _reserve_for_pair(
            tx, id_, {**spec, **values}, ("vip_subnet_id" if spec["vip_subnet_id"] else "vip_network_id",)
        )
        return {**values, **self._more(tx, id_, {**spec, **values})}

    def _more(self, tx: Transaction, id_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The additional VIPs; and in a subnet that has none, amphorae get an address to reach members by."""
        more = self._additional(tx, id_, spec)
        place = network(tx, spec["vip_network_id"], ("vip_network_id",))
        for other in _without_vip(place, {**spec, "additional_vips": more}):
            other.take(tx, _reach(id_), None, ("vip_network_id",))
        return {"additional_vips": more}

    def _additional(self, tx: Transaction, id_: str, spec: Mapping[str, Any]) -> list[dict[str, str]]:
        """The additional VIPs with their addresses; one that names none keeps what the load balancer has there."""
        if message := one_address_a_subnet(LoadBalancer.trusted(spec)):
            raise Invalid([Violation(("additional_vips",), message)])
        made = []
        for index, vip in enumerate(spec.get("additional_vips") or ()):
            path: Path = ("additional_vips", index)
            place = subnet(tx, vip["subnet_id"], (*path, "subnet_id"))
            if place.network.id != spec["vip_network_id"]:
                message = f"is not a subnet of network {spec['vip_network_id']}, where the VIP is"
                raise Invalid([Violation((*path, "subnet_id"), message)])
            if vip.get("port_id"):
                raise Invalid([Violation((*path, "port_id"), NO_PORTS)])
            address = place.take(tx, id_, vip["ip_address"], (*path, "ip_address"))
            made.append({"subnet_id": place.id, "ip_address": address})
        return made

    def _publish(self, tx: Transaction, id_: str) -> str:
        address = tx.take_address(PUBLISHED, id_, map(str, _loopback(self._published)))
        if address is None:
            raise Refused(
                f"no loopback address is left in {self._published} to publish it on",
                subject=f"load balancer {id_}", hint="delete a load balancer, or give the instance a larger range",
            )  # fmt: skip
        return address

    def _network(self, tx: Transaction, id_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        networks = [record for record in tx.find("local_network") if record.id != id_]
        given, ipv6 = spec["cidr"], spec["ipv6_cidr"]
        if given is None:
            given = self._choose(IPv4Network(record.spec["cidr"]) for record in networks)
        for path, wanted in (("cidr", given), ("ipv6_cidr", ipv6)):
            if wanted is not None:
                self._refuse_overlap(networks, wanted, (path,))
        return {"cidr": given, "ipv6_cidr": ipv6}

    def _refuse_overlap(self, networks: Iterable[Record], given: str, path: Path) -> None:
        wanted: Any = ipaddress.ip_network(given)
        for reserved in self._reserved:
            if wanted.version == reserved.version and wanted.overlaps(reserved):
                raise Conflict(f"{given} overlaps {reserved}, which the cloud itself uses", path=path)
        for record in networks:
            for other in subnets(record) if not record.deleting else ():
                if wanted.version == other.cidr.version and wanted.overlaps(other.cidr):
                    name = record.spec.get("name") or record.id
                    raise Conflict(f"{given} overlaps {other.cidr} of network {name}", path=path)

    def _choose(self, taken: Iterable[IPv4Network]) -> str:
        avoid = (*taken, *self._reserved)
        free = (net for net in self._pool.subnets(new_prefix=24) if not any(net.overlaps(a) for a in avoid))
        chosen = next(free, None)
        if chosen is None:
            raise Refused(f"no /24 is free in {self._pool}", subject="network", hint="delete one, or give a cidr")
        return str(chosen)


def _listed(record: Record) -> ListedNetwork:
    """The IPv4 subnet is known by its network's id and name, the IPv6 one by ``<name>-ipv6``."""
    name = record.spec["name"]
    return ListedNetwork(
        id=record.id, name=name, project_id=record.project_id, created_at=record.created_at,
        updated_at=record.updated_at,
        subnets=tuple(
            ListedSubnet(
                id=one.id, name=name if one.cidr.version == 4 else f"{name}-ipv6", cidr=str(one.cidr),
                ip_version=one.cidr.version,
            )
            for one in subnets(record)
        ),
    )  # fmt: skip


def _vip_subnet(tx: Transaction, spec: Mapping[str, Any]) -> Subnet:
    """Where the VIP is to be, by the form in which it was said."""
    if spec["vip_port_id"]:
        raise Invalid([Violation(("vip_port_id",), f"{NO_PORTS}; give vip_network_id")])
    by_network, by_subnet = spec["vip_network_id"], spec["vip_subnet_id"]
    if not by_subnet:
        return containing(network(tx, by_network, ("vip_network_id",)), spec["vip_address"])
    found = subnet(tx, by_subnet, ("vip_subnet_id",))
    if by_network and found.network.id != by_network:
        raise Invalid([Violation(("vip_subnet_id",), f"is not a subnet of network {by_network}")])
    return found


def _host(tx: Transaction, id_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    place = network(tx, spec["network_id"], ("network_id",))
    ipv4, *ipv6 = subnets(place)
    if not ipv6 and spec["ipv6_address"]:
        message = f"network {place.spec.get('name') or place.id} has no ipv6_cidr"
        raise Invalid([Violation(("ipv6_address",), message)])
    address = ipv4.take(tx, id_, spec["address"], ("address",))
    return {
        "address": address,
        "ipv6_address": ipv6[0].take(tx, id_, spec["ipv6_address"], ("ipv6_address",)) if ipv6 else None,
    }


def _member_subnet(tx: Transaction, spec: Mapping[str, Any]) -> None:
    """The subnet of a new member has to be there, as in Octavia (404), and need not hold its address."""
    try:
        if spec["subnet_id"]:
            subnet(tx, spec["subnet_id"], ("subnet_id",))
    except Invalid as error:
        (violation,) = error.violations
        raise NotFound(violation.message, path=violation.path) from None


def _reserve_for_pair(
    tx: Transaction, id_: str, spec: Mapping[str, Any], path: Path, *, was: str | None = None
) -> None:
    """Each amphora of a pair will have an address of its own in each subnet: they are set aside before anything is made."""
    wanted, had = (flavor.roles(flavor_data(tx, one)) for one in (spec.get("flavor_id"), was))
    for reservation in _reservations(id_):
        if len(wanted) == 1:
            tx.free_addresses(reservation)
        elif len(had) == 1:
            for one in subnets(network(tx, spec["vip_network_id"], ("vip_network_id",))):
                _reserve(tx, one, reservation, path)


def _reserve(tx: Transaction, place: Subnet, reservation: str, path: Path) -> None:
    try:
        place.take(tx, reservation, None, path)
    except Conflict:
        message = f"too few addresses are free in {place.cidr}: a pair takes two beside its VIPs"
        raise Conflict(message, subject=f"network {place.network.id}", path=path) from None


def _no_room(load_balancer: Record, place: Subnet, needed: int, free: int) -> Conflict:
    name = place.network.spec.get("name") or place.network.id
    addresses = "1 free address" if needed == 1 else f"{needed} free addresses"
    return Conflict(
        f"a replacement needs {addresses} in network {name} ({place.cidr}) while both are there; it has {free or 'none'}",
        subject=f"load balancer {load_balancer.spec.get('name') or load_balancer.id}",
        hint="delete a host or a load balancer of that network, then again",
    )


def _reservations(load_balancer_id: str) -> tuple[str, str]:
    """The holders of the addresses that the amphorae of a pair will have."""
    return f"{load_balancer_id}/first", f"{load_balancer_id}/second"


def _own(load_balancer_id: str, amphora_id: str) -> str:
    """The holder of an amphora's own addresses (``ports.LocalAllocation.own``)."""
    return f"{load_balancer_id}/{amphora_id}"


def _without_vip(place: Record, spec: Mapping[str, Any]) -> list[Subnet]:
    taken = {spec["vip_subnet_id"], *(vip["subnet_id"] for vip in spec.get("additional_vips") or ())}
    return [one for one in subnets(place) if one.id not in taken]


def _reach(load_balancer_id: str) -> str:
    """The holder of the addresses that are no VIPs."""
    return f"{load_balancer_id}/reach"


def _addresses(load_balancer: Record) -> list[str]:
    """Every VIP; the first is the one that it was made with."""
    more = load_balancer.spec.get("additional_vips") or ()
    return [load_balancer.spec["vip_address"], *(vip["ip_address"] for vip in more)]


def _loopback(cidr: IPv4Network) -> Iterator[IPv4Address]:
    """127.88.0.1 …, without those that look like a network's or a broadcast address."""
    return (address for address in cidr.hosts() if address.packed[3] not in (0, 255))
