# SPDX-License-Identifier: Apache-2.0
"""The open-loop client tells the truth of a server that is slow, stops, or hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from faults.analysis import report
from faults.openloop import OpenLoop, Sample

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme"


async def asked(
    answer: Answer, *, rate: float, seconds: float, timeout: float = 30.0, keep: bool = False
) -> list[Sample]:
    """What a client has of a server that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    loop = OpenLoop(url, rate=rate, seconds=seconds, timeout=timeout, keep=keep)
    await asyncio.to_thread(loop.run)
    server.close()
    return loop.samples


async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Every request on a connection."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(WELL)
        await writer.drain()


async def test_requests_begin_when_they_are_due__whatever_became_of_those_before() -> None:
    """A server that answers nobody until it has seen them all: who waits for an answer would never send the second."""
    waiting, came = asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        await reader.readuntil(b"\r\n\r\n")
        came += 1
        if came == 20:
            waiting.set()
        await waiting.wait()
        writer.write(WELL)
        await writer.drain()

    samples = await asked(serve, rate=200.0, seconds=0.1)
    assert [(one.error, one.body) for one in samples] == [("", "me")] * 20
    assert samples[0].seconds >= samples[-1].due - samples[0].due  # it counts all that it waited


async def test_an_answer_after_the_timeout_is_lost() -> None:
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()

    samples = await asked(serve, rate=100.0, seconds=0.05, timeout=0.1)
    over.set()
    assert report(samples).errors == {"timeout": 5}
    assert min(one.seconds for one in samples) >= 0.1


@pytest.mark.parametrize(("words", "error"), [
    (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "status 503"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nme", "closed"),
    (b"", "closed"),
])  # fmt: skip
async def test_what_fails_is_lost_with_its_reason(words: bytes, error: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        await writer.drain()

    assert report(await asked(serve, rate=100.0, seconds=0.05)).errors == {error: 5}


def test_nobody_there() -> None:
    loop = OpenLoop("http://127.0.0.1:1/", rate=100.0, seconds=0.02, timeout=10.0)
    loop.run()
    assert report(loop.samples).errors == {"ECONNREFUSED": 2}


@pytest.mark.parametrize("keep", [True, False])
async def test_connections_are_kept_or_not(keep: bool) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await well(reader, writer)

    samples = await asked(serve, rate=5.0, seconds=2.0, keep=keep)
    assert [one.error for one in samples] == [""] * 10
    assert (connections < 10) is keep


async def test_a_kept_connection_that_died__the_request_is_sent_again() -> None:
    """Once: on a new connection that dies too, it is lost."""
    refusing = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refusing
        await reader.readuntil(b"\r\n\r\n")
        if refusing:
            return
        writer.write(WELL)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")  # hangs up over the second request
        refusing = True

    first, second = (await asked(serve, rate=0.5, seconds=4.0, keep=True))[:2]
    assert (first.error, first.again) == ("", False)
    assert (second.error, second.again) == ("closed", True)
