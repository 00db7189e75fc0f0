# SPDX-License-Identifier: Apache-2.0
"""A socket for each control plane that is told, so that one that cannot be reached delays no other.

A datagram to an address that does not resolve waits in its socket's send buffer: in a shared one it would take the room of
all others.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Collection, Sequence

from .receivers import Address

log = logging.getLogger("octavia_amphora.heartbeat")


class HeartbeatSockets:
    """Opened when they are needed, closed when nobody is told there any more. ``source``: the address that those of its family are
    bound to; empty: the kernel chooses."""

    def __init__(self, source: str = "") -> None:
        self._source = source
        self._sockets: dict[Address, socket.socket] = {}
        self._warned: set[Address] = set()

    def send(self, addresses: Collection[Address], parts: Sequence[bytes]) -> None:
        """Send one heartbeat to each, without waiting."""
        for address in self._sockets.keys() - addresses:
            self._sockets.pop(address).close()
        self._warned.intersection_update(addresses)
        for address in addresses:
            self._send(address, parts)

    def _send(self, address: Address, parts: Sequence[bytes]) -> None:
        family, where = address
        try:
            if address not in self._sockets:
                self._sockets[address] = self._opened(family)
            for part in parts:
                self._sockets[address].sendto(part, where)
            self._warned.discard(address)
        except OSError as error:
            if address not in self._warned:  # once, not at each beat
                log.warning("heartbeat to %s port %d: %s", *where, error)
                self._warned.add(address)

    def _opened(self, family: int) -> socket.socket:
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if self._source and (":" in self._source) == (family == socket.AF_INET6):
            try:
                opened.bind((self._source, 0))
            except OSError:
                opened.close()
                raise
        return opened

    def close(self) -> None:
        """Close all."""
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()
