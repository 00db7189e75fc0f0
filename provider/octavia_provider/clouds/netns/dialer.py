# SPDX-License-Identifier: Apache-2.0
"""Sockets in the holder's network namespace, opened by a thread that lives there.

A thread of its own enters the namespace and never leaves it: whatever goes wrong in it, no other thread is ever in the
wrong one. A socket belongs to the namespace in which it was opened, whoever uses it afterwards (network_namespaces(7)).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from octavia_amphora.shortage import is_shortage
from octavia_provider.model.errors import OctaviaError, Refused, Unreachable

from .holder import kernel

T = TypeVar("T")

HEARTBEAT_PORT = 5555
SO_RCVBUFFORCE = 33
"""socket(7), asm-generic/socket.h: more than net.core.rmem_max, for root."""
RECEIVE_BUFFER = 4 << 20
"""Bytes: heartbeats of many amphorae may come at once."""


class Dialer:
    """Opens sockets in one network namespace (a descriptor, which is needed only while this is made).

    ``ports``: so many can receive heartbeats beside each other, each at a port of its own."""

    def __init__(self, network: int, gateway: str, *, ports: int = 1) -> None:
        self._gateway = gateway
        self._ports = range(HEARTBEAT_PORT, HEARTBEAT_PORT + ports)
        self._port = HEARTBEAT_PORT
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="octavia-dialer")
        try:
            self._inside(lambda: kernel.setns(network, kernel.CLONE_NEWNET))
        except OSError as error:
            self._thread.shutdown()
            if is_shortage(error):
                raise
            raise Refused(
                f"cannot enter its network namespace: {error.strerror}", subject="embedded cloud", hint="run as root"
            ) from error

    @property
    def heartbeat_receiver(self) -> str:
        """Where heartbeats go: ``address:port`` on the management network."""
        return f"{self._gateway}:{self._port}"

    def connect_socket(self, family: int) -> socket.socket:
        """A fresh TCP socket, not connected."""
        return self._open(lambda: socket.socket(family, socket.SOCK_STREAM))

    def heartbeat_socket(self) -> socket.socket:
        """A UDP socket bound where heartbeats go. Refused when another control plane has it."""
        return self._open(self._heartbeat_socket)

    def _heartbeat_socket(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
            self._bind(opened)
        except OSError as error:
            opened.close()
            if is_shortage(error):
                raise
            raise Refused(
                f"cannot receive heartbeats at {self.heartbeat_receiver}: {error.strerror}", subject="embedded cloud",
                hint="stop the other control plane of this home",
            ) from error  # fmt: skip
        opened.setblocking(False)
        return opened

    def _bind(self, opened: socket.socket) -> None:
        """To the first port that no other control plane has."""
        for port in self._ports:
            try:
                opened.bind((self._gateway, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == self._ports[-1]:
                    raise
            else:
                self._port = port
                return

    def _open(self, make: Callable[[], socket.socket]) -> socket.socket:
        try:
            return self._inside(make)
        except OctaviaError:
            raise
        except (OSError, RuntimeError) as error:  # RuntimeError: we were closed
            raise Unreachable(f"cannot open a socket in its network: {error}", subject="embedded cloud") from error

    def _inside(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    def close(self) -> None:
        """End the thread; sockets that it opened stay open."""
        self._thread.shutdown()
