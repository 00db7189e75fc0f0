# SPDX-License-Identifier: Apache-2.0
"""grpc.health.v1.Health/Check over HTTP/2 (RFC 9113, RFC 7541; gRPC's PROTOCOL-HTTP2 and health.proto).

Written by hand: one call needs five kinds of frames, and of the answer only its message counts. The answer's headers
need not be read (an error has no message), so no HPACK decoder, and the agent no further dependency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from .errors import ProbeFailed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
MAX_FRAME = 16_384
SERVING = 1
_STATES: Mapping[int, str] = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


async def check(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scheme: str, authority: str, service: str
) -> None:
    """One call; ``Unwell`` unless the service says SERVING. An empty name asks for the server as a whole."""
    writer.write(PREFACE + _frame(SETTINGS, 0, 0, b"") + _request(scheme, authority, service))
    message = b""
    while True:
        kind, flags, stream, payload = await _read(reader)
        if kind in {SETTINGS, PING} and not flags & ACK:
            writer.write(_frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in {RST_STREAM, GOAWAY}:
            raise ProbeFailed("it refused the call (HTTP/2 RST_STREAM or GOAWAY)")
        elif stream == 1 and kind == DATA:
            message += _unpadded(payload, flags)
        if stream == 1 and (state := _state(message)) is not None:
            if state != SERVING:
                raise ProbeFailed(f"gRPC health is {_STATES.get(state, state)}")
            return
        if stream == 1 and kind in {DATA, HEADERS} and flags & END_STREAM:
            raise ProbeFailed(
                "it answered the call with an error: it has no grpc.health.v1.Health, or not that service"
            )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    head = await reader.readexactly(9)
    length = int.from_bytes(head[:3], "big")
    if length > MAX_FRAME:
        raise ProbeFailed("the answer is not HTTP/2")
    return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, await reader.readexactly(length)


def _request(scheme: str, authority: str, service: str) -> bytes:
    fields = {
        ":method": "POST", ":scheme": scheme, ":path": "/grpc.health.v1.Health/Check", ":authority": authority,
        "content-type": "application/grpc", "te": "trailers", "user-agent": "grpc-octavia-amphora",
    }  # fmt: skip
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in fields.items())
    asked = service.encode()
    message = b"\x0a" + _varint(len(asked)) + asked if asked else b""
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return _frame(HEADERS, END_HEADERS, 1, block) + _frame(DATA, END_STREAM, 1, body)


def _string(text: str) -> bytes:
    """A string literal without Huffman coding (RFC 7541, sections 5.1 and 5.2)."""
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first: of HPACK's integers and of protobuf alike."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _unpadded(payload: bytes, flags: int) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED and payload else payload


def _state(message: bytes) -> int | None:
    """``HealthCheckResponse.status`` of a whole message, None while it is not whole; absent is 0."""
    if len(message) < 5 or len(message) < 5 + int.from_bytes(message[1:5], "big"):
        return None
    body = message[5 : 5 + int.from_bytes(message[1:5], "big")]
    return body[1] if len(body) >= 2 and body[0] == 0x08 else 0
