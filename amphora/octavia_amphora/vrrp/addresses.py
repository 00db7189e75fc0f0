# SPDX-License-Identifier: Apache-2.0
"""The addresses of the amphora's interfaces, by ``ip``: which interface has one, and which shared ones are left of a keepalived
that has gone."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from octavia_amphora.nftables.kernel import KernelError, run
from octavia_amphora.wire.vrrp import Vrrp

TIMEOUT_SECONDS = 10.0
_SHARED = re.compile(r"^\s*(\S+/\d+) dev \$(\w+)", re.MULTILINE)
_ROUTER = re.compile(r"^\s*virtual_router_id (\d+)", re.MULTILINE)


class VrrpError(Exception):
    """VRRP cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """An address that an interface has. ``lasting``: it may be used for new connections for ever (IPv6 has other ones too)."""

    address: str
    prefix: int
    interface: str
    lasting: bool


def parse(text: str) -> list[Held]:
    """``ip -j address show``; the loopback's are left out."""
    return [
        Held(
            str(ipaddress.ip_address(one["local"])), int(one["prefixlen"]), str(link["ifname"]),
            int(one.get("preferred_life_time", 1)) != 0,
        )
        for link in json.loads(text)
        if link.get("ifname") not in (None, "lo")
        for one in link.get("addr_info", ())
        if "local" in one
    ]  # fmt: skip


async def held() -> list[Held]:
    """All addresses now."""
    return parse(await ip("-j", "address", "show"))


def links(vrrp: Vrrp, there: Iterable[Held]) -> dict[str, str]:
    """Name in keepalived's text → interface; ``VrrpError`` names an address that no interface has."""
    interfaces = {one.address: one.interface for one in there}
    missing = sorted(address for address in vrrp.interfaces.values() if address not in interfaces)
    if missing:
        raise VrrpError(f"no interface of this amphora has {' and '.join(missing)}")
    return {name: interfaces[address] for name, address in vrrp.interfaces.items()}


async def remove(vips: Collection[str], *, lasting: bool = True) -> None:
    """No interface has these addresses (with their prefixes). Without ``lasting``, those of IPv6 that may be used for ever stay:
    somebody else has made them what they are."""
    wanted = {_pair(vip) for vip in vips}
    await _delete(
        h
        for h in await held()
        if (h.address, h.prefix) in wanted and (lasting or ":" not in h.address or not h.lasting)
    )


async def keep(vips: Collection[str]) -> None:
    """Those of IPv6 are the amphora's own from now on: there is no second entry of an address with another prefix."""
    wanted = {_pair(vip) for vip in vips}
    batch = [
        f"address change {one.address}/{one.prefix} dev {one.interface} preferred_lft forever valid_lft forever"
        for one in await held()
        if ":" in one.address and not one.lasting and (one.address, one.prefix) in wanted
    ]
    if batch:
        await ip("-batch", "-", text="\n".join(batch) + "\n")


def shared_on(vrrp: Vrrp, links: Mapping[str, str]) -> dict[str, str]:
    """Shared address, with its prefix → the interface that keepalived gives it."""
    return {vip: links[name] for vip, name in _SHARED.findall(vrrp.text) if name in links}


def told_of(text: str) -> tuple[tuple[str, ...], int]:
    """The shared addresses and the router of a ``keepalived.conf``, which an earlier agent has left."""
    router = _ROUTER.search(text)
    return tuple(vip for vip, _ in _SHARED.findall(text)), int(router[1]) if router else 0


async def settle(wanted: Mapping[str, str]) -> None:
    """keepalived has these addresses on these interfaces. One of IPv6 that was there with another prefix is what keepalived
    did not replace: do it.

    Between both commands the address is on the loopback still: packets for it are taken.
    """
    there, batch = await held(), []
    for vip, interface in wanted.items():
        address, prefix = _pair(vip)
        if ":" in address and not any((one.address, one.prefix) == (address, prefix) for one in there):
            others = [one for one in there if one.address == address]
            batch += [f"address del {address}/{one.prefix} dev {one.interface}" for one in others]
            batch.append(f"address add {address}/{prefix} dev {interface} preferred_lft 0 nodad")
    if batch:
        await ip("-batch", "-", text="\n".join(batch) + "\n")


async def _delete(these: Iterable[Held]) -> None:
    if batch := [f"address del {one.address}/{one.prefix} dev {one.interface}" for one in these]:
        await ip(
            "-force", "-batch", "-", text="\n".join(batch) + "\n", good=(0, 1)
        )  # one that has just gone is no failure


def _pair(vip: str) -> tuple[str, int]:
    found = ipaddress.ip_interface(vip)
    return str(found.ip), found.network.prefixlen


async def ip(*words: str, text: str = "", good: Collection[int] = (0,)) -> str:
    """Run ``ip``; what it says."""
    try:
        return await asyncio.to_thread(run, ["ip", *words], text, good=good, seconds=TIMEOUT_SECONDS)
    except KernelError as error:
        raise VrrpError(str(error)) from error
