# SPDX-License-Identifier: Apache-2.0
"""Lines of JSON over Unix stream sockets, with file descriptors beside them (SCM_RIGHTS, unix(7))."""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

MAXIMUM_DESCRIPTORS = 4
PROTOCOL = 2
"""Raised when what is asked or answered changes so that an older side would misunderstand."""


def send(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send one message; the descriptors go with its first byte and remain ours too."""
    data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
    if descriptors:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        data = data[connection.sendmsg([data[:1]], [rights]) :]
    connection.sendall(data)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message and the descriptors that came with it, close-on-exec, now ours to close.

    EOFError when the other side closed; one message is under way at a time, so nothing of a next one is read.
    """
    parts: list[bytes] = []
    descriptors: list[int] = []
    try:
        while not parts or not parts[-1].endswith(b"\n"):
            data, found = _read(connection)
            descriptors.extend(found)
            parts.append(data)
    except BaseException:
        close(descriptors)
        raise
    return json.loads(b"".join(parts)), descriptors


def _read(connection: socket.socket) -> tuple[bytes, list[int]]:
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_LEN(MAXIMUM_DESCRIPTORS * size))
    found = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(payload[: len(payload) - len(payload) % size])
    if not data:
        raise EOFError("the other side closed the connection")
    for descriptor in found:
        os.set_inheritable(descriptor, False)
    return data, list(found)


def close(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody took."""
    for descriptor in descriptors:
        os.close(descriptor)
