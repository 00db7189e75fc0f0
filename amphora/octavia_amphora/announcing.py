# SPDX-License-Identifier: Apache-2.0
"""Telling neighbours that an address is here now. The kernel does so when an interface goes up, but not for an address that comes
later (nor for one of IPv6 that is added without looking for duplicates)."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable

_ARP = 0x0806
_BROADCAST = b"\xff" * 6
_REQUEST = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
_ADVERTISEMENT = struct.pack(
    "!BBHI", 136, 0, 0, 0x20000000
)  # it overrides what neighbours know; the kernel puts the sum in
_ALL_NODES = "ff02::1"


def announce(interface: str, addresses: Iterable[str]) -> None:
    """An ARP announcement (RFC 5227, section 2.3), or an unsolicited neighbour advertisement (RFC 4861, section 7.2.6), of each."""
    found = [ipaddress.ip_interface(one).ip for one in addresses]
    if not found:
        return
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as opened:
        opened.bind((interface, _ARP))
        mac = opened.getsockname()[4]
        for address in found:
            if address.version == 4:
                ethernet = _BROADCAST + mac + struct.pack("!H", _ARP)
                opened.send(ethernet + _REQUEST + mac + address.packed + bytes(6) + address.packed)
    six = [address.packed for address in found if address.version == 6]
    if six:
        _advertise(socket.if_nametoindex(interface), mac, six)


def _advertise(interface: int, mac: bytes, addresses: Iterable[bytes]) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as opened:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        for address in addresses:
            opened.sendto(_ADVERTISEMENT + address + b"\2\1" + mac, (_ALL_NODES, 0, 0, interface))
