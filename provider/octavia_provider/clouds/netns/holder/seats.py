# SPDX-License-Identifier: Apache-2.0
"""What one amphora has of each load balancer that shares it, and the interfaces that follow from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .fabric import Interface, mac_of

Vip = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Seat:
    """One load balancer's place. ``addresses``: where it binds for publishing, and where it says whether it works."""

    id: str
    load_balancer_id: str
    addresses: tuple[str, str]
    vips: Sequence[Vip]


def interfaces(vips: Sequence[Vip]) -> list[Interface]:
    """One for each network that there is a VIP on, in order; the default routes go by the first VIPs' gateways."""
    return [_interface(n, network_id, here) for n, (network_id, here) in enumerate(_networks(vips).items(), start=1)]


def shared_interfaces(owner: str, vips: Sequence[Vip], before: Sequence[Interface]) -> list[Interface]:
    """The same where load balancers come and go: one that there was ``before`` keeps its name, and its MAC address is no VIP's."""
    numbers = {one.network_id: int(one.name.removeprefix("eth")) for one in before}
    networks = _networks(vips)
    taken = {number for network_id, number in numbers.items() if network_id in networks} | {0}
    found = []
    for network_id, here in networks.items():
        if network_id not in numbers:
            numbers[network_id] = next(n for n in range(1, len(taken) + 1) if n not in taken)
            taken.add(numbers[network_id])
        found.append(_interface(numbers[network_id], network_id, here, mac_of(owner, network_id)))
    return sorted(found, key=lambda one: numbers[one.network_id])


def _networks(vips: Sequence[Vip]) -> dict[str, list[Vip]]:
    networks: dict[str, list[Vip]] = {}
    for vip in vips:
        networks.setdefault(str(vip["network_id"]), []).append(vip)
    return networks


def _interface(number: int, network_id: str, vips: Sequence[Vip], mac: str = "") -> Interface:
    return Interface(
        f"eth{number}",
        network_id,
        tuple(f"{v['address']}/{v['prefix']}" for v in vips if not v["shared"]),
        tuple(dict.fromkeys(str(v["gateway"]) for v in vips if v["gateway"])),
        tuple(_shared(v["address"]) for v in vips if v["shared"]),
        mac,
    )


def _shared(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def carried(vips: Sequence[Vip]) -> dict[str, list[str]]:
    """Their addresses, as they are told."""
    return {
        "vips": [vip["address"] for vip in vips if not vip["shared"]],
        "shared": [vip["address"] for vip in vips if vip["shared"]],
    }
