# SPDX-License-Identifier: Apache-2.0
"""The fabric: a bridge for each network, whose gateway is the holder's own namespace, and the ports on them."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import kernel
from .errors import Problem

MANAGEMENT = "management"
HOSTS = 100
"""The routing table of where no host may go: to another one. It is looked up for what hosts send alone."""
Cidr = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of an amphora or host: ``addresses`` with prefix (``10.1.0.5/24``), on the bridge of ``network_id``.

    ``gateways``: of IPv4, of IPv6; each at most once. ``shared``: addresses that another program gives the interface and takes
    from it (``10.1.0.9/32``). They are on the loopback all the time, where a server can listen on them and nobody is told of them.
    ``mac``: where it is not made of the first address, which another interface may have later.
    """

    name: str
    network_id: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    mac: str = ""


def short(kind: str, identity: str) -> str:
    """A name of 14 characters for the kernel (at most 15, IFNAMSIZ): the same for the same identity."""
    return f"{kind}{hashlib.blake2s(identity.encode(), digest_size=6).hexdigest()}"


def mac(address: str) -> str:
    """A locally administered MAC address made of an IP address: what is built anew needs no ARP entry to expire."""
    ip = ipaddress.ip_address(address)
    return ":".join(f"{byte:02x}" for byte in (0x02, 0xFA if ip.version == 4 else 0xFB, *ip.packed[-4:]))


def mac_of(owner: str, network_id: str) -> str:
    """One made of who has the interface, and on what network."""
    digest = hashlib.blake2s(f"{owner} {network_id}".encode(), digest_size=4).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, 0xFC, *digest))


class Fabric:
    """Bridges of this process's network namespace. The kernel is asked what there is; ``cidrs`` says what was meant."""

    def __init__(self, management: str) -> None:
        self.management = ipaddress.IPv4Network(management)
        self.cidrs: dict[str, tuple[Cidr, ...]] = {}
        self._parted: set[str] = set()
        self._plugged: dict[str, str] = {}  # port → the network whose bridge it belongs to

    @property
    def gateway(self) -> str:
        """The fabric's own address on the management network."""
        return str(self.management[1])

    def build(self) -> None:
        """The loopback and the management network, which is reached from here alone: nothing is forwarded to or from it.

        Our own address on it, where heartbeats go, is reached from its bridge alone: so its rules come before that which
        takes whatever is for one of our addresses (ip-rule(8): the table ``local``, first of all by default).
        """
        kernel.ip([
            "link set lo up",
            f"rule add pref 10 to {self.management} iif lo lookup local",  # what this namespace sends itself
            f"rule add pref 11 to {self.management} iif lo lookup main",
            f"rule add pref 12 to {self.management} iif {bridge(MANAGEMENT)} lookup local",
            f"rule add pref 13 to {self.management} unreachable",
            "rule add pref 50 lookup local",
            "rule del pref 0",
        ])  # fmt: skip
        self.ensure_management()

    def ensure_management(self) -> None:
        """The management network exists."""
        if not self.exists(MANAGEMENT):
            self._make(MANAGEMENT, (self.management,))
            kernel.sysctl(f"net.ipv4.conf.{bridge(MANAGEMENT)}.forwarding", "0")

    def _make(self, network_id: str, cidrs: tuple[Cidr, ...]) -> None:
        """Make a bridge, and put ports that an earlier one had on it again."""
        there = names()
        ports = [port for port, belongs in self._plugged.items() if belongs == network_id and port in there]
        kernel.ip([*_bridge(network_id, cidrs), *(line for port in ports for line in _member(port, network_id))])

    def ensure_network(self, network_id: str, cidrs: tuple[Cidr, ...]) -> None:
        """The network exists with these addresses. Refused where it overlaps another one."""
        if self.cidrs.get(network_id) == cidrs and self.exists(network_id):
            return
        others = [(other, taken) for other, all_ in self.cidrs.items() for taken in all_ if other != network_id]
        for other, taken in ((MANAGEMENT, self.management), *others):
            if wanted := next((cidr for cidr in cidrs if cidr.version == taken.version and cidr.overlaps(taken)), None):
                raise Problem(
                    f"{wanted} overlaps {taken} of network {other}", subject=f"network {network_id}",
                    hint="choose other addresses for one of them",
                )  # fmt: skip
        self.delete_network(network_id)
        self._make(network_id, cidrs)
        self.cidrs[network_id] = cidrs

    def delete_network(self, network_id: str) -> None:
        """The network does not exist."""
        self.cidrs.pop(network_id, None)
        if self.exists(network_id):
            _delete({bridge(network_id)})

    def exists(self, network_id: str) -> bool:
        """Whether its bridge is there."""
        return bridge(network_id) in names()

    def networks(self) -> list[str]:
        """Ids of the networks whose bridges are there."""
        there = names()
        return [network_id for network_id in self.cidrs if bridge(network_id) in there]

    def plug(self, owner: str, pid: int, interfaces: Sequence[Interface]) -> None:
        """Connect the interfaces of a process's network namespace to their bridges."""
        there = names()
        for interface in interfaces:
            if bridge(interface.network_id) not in there:
                raise Problem(f"network {interface.network_id} does not exist", kind="transient", subject=owner)
        kernel.ip(_ports(owner, pid, interfaces))
        self._plugged.update({port_name(owner, i.name): i.network_id for i in interfaces})

    def part(self, addresses: Iterable[str]) -> None:
        """Nothing is forwarded from these hosts to hosts of other networks; amphorae reach all, and are reached."""
        for address in addresses:
            if address not in self._parted:
                kernel.ip(_parting("add", address), family=_version(address))
                self._parted.add(address)

    def join(self, addresses: Iterable[str]) -> None:
        """There are no hosts with these addresses any more."""
        for address in addresses:
            if address in self._parted:
                self._parted.discard(address)
                kernel.ip(_parting("del", address), family=_version(address), force=True)

    def unplug(self, owner: str, interfaces: Iterable[Interface]) -> None:
        """Take the ports away now: the kernel would, but later, when the namespace is gone."""
        ports = {port_name(owner, interface.name) for interface in interfaces}
        for port in ports:
            self._plugged.pop(port, None)
        _delete(ports)

    def plugged(self, owner: str, interfaces: Iterable[Interface], there: set[str] | None = None) -> bool:
        """Whether all ports and their bridges are there; ``there`` are all ``names``, where they were read already."""
        there = names() if there is None else there
        return all(port_name(owner, i.name) in there and bridge(i.network_id) in there for i in interfaces)


def names() -> set[str]:
    """The names of all interfaces of this process's network namespace."""
    return {name for _, name in socket.if_nameindex()}


def _delete(links: set[str]) -> None:
    """Delete those that are there. The kernel may be deleting them too, where their namespace has just ended."""
    if there := links & names():
        try:
            kernel.ip((f"link del {link}" for link in there), force=True)
        except Problem:
            if links & names():
                raise


def bridge(network_id: str) -> str:
    """The name of a network's bridge."""
    return short("bn", network_id)


def port_name(owner: str, interface: str) -> str:
    """The name of the fabric's end of an interface."""
    return short("po", f"{owner} {interface}")


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _parting(do: str, address: str) -> list[str]:
    return [f"rule {do} pref 100 from {address} lookup {HOSTS}", f"route {do} unreachable {address} table {HOSTS}"]


def _bridge(network_id: str, cidrs: tuple[Cidr, ...]) -> list[str]:
    # The address is set: a bridge without one takes the lowest of its ports', and neighbours lose it when that port goes.
    name = bridge(network_id)
    return [
        f"link add name {name} address {mac(str(cidrs[0][1]))} type bridge",
        f"link set {name} alias network:{network_id}",
        *(_add(f"{cidr[1]}/{cidr.prefixlen}", name) for cidr in cidrs),
        f"link set {name} up",
    ]


def _ports(owner: str, pid: int, interfaces: Sequence[Interface]) -> list[str]:
    lines = []
    for interface in interfaces:
        port = port_name(owner, interface.name)
        address = interface.mac or mac(interface.addresses[0].split("/")[0])
        lines += [
            f"link add {port} type veth peer name {interface.name} address {address} netns {pid}",
            f"link set {port} alias port:{owner.replace(' ', ':')}:{interface.name}",
            *_member(port, interface.network_id),
        ]
    return lines


def _member(port: str, network_id: str) -> list[str]:
    """Amphorae have nothing to say to each other on the management network: each reaches us there, and us alone."""
    lines = [f"link set {port} master {bridge(network_id)} up"]
    return [*lines, f"link set {port} type bridge_slave isolated on"] if network_id == MANAGEMENT else lines


def inside(interfaces: Sequence[Interface]) -> list[str]:
    """What ``ip -batch`` is told inside the namespace: addresses before the links go up, so that they are announced."""
    lines = ["link set lo up"]
    for interface in interfaces:
        lines += [_add(address, interface.name) for address in interface.addresses]
        lines += [_add_shared(address) for address in interface.shared]
        lines.append(f"link set {interface.name} up")
    return lines + _routes(interfaces)


def readdressed(old: Sequence[Interface], new: Sequence[Interface]) -> tuple[list[str], list[str]]:
    """The same for interfaces that are up: what is added, and then what is taken away. One that is new is brought up; of one that
    goes, which is unplugged next, the loopback keeps nothing.

    An IPv6 address that becomes a shared one is taken over with another prefix by who shares it: it may have gone by itself.
    """
    before, added, removed = {one.name: one for one in old}, [], []
    for now in new:
        was = before.pop(now.name, None)
        added += [_add_shared(one) for one in now.shared if was is None or one not in was.shared]
        added += [_add(one, now.name) for one in now.addresses if was is None or one not in was.addresses]
        if was is None:
            added.append(f"link set {now.name} up")
            continue
        removed += [f"addr del {one} dev {now.name}" for one in was.addresses if one not in now.addresses]
        removed += [f"addr del {one} dev lo" for one in was.shared if one not in now.shared]
    removed += [f"addr del {one} dev lo" for gone in before.values() for one in gone.shared]
    return added + _routes(new), removed


def _add(address: str, interface: str) -> str:
    """An IPv6 address works at once: nobody else can have it, so nothing has to be waited for (RFC 4862, section 5.4)."""
    return f"addr replace {address} dev {interface}{' nodad' if ':' in address else ''}"


def _add_shared(address: str) -> str:
    """Deprecated, where it is of IPv6: nothing that this amphora begins itself may come from an address that another one may have."""
    return f"{_add(address, 'lo')}{' preferred_lft 0' if ':' in address else ''}"


def _routes(interfaces: Sequence[Interface]) -> list[str]:
    """A default route of each family, by the first interface that has a gateway of it."""
    routes: dict[bool, str] = {}
    for interface in interfaces:
        for gateway in interface.gateways:
            routes.setdefault(":" in gateway, f"route replace default via {gateway} dev {interface.name}")
    return list(routes.values())
