# SPDX-License-Identifier: Apache-2.0
"""The interfaces that there are, by ``ip``, and word from the kernel when there are others (rtnetlink(7))."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LINKS, _CHANGED = 1, 1 << 16
_RECEIVE_BUFFER = 1 << 20
_FOREVER = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Held:
    """An address that an interface has. ``lasting``: for ever, and not only preferred for a while (IPv6 has other ones too)."""

    address: str
    prefix: int
    lasting: bool = True

    @property
    def text(self) -> str:
        """As ``ip`` takes it."""
        return f"{self.address}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. ``held``: its addresses that others can reach; those that a router announced are not ours to change."""

    index: int
    name: str
    mac: str
    mtu: int = 1500
    up: bool = True
    loopback: bool = False
    held: tuple[Held, ...] = ()

    @property
    def identity(self) -> tuple[int, str, str, bool]:
        """By which a change of interfaces is known, as opposed to one of addresses."""
        return self.index, self.name, self.mac, self.up


def parse(text: str) -> list[Link]:
    """``ip -j address show``."""
    return [
        Link(
            one["ifindex"], one["ifname"], one.get("address", ""), one["mtu"], "UP" in one["flags"],
            "LOOPBACK" in one["flags"], tuple(_held(one.get("addr_info", ()))),
        )
        for one in json.loads(text)
        if "ifindex" in one
    ]  # fmt: skip


def _held(shown: Any) -> Iterator[Held]:
    for one in shown:
        if one.get("scope") == "global" and "local" in one and not one.get("dynamic"):
            lasting = one.get("preferred_life_time", _FOREVER) == _FOREVER
            yield Held(str(ipaddress.ip_address(one["local"])), one["prefixlen"], lasting)


class LinkEvents:
    """Tells that some interface has come, gone or changed; which one is for who waits to look at."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.bind((0, _LINKS))

    async def wait(self) -> None:
        """Return after the next one, or one that nobody has waited for yet."""
        loop, word = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, word.set)
        try:
            await word.wait()
        finally:
            loop.remove_reader(self._socket)
        self._read()

    def _read(self) -> None:
        """All that there is. Where some was lost (ENOBUFS), there was a change all the same."""
        while True:
            try:
                self._socket.recv(_CHANGED)
            except BlockingIOError:
                return
            except OSError:
                continue

    def close(self) -> None:
        """Close it."""
        self._socket.close()
