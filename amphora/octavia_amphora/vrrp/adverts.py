# SPDX-License-Identifier: Apache-2.0
"""Waiting for another amphora's advert (RFC 9568, section 5.2): the sign that it has taken the addresses over."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Collection

PROTOCOL = 112
_VERSION_AND_TYPE = 0x31  # version 3, an advert


def is_of_an_owner(packet: bytes, router_id: int) -> bool:
    """Whether a VRRP packet (without its IP header) is an advert of that router, and of one that does not give up (priority 0)."""
    return len(packet) >= 8 and packet[0] == _VERSION_AND_TYPE and packet[1] == router_id and packet[2] != 0


async def wait_for_owner(peers: Collection[str], router_id: int, timeout: float) -> bool:
    """Return when one of the peers says that it owns the addresses; False when none did in time."""
    if not peers:
        return False
    family = socket.AF_INET6 if ":" in next(iter(peers)) else socket.AF_INET
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, PROTOCOL) as opened:
        loop.add_reader(opened, _reader(opened, {ipaddress.ip_address(peer) for peer in peers}, router_id, heard.set))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await heard.wait()
        finally:
            loop.remove_reader(opened)
    return heard.is_set()


def _reader(
    opened: socket.socket,
    peers: set[ipaddress.IPv4Address | ipaddress.IPv6Address],
    router_id: int,
    heard: Callable[[], None],
) -> Callable[[], None]:
    def read() -> None:
        packet, address = opened.recvfrom(256)
        if opened.family == socket.AF_INET:  # with its header (ip(7))
            packet = packet[(packet[0] & 15) * 4 :]
        if ipaddress.ip_address(address[0].partition("%")[0]) in peers and is_of_an_owner(packet, router_id):
            heard()

    return read
