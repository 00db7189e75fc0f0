# SPDX-License-Identifier: Apache-2.0
"""The open-loop client tells the truth of a server that stops for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from faults.openloop import OpenLoop, Report, Sample, longest_gap, report


def test_a_gap_is_from_one_answer_to_the_next() -> None:
    samples = [Sample(0.0, 0.1), Sample(1.0, 0.1), Sample(2.0, 5.0, "timeout"), Sample(3.0, 0.5), Sample(4.0, 0.0)]
    assert round(longest_gap(samples), 9) == 2.4
    assert longest_gap([]) == 0.0
    assert longest_gap([Sample(1.0, 2.0, "timeout"), Sample(4.0, 2.0, "timeout")]) == 3.0


def test_what_was_lost_late_and_why() -> None:
    told = report([Sample(0.0, 9.0, "x"), Sample(1.0, 0.05), Sample(2.0, 0.2), Sample(3.0, 5.0, "timeout")], since=1.0)
    assert round(told.gap, 9) == 1.15
    assert replace(told, gap=0.0) == Report(
        requests=3, lost=1, gap=0.0, late=1, median=0.2, worst=0.2, errors={"timeout": 1}
    )


async def test_requests_begin_when_they_are_due__whatever_became_of_those_before() -> None:
    """A server that answers nobody until it has seen them all: who waits for an answer would never send the second."""
    waiting = asyncio.Event()
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        await reader.readuntil(b"\r\n\r\n")
        came += 1
        if came == 20:
            waiting.set()
        await waiting.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = OpenLoop(f"http://127.0.0.1:{port}/", rate=200.0, seconds=0.1, timeout=30.0)
    await loop.run()
    server.close()
    assert [one.error for one in loop.samples] == [""] * 20
    dues = sorted(one.due for one in loop.samples)
    assert max(one.seconds for one in loop.samples) >= dues[-1] - dues[0]  # the first counts all that it waited


async def test_what_fails_is_lost_with_its_reason() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = OpenLoop(f"http://127.0.0.1:{port}/", rate=100.0, seconds=0.05, timeout=10.0)
    await loop.run()
    server.close()
    await server.wait_closed()
    refused = OpenLoop(f"http://127.0.0.1:{port}/", rate=100.0, seconds=0.02, timeout=10.0)
    await refused.run()
    assert report(loop.samples).errors == {"status 503": 5}
    assert report(refused.samples).errors == {"ConnectionRefusedError": 2}
