# SPDX-License-Identifier: Apache-2.0
"""The relay of a published UDP listener: ``datagrams.py DESCRIPTOR ADDRESS PORT [CIDR…]``, run by path, with no package.

Each client has a socket of its own towards the listener, so that its flow is balanced by itself and answers find back.
The listener sees this relay's address (UDP has no PROXY protocol), so who may come in is judged here.
"""

from __future__ import annotations

import ipaddress
import os
import selectors
import socket
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence

IDLE_SECONDS = 120.0
"""As long as the kernel remembers a flow that was answered (nf_conntrack_udp_timeout_stream)."""
CLIENTS = 4096
LONGEST = 65_535
BURST = 64
"""Datagrams taken from one socket before the others have their turn."""

Client = tuple[str, int]


def command(descriptor: int, address: str, port: int, allowed: Sequence[str]) -> list[str]:
    """How the holder starts it: isolated (``-I -S``), which takes a few milliseconds."""
    return [sys.executable, "-I", "-S", os.path.realpath(__file__), str(descriptor), address, str(port), *allowed]


class Relay:
    """Passes datagrams on, until it is ended."""

    def __init__(self, listening: socket.socket, target: tuple[str, int], allowed: Sequence[str]) -> None:
        self._listening = listening
        self._listening.setblocking(False)
        self._family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._target = target
        self._allowed = [ipaddress.ip_network(cidr) for cidr in allowed]
        self._clients: OrderedDict[Client, tuple[socket.socket, float]] = OrderedDict()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ)

    def run(self) -> None:
        """Never returns."""
        while True:
            for key, _ in self._selector.select(IDLE_SECONDS if self._clients else None):
                if key.fileobj is self._listening:
                    self._inwards()
                else:
                    self._outwards(key.data)
            self._forget(time.monotonic() - IDLE_SECONDS)

    def _inwards(self) -> None:
        for _ in range(BURST):
            try:
                data, client = self._listening.recvfrom(LONGEST)
            except OSError:  # nothing more; or an earlier answer of ours found its client gone
                return
            if self._allowed and not any(ipaddress.ip_address(client[0]) in network for network in self._allowed):
                continue
            try:
                self._towards(client).send(data)
            except OSError:  # nobody is there: a datagram is lost, as datagrams are
                continue

    def _towards(self, client: Client) -> socket.socket:
        known = self._clients.pop(client, None)
        opened = known[0] if known else self._open(client)
        self._clients[client] = (opened, time.monotonic())
        return opened

    def _open(self, client: Client) -> socket.socket:
        if len(self._clients) >= CLIENTS:
            self._close(next(iter(self._clients)))
        opened = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        opened.connect(self._target)
        self._selector.register(opened, selectors.EVENT_READ, client)
        return opened

    def _outwards(self, client: Client) -> None:
        if client not in self._clients:
            return
        opened = self._towards(client)
        for _ in range(BURST):
            try:
                self._listening.sendto(opened.recv(LONGEST), client)
            except OSError:
                return

    def _forget(self, before: float) -> None:
        while self._clients and next(iter(self._clients.values()))[1] < before:
            self._close(next(iter(self._clients)))

    def _close(self, client: Client) -> None:
        opened, _ = self._clients.pop(client)
        self._selector.unregister(opened)
        opened.close()


def main(arguments: Sequence[str]) -> None:
    """Serve the socket that we inherited."""
    descriptor, address, port, *allowed = arguments
    Relay(socket.socket(fileno=int(descriptor)), (address, int(port)), allowed).run()


if __name__ == "__main__":
    main(sys.argv[1:])
