# SPDX-License-Identifier: Apache-2.0
"""haproxy's ``sd_notify`` messages: how a reload is waited for instead of being polled (``haproxy -Ws``)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from .user import HaproxyUser, grant_socket


class NotifySocket:
    """The datagram socket that the master knows as ``NOTIFY_SOCKET``; its path outlives this process's restarts."""

    def __init__(self, path: Path, account: HaproxyUser | None = None) -> None:
        self._path = path
        self._account = account
        self._socket: socket.socket | None = None
        self._ready = asyncio.Event()

    def open(self) -> None:
        """Bind the path (again, when an earlier agent had it) and listen."""
        if self._socket is not None:
            return
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._socket.bind(str(self._path))
        grant_socket(self._path, self._account)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def reset(self) -> None:
        """From now on: what was said before does not count."""
        self._read()
        self._ready.clear()

    async def wait_ready(self) -> None:
        """Return when the master has said READY=1 since ``expect``. It says so after a failed reload, too."""
        await self._ready.wait()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._socket is not None:
                message = self._socket.recv(4096)
                if any(line == b"READY=1" for line in message.splitlines()):
                    self._ready.set()
