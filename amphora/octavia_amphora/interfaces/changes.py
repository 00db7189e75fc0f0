# SPDX-License-Identifier: Apache-2.0
"""From the description of interfaces, and what the kernel has, to what ``ip -batch`` is told. Pure.

Who answers from an address leaves by its interface: a rule for each address leads to a routing table of its interface, with the subnets and
the router of that interface alone. So a client in a subnet that another interface is in gets its answer the way its request came. What has no
address yet (connections to members) goes by the main table, by the first interface that has a router.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from octavia_amphora.wire.interfaces import Address, Interface

from .links import Held, Link

RULE = 100
"""Preference of our rules (ip-rule(8)): after what is for one of our own addresses, and what VRRP marks (``vrrp.handover``)."""
TABLES = 1000
"""The routing table of an interface: this, and its index."""


def united(claims: Iterable[Sequence[Interface]]) -> tuple[Interface, ...]:
    """What load balancers want together: each interface once, in order."""
    found: dict[str, Interface] = {}
    for interfaces in claims:
        for one in interfaces:
            known = found.get(one.mac, one)
            addresses = tuple(dict.fromkeys((*known.addresses, *one.addresses)))
            found[one.mac] = Interface(one.mac, one.mtu, addresses)
    return tuple(found.values())


def missing(wanted: Iterable[Interface], links: Iterable[Link]) -> list[str]:
    """MAC addresses that no interface has."""
    there = {link.mac for link in links}
    return [one.mac for one in wanted if one.mac not in there]


def of_links(wanted: Sequence[Interface], links: Sequence[Link], management: str) -> tuple[list[str], list[str]]:
    """MTU and addresses: what is added, and then what is taken away. ``management``: an address; the interface that has it is left alone.
    All others are ours."""
    described = {one.mac: one for one in wanted}
    shared = {_ip(address) for one in wanted for address in one.addresses if address.shared}
    added, gone = [], []
    for link in ours(links, management):
        own: list[Address] = []
        if link.loopback:
            lacking = shared - {held.address for held in link.held}
            added += [_replace(f"{one}/{_most(one)}", link.name, shared=True) for one in sorted(lacking)]
        elif interface := described.get(link.mac):
            own = _own(interface)
            added += _brought_up(link, interface, own)
        stale = (held for held in link.held if not _stays(link, held, own, shared))
        gone += [f"address del {held.text} dev {link.name}" for held in stale]
    return added, gone


def new_addresses(wanted: Iterable[Interface], links: Iterable[Link]) -> dict[str, list[str]]:
    """Name of an interface → its own addresses that it has not had yet, which neighbours are to be told of."""
    there = _pairs(wanted, links)
    found = {
        link.name: [one.address for one in _own(interface) if _ip(one) not in {held.address for held in link.held}]
        for interface, link in there
    }
    return {name: addresses for name, addresses in found.items() if addresses}


def ours(links: Iterable[Link], management: str) -> list[Link]:
    """All but that of the management network."""
    return [link for link in links if management not in {held.address for held in link.held}]


def _own(interface: Interface) -> list[Address]:
    return [one for one in interface.addresses if not one.shared]


def _brought_up(link: Link, interface: Interface, own: Sequence[Address]) -> Iterator[str]:
    if link.mtu != interface.mtu:
        yield f"link set {link.name} mtu {interface.mtu}"
    lasting = {held.text for held in link.held if held.lasting}
    yield from (_replace(one.address, link.name) for one in own if one.address not in lasting)
    if not link.up:
        yield f"link set {link.name} up"


def _replace(address: str, name: str, *, shared: bool = False) -> str:
    """One of IPv6 works at once: Neutron gives it to nobody else, so nothing has to be waited for (RFC 4862, section 5.4). A shared one is
    deprecated: nothing that this amphora begins itself may come from what another one may have."""
    more = ("" if ":" not in address else " nodad") + (" preferred_lft 0" if shared and ":" in address else "")
    return f"address replace {address} dev {name}{more}"


def _stays(link: Link, held: Held, own: Sequence[Address], shared: Collection[str]) -> bool:
    """What is wanted, and what VRRP has put there: a shared address, with the longest prefix. IPv6 has no second entry of an address with
    another prefix, so VRRP's may stand for what is wanted."""
    if held.address in shared and held.prefix == _most(held.address):
        return True
    return not link.loopback and any(
        held.address == _ip(one) and (":" in held.address or held.text == one.address) for one in own
    )


def of_rules(
    wanted: Sequence[Interface], links: Sequence[Link], there: Iterable[Mapping[str, Any]], version: int
) -> list[str]:
    """``there``: ``ip -j rule show`` of that version."""
    found = {
        (_ip(address), TABLES + link.index)
        for interface, link in _pairs(wanted, links)
        for address in interface.addresses
        if _version(address.address) == version
    }
    known = {
        (str(rule["src"]), int(rule["table"]))
        for rule in there
        if rule.get("priority") == RULE and str(rule["table"]).isdigit()
    }
    return [
        *(f"rule add pref {RULE} from {address} lookup {table}" for address, table in sorted(found - known)),
        *(f"rule del pref {RULE} from {address} lookup {table}" for address, table in sorted(known - found)),
    ]


def of_routes(
    wanted: Sequence[Interface], links: Sequence[Link], version: int, management: Interface | None
) -> list[str]:
    """Subnets and router in the table of each interface; and in the main one the router of the first that is not ``management``. A router
    may have an address of another subnet (``onlink``)."""
    lines, main = [], ""
    for interface, link in _pairs(wanted, links):
        here = [one for one in interface.addresses if _version(one.address) == version]
        subnets = dict.fromkeys(str(ipaddress.ip_interface(one.address).network) for one in here)
        lines += [f"route replace {subnet} dev {link.name} table {TABLES + link.index}" for subnet in subnets]
        if router := next((one.gateway for one in here if one.gateway), None):
            lines.append(f"route replace default via {router} dev {link.name} onlink table {TABLES + link.index}")
            if not main and interface != management:
                main = f"route replace default via {router} dev {link.name} onlink"
    return [*lines, main] if main else lines


def _pairs(wanted: Iterable[Interface], links: Iterable[Link]) -> list[tuple[Interface, Link]]:
    there = {link.mac: link for link in links if not link.loopback}
    return [(one, there[one.mac]) for one in wanted if one.mac in there]


def _ip(address: Address) -> str:
    return str(ipaddress.ip_interface(address.address).ip)


def _most(address: str) -> int:
    return 128 if ":" in address else 32


def _version(address: str) -> int:
    return 6 if ":" in address else 4
