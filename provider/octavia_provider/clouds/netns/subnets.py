# SPDX-License-Identifier: Apache-2.0
"""The subnets of the embedded cloud's networks, and the addresses that are taken in them.

A network has a subnet of IPv4 with the network's own id, and one of IPv6 where it has ``ipv6_cidr``. The first address of
each is its gateway. An address is taken in the store, in a pool with the subnet's id.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from octavia_provider.model.errors import Conflict, Invalid, Path, Violation
from octavia_provider.model.local import ipv6_subnet_id
from octavia_provider.ports import Record, Transaction, Vip

Cidr = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Subnet:
    """One subnet of a network."""

    id: str
    network: Record
    cidr: Cidr

    @property
    def gateway(self) -> str:
        """Its router: the fabric."""
        return str(self.cidr[1])

    def vip(self, address: str, *, served: bool = True) -> Vip:
        """An address of it, as an amphora carries it."""
        network_id, prefix = self.network.id, self.cidr.prefixlen
        return Vip(address=address, network_id=network_id, prefix=prefix, gateway=self.gateway, served=served)

    def take(self, tx: Transaction, holder: str, given: str | None, path: Path) -> str:
        """The address asked for, else the one that the holder has, else the next that is free."""
        if given is None:
            taken = tx.take_address(self.id, holder, self._hosts())
            if taken is None:
                raise Conflict(f"no address is free in {self.cidr}", subject=f"network {self.network.id}", path=path)
            return taken
        if message := self._unfit(given):
            raise Invalid([Violation(path, message)])
        if (self.id, given) in tx.addresses(holder) or tx.take_address(self.id, holder, [given]) == given:
            return given
        # The holder has another one, which it carries until it is given back.
        if tx.take_address(self.id, f"{holder}/{_tag(given)}", [given]) != given:
            raise Conflict(f"{given} is taken on network {self.network.spec.get('name') or self.network.id}", path=path)
        return given

    def free(self, tx: Transaction, holder: str, at_most: int) -> int:
        """How many addresses are free, as far as that matters. In a write transaction: they are taken and given back."""
        taken = (tx.take_address(self.id, f"{holder}/{number}", self._hosts()) for number in range(at_most))
        found = sum(1 for _ in takewhile(lambda address: address is not None, taken))
        tx.free_addresses(holder)
        return found

    def _unfit(self, given: str) -> str | None:
        address: Any = ipaddress.ip_address(given)
        if address not in self.cidr:
            return f"{given} is not in {self.cidr}, the addresses of its network"
        if address == self.cidr[1]:
            return f"{given} is the gateway of {self.cidr}"
        if address in (self.cidr[0], self.cidr[-1]):
            return f"{given} is the network's or the broadcast address of {self.cidr}"
        return None

    def _hosts(self) -> Iterator[str]:
        return map(str, islice(self.cidr.hosts(), 1, None))  # the first is the gateway


def _tag(address: str) -> str:
    return hashlib.blake2s(address.encode(), digest_size=8).hexdigest()


def network(tx: Transaction, id_: str, path: Path, *, alive: bool = True) -> Record:
    """The network of this id; a violation at ``path`` when there is none."""
    record = tx.get("local_network", id_)
    if record is None or (alive and record.deleting):
        gone = "is being deleted" if record else "does not exist"
        raise Invalid([Violation(path, f"network {id_} {gone}; the embedded cloud needs a local.Network here")])
    return record


def subnets(network: Record) -> tuple[Subnet, ...]:
    """The subnets of a network; that of IPv4 is the first."""
    found = [Subnet(network.id, network, ipaddress.IPv4Network(network.spec["cidr"]))]
    if ipv6 := network.spec.get("ipv6_cidr"):
        found.append(Subnet(ipv6_subnet_id(network.id), network, ipaddress.IPv6Network(ipv6)))
    return tuple(found)


def subnet(tx: Transaction, id_: str, path: Path) -> Subnet:
    """The subnet of this id; a violation at ``path`` when there is none."""
    own = tx.get("local_network", id_)
    networks = [own] if own else tx.find("local_network")
    found = next((s for n in networks if not n.deleting for s in subnets(n) if s.id == id_), None)
    if found is None:
        message = f"subnet {id_} does not exist; the embedded cloud needs a subnet of a local.Network here"
        raise Invalid([Violation(path, message)])
    return found


def containing(network: Record, address: str | None) -> Subnet:
    """The subnet of a network that an address belongs to by its family, else that of IPv4."""
    there = subnets(network)
    family = ipaddress.ip_address(address).version if address else 4
    return next((s for s in there if s.cidr.version == family), there[0])
