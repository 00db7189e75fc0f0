# SPDX-License-Identifier: Apache-2.0
"""ICMP echo (RFC 792, RFC 4443) by a raw socket, which the agent may open as root in its network namespace."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct

_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_HEAD = struct.Struct("!BBHHH")
# A raw socket sees every answer that comes to this host: the number tells ours from those of other checks.
_numbers = itertools.count()


async def echo(address: str) -> None:
    """Return when the answer has come; the caller limits the time."""
    version = 6 if ":" in address else 4
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if version == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    identity, number = os.getpid() & 0xFFFF, next(_numbers)
    payload = struct.pack("!Q", number) + b"octavia-amphora"
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol) as raw:
        raw.connect((address, 0))
        raw.send(_message(_REQUEST[version], identity, number & 0xFFFF, payload))
        while True:
            answer = await loop.sock_recv(raw, 2048)
            if version == 4:
                answer = answer[(answer[0] & 15) * 4 :]  # the IP header comes along (raw(7)); ICMPv6 comes without
            kind, _, _, who, which = _HEAD.unpack_from(answer)
            if (kind, who, which) == (_REPLY[version], identity, number & 0xFFFF) and answer[_HEAD.size :] == payload:
                return


def _message(kind: int, identity: int, number: int, payload: bytes) -> bytes:
    checksum = _checksum(_HEAD.pack(kind, 0, 0, identity, number) + payload)  # the kernel makes that of ICMPv6
    return _HEAD.pack(kind, 0, checksum, identity, number) + payload


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
