# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 (RFC 9112) over asyncio's streams: the protocol is h11's, and what a server does around it is here.

A web framework would be 11 MiB in each amphora, a third of all that an idle one takes, for six routes (ADR 0012).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h11

log = logging.getLogger("octavia_amphora.server")

READ_BYTES = 256 * 1024
IDLE_SECONDS = 75.0  # longer than the control plane keeps a connection
HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 5.0
LINGER_SECONDS = 1.0
_REASONS = {200: b"OK", 204: b"No Content", 400: b"Bad Request", 404: b"Not Found", 413: b"Content Too Large"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole. ``peer``: the caller's verified certificate (``ssl.SSLSocket.getpeercert``), if it has one."""

    method: str
    path: str
    body: bytes = b""
    peer: Mapping[str, Any] | None = None
    remote: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to it."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class TooLarge(Exception):
    """The body has more bytes than are taken."""


Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """Serves connections until ``close``; the handler answers for every error of its own."""

    def __init__(self, handler: Handler, *, max_body: int = 0) -> None:
        self._handler = handler
        self._max_body = max_body
        self._listening: list[asyncio.Server] = []
        self._busy: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()

    async def listen(self, address: str, port: int, tls: ssl.SSLContext) -> None:
        """Accept connections on this address; ``OSError`` when that is not possible."""
        self._listening.append(
            await asyncio.start_server(
                self._connected, address, port, ssl=tls, ssl_handshake_timeout=HANDSHAKE_SECONDS, limit=READ_BYTES
            )
        )

    async def listen_unix(self, path: Path) -> None:
        """Accept connections on a socket of the file system; one that an earlier process has left gives way."""
        self._listening.append(await asyncio.start_unix_server(self._connected, path, limit=READ_BYTES))

    async def close(self) -> None:
        """Accept nothing more, and give the requests that are being answered ``CLOSE_SECONDS``."""
        for server in self._listening:
            server.close()
        for writer in self._idle:
            writer.close()
        if self._busy:
            _, late = await asyncio.wait(self._busy, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(h11.Connection(h11.SERVER), reader, writer))
        self._busy.add(task)
        try:
            await task
        except (OSError, TimeoutError):
            log.debug("the caller has gone, or is silent peer=%s", writer.get_extra_info("peername"))
        finally:
            self._busy.discard(task)
            self._idle.discard(writer)
            writer.close()

    async def _converse(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                request = await self._request(connection, reader, writer)
            except h11.RemoteProtocolError as error:
                await _refuse(connection, reader, writer, Response(error.error_status_hint, f"{error}\n".encode()))
                return
            except TooLarge as error:
                await _refuse(connection, reader, writer, Response(413, f"{error}\n".encode()))
                return
            if request is None:
                return
            await _send(connection, writer, await self._handler(request))
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _request(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Request | None:
        """The next request on this connection; None when the caller closes it."""
        head: h11.Request | None = None
        body = bytearray()
        self._idle.add(writer)
        while True:
            event = await _event(connection, reader, writer)
            self._idle.discard(writer)
            match event:
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                    if len(body) > self._max_body:
                        raise TooLarge(f"the body has more than {self._max_body} bytes")
                case h11.EndOfMessage() if head is not None:
                    peer = writer.get_extra_info("peercert")
                    remote = str(writer.get_extra_info("peername") or "")
                    return Request(head.method.decode(), head.target.decode(), bytes(body), peer, remote)
                case _:
                    return None


async def _event(connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            writer.write(connection.send(go_on) or b"")
        async with asyncio.timeout(IDLE_SECONDS):
            connection.receive_data(await reader.read(READ_BYTES))


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, response: Response) -> None:
    headers = {"Content-Type": response.content_type, "Content-Length": str(len(response.body)), **response.headers}
    if response.status == 204:
        headers = dict(response.headers)
    head = h11.Response(
        status_code=response.status, reason=_REASONS.get(response.status, b""), headers=list(headers.items())
    )
    parts = [connection.send(head), connection.send(h11.Data(response.body)), connection.send(h11.EndOfMessage())]
    writer.write(b"".join(part or b"" for part in parts))
    async with asyncio.timeout(IDLE_SECONDS):
        await writer.drain()


async def _refuse(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: Response
) -> None:
    """Answer what is no request, and end: the rest of it would be read as the next one.

    The rest is read and dropped for a moment: a socket that is closed with unread data takes the answer back (RST).
    """
    if connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        return
    await _send(connection, writer, replace(response, headers={"Connection": "close"}))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(READ_BYTES):
                pass


async def get(path: Path, target: str, *, limit: int) -> bytes:
    """GET over a socket of the file system; the body. ``OSError`` when there is no answer of 200 with at most ``limit`` bytes."""
    connection = h11.Connection(h11.CLIENT)
    reader, writer = await asyncio.open_unix_connection(path, limit=READ_BYTES)
    try:
        head = h11.Request(method="GET", target=target, headers=[("Host", "localhost"), ("Connection", "close")])
        writer.write((connection.send(head) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        return await _body(connection, reader, limit)
    except h11.RemoteProtocolError as error:
        raise OSError(f"{path.name} answers what is not HTTP: {error}") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _body(connection: h11.Connection, reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(READ_BYTES))
            case h11.Response(status_code=status) if status != 200:
                raise OSError(f"the answer is {status}")
            case h11.Data(data=data):
                body += data
                if len(body) > limit:
                    raise OSError(f"the answer has more than {limit} bytes")
            case h11.EndOfMessage():
                return bytes(body)
            case h11.ConnectionClosed():
                raise OSError("the answer is cut off")
