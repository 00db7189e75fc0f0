# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP server, spoken to in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_amphora.server import http
from octavia_amphora.server.http import Request, Response, Server

MAX_BODY = 64


class Handler:
    """Answers with what it was asked; ``/slow`` when it is let go."""

    def __init__(self) -> None:
        self.entered, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        if request.path == "/slow":
            self.entered.set()
            await self.let_go.wait()
        if request.path == "/none":
            return Response(204)
        status = 404 if request.path == "/absent" else 200
        return Response(status, f"{request.method} {request.path} ".encode() + request.body)


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest_asyncio.fixture
async def socket(tmp_path: Path, handler: Handler, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    monkeypatch.setattr(http, "LINGER_SECONDS", 30.0)  # callers here end what they say
    path = tmp_path / "http.sock"
    server = Server(handler, max_body=MAX_BODY)
    await server.listen_unix(path)
    yield path
    handler.let_go.set()
    await server.close()


async def say(path: Path, *parts: str) -> str:
    """Send these bytes, end, and read all that is answered."""
    reader, writer = await asyncio.open_unix_connection(path)
    for part in parts:
        writer.write(part.encode())
        await writer.drain()
    writer.write_eof()
    try:
        return (await asyncio.wait_for(reader.read(), 30)).decode()
    finally:
        writer.close()


async def test_requests_one_after_the_other_on_one_connection(socket: Path) -> None:
    put = "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
    answer = await say(socket, put, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n", "GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count("HTTP/1.1 200 OK") == 2
    assert answer.count("HTTP/1.1 204 No Content\r\n\r\n") == 1
    assert "PUT /a body" in answer
    assert answer.endswith("GET /b ")


async def test_a_body_in_chunks_after_100_continue(socket: Path) -> None:
    head = "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(head.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
    writer.write_eof()
    assert (await reader.read()).endswith(b"PUT /a abcd")
    writer.close()


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),  # without a Host (RFC 9112, section 3.2)
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n", 400),
        (f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n{'b' * (MAX_BODY + 1)}", 413),
        (f"GET / HTTP/1.1\r\nHost: x\r\nX: {'x' * 1_000_000}\r\n\r\n", 431),
    ],
)
async def test_what_is_no_request_is_answered_and_ends_the_connection(socket: Path, said: str, status: int) -> None:
    answer = await say(socket, said, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "smuggled" not in answer


async def test_a_caller_that_goes_in_the_middle_harms_nobody(socket: Path) -> None:
    answer = await say(socket, "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbo")
    assert answer.startswith("HTTP/1.1 400 ")
    assert "GET /b " in await say(socket, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_closing_lets_a_request_finish(tmp_path: Path, handler: Handler) -> None:
    server = Server(handler)
    await server.listen_unix(tmp_path / "s")
    asked = asyncio.ensure_future(say(tmp_path / "s", "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
    await asyncio.wait_for(handler.entered.wait(), 30)
    closing = asyncio.ensure_future(server.close())
    await asyncio.sleep(0)
    handler.let_go.set()
    await asyncio.wait_for(closing, 30)
    assert (await asked).endswith("GET /slow ")


async def test_an_answer_is_read_whole_or_refused(socket: Path) -> None:
    assert await http.get(socket, "/b", limit=100) == b"GET /b "
    with pytest.raises(OSError, match="more than 3 bytes"):
        await http.get(socket, "/b", limit=3)
    with pytest.raises(OSError, match="404"):
        await http.get(socket, "/absent", limit=100)
