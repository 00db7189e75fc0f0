# SPDX-License-Identifier: Apache-2.0
"""An open-loop HTTP client: requests begin when they are due, whatever became of those before.

A client that waits for an answer before it asks again does not notice how many would have come meanwhile ("coordinated
omission"). Here the n-th request is due n/rate seconds after the first, is on a connection of its own, and its time counts
from when it was due. So a gap of a second at 100 requests a second is a hundred requests that were late or lost.

``python openloop.py URL [--rate 100] [--seconds 60] [--timeout 5]`` runs until its standard input ends, or the time is over,
and prints a line of JSON for each request: [due, seconds, error]; ``error`` is empty for a 2xx.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

MOST = 2000
"""Requests under way at once; one that is due beyond them is lost (a client has its limits too)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was due (monotonic), how long it took from then, why it failed (empty: it did not)."""

    due: float
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """``gap``: the longest time, by when they were due and answered, in which clients had no answer: from one answer to the
    next one. ``late``: requests that took longer than a tenth of a second."""

    requests: int
    lost: int
    gap: float
    late: int
    median: float
    worst: float
    errors: dict[str, int] = field(default_factory=dict)


def report(samples: Iterable[Sample], since: float = 0.0) -> Report:
    """What came of the requests that were due since then."""
    mine = sorted((one for one in samples if one.due >= since), key=lambda one: one.due)
    good = [one for one in mine if not one.error]
    times = sorted(one.seconds for one in good)
    errors: dict[str, int] = {}
    for one in mine:
        if one.error:
            errors[one.error] = errors.get(one.error, 0) + 1
    return Report(
        requests=len(mine), lost=len(mine) - len(good), gap=longest_gap(mine), late=sum(t > 0.1 for t in times),
        median=times[len(times) // 2] if times else 0.0, worst=times[-1] if times else 0.0, errors=errors,
    )  # fmt: skip


def longest_gap(samples: Sequence[Sample]) -> float:
    """The longest time without an answer, while some were due; from the first that was due to the last."""
    if not samples:
        return 0.0
    answered = sorted(one.due + one.seconds for one in samples if not one.error)
    moments = [samples[0].due, *answered, max(samples[-1].due, answered[-1] if answered else 0.0)]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


async def ask(host: str, port: int, path: str) -> str:
    """One request on a connection of its own: empty for a 2xx, else what came instead."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
    finally:
        writer.close()
    words = answer.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        return "no answer"
    return "" if words[1].startswith(b"2") else f"status {int(words[1])}"


class OpenLoop:
    """Asks at a rate for so many seconds, or until ``stop``."""

    def __init__(self, url: str, *, rate: float, seconds: float, timeout: float) -> None:
        parts = urlsplit(url)
        self._where = (parts.hostname or "", parts.port or 80, parts.path or "/")
        self._rate, self._count, self._timeout = rate, int(rate * seconds), timeout
        self._stopped = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self.samples: list[Sample] = []

    def stop(self) -> None:
        """No new ones; those under way are waited for."""
        self._stopped.set()

    async def run(self) -> None:
        """Until it is over, and all have an answer or none."""
        began = time.monotonic()
        for number in range(self._count):
            due = began + number / self._rate
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._stopped.wait()
                break
            except TimeoutError:
                self._begin(due)
        await asyncio.gather(*self._under_way)

    def _begin(self, due: float) -> None:
        if len(self._under_way) >= MOST:
            self.samples.append(Sample(due, 0.0, "too many under way"))
            return
        task = asyncio.ensure_future(self._one(due))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _one(self, due: float) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                error = await ask(*self._where)
        except TimeoutError:
            error = "timeout"
        except (OSError, ValueError) as failure:
            error = type(failure).__name__
        self.samples.append(Sample(due, time.monotonic() - due, error))


class Client:
    """The same in a process of its own, so that what a test does meanwhile does not make it late.

    ``with Client(url) as client: …; client.samples`` afterwards.
    """

    def __init__(self, url: str, *, rate: float = 100.0, seconds: float = 90.0, timeout: float = 5.0) -> None:
        options = [f"--rate={rate}", f"--seconds={seconds}", f"--timeout={timeout}"]
        self._command = [sys.executable, str(Path(__file__)), url, *options]
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_: object) -> None:
        told, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        self.samples = [Sample(*json.loads(line)) for line in told.splitlines()]


async def _main(options: argparse.Namespace) -> None:
    loop = OpenLoop(options.url, rate=options.rate, seconds=options.seconds, timeout=options.timeout)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), loop.stop)
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await loop.run()
    for one in loop.samples:
        sys.stdout.write(json.dumps([one.due, one.seconds, one.error]) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask at a fixed rate, whatever becomes of it.")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long at most")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds after which a request is lost")
    asyncio.run(_main(parser.parse_args()))
