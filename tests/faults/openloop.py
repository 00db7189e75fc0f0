# SPDX-License-Identifier: Apache-2.0
"""An open-loop HTTP client: requests begin when they are due, whatever became of those before.

A client that waits for an answer before it asks again does not notice how many would have come meanwhile ("coordinated
omission"). Here the n-th request is due n/rate seconds after the first, and its time and its timeout count from when it was
due: a gap of a second at 1,000 requests a second is a thousand requests that were late or lost.

``python openloop.py URL [--rate 1000] [--seconds 60] [--timeout 0.2] [--keep]`` runs until its standard input ends, or the
time is over, and prints a line of JSON for each request (see ``Sample``). It takes a new connection for each request, with
``--keep`` one that is idle. A request that fails on a kept connection before any byte of an answer has come is sent again on
a new one, as HTTP clients do (RFC 9112, 9.3.1); the sample says so.

One process, epoll, and nothing but the standard library: 1,000 requests a second take it a tenth of a CPU.
"""

from __future__ import annotations

import argparse
import errno
import gc
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, which leaves no port in TIME_WAIT
SHORT = 64  # of an answer's body, what a sample keeps
UNDER_WAY = -1.0  # the seconds of a request that has not ended


@dataclass(slots=True)
class Sample:
    """One request: when it was due (monotonic), how long it took from then, why it failed (empty: it did not), what the
    answer's body was, whether it was sent a second time, and how late this client began it (starved itself)."""

    due: float
    seconds: float
    error: str = ""
    body: str = ""
    again: bool = False
    behind: float = 0.0


class _Connection:
    """A connection, and the request that is on it."""

    __slots__ = ("answer", "fresh", "request", "socket")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.fresh = True
        self.request: _Request | None = None
        self.answer = b""


class _Request:
    """A request under way, and the connection that it is on."""

    __slots__ = ("connection", "sample")

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.connection: _Connection | None = None


class OpenLoop:
    """Asks at a rate for so many seconds, or until a descriptor can be read. The host of the URL is an address."""

    def __init__(self, url: str, *, rate: float, seconds: float, timeout: float, keep: bool = False) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        lines = [f"GET {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}", *([] if keep else ["Connection: close"])]
        self._words = "\r\n".join([*lines, "", ""]).encode()
        self._rate, self._count, self._timeout, self._keep = rate, int(rate * seconds), timeout, keep
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: list[_Connection] = []
        self._under_way: deque[_Request] = deque()  # in the order in which they are due, so in that of their ends
        self.samples: list[Sample] = []

    def run(self, until: int | None = None) -> None:
        """Until it is over, and all have an answer or none."""
        if until is not None:
            self._epoll.register(until, select.EPOLLIN | select.EPOLLHUP)
        began, started = time.monotonic(), 0
        while started < self._count or self._under_way:
            now = time.monotonic()
            while started < self._count and began + started / self._rate <= now:
                self._begin(began + started / self._rate)
                started += 1
            self._expire(now)
            ends = [began + started / self._rate] if started < self._count else []
            ends += [self._under_way[0].sample.due + self._timeout] if self._under_way else []
            for number, event in self._epoll.poll(max(0.0, min(ends, default=now) - time.monotonic())):
                if number == until:
                    started = self._count
                    self._epoll.unregister(until)
                elif number in self._connections:
                    self._ready(self._connections[number], event)
        for connection in list(self._connections.values()):
            self._close(connection)
        self._epoll.close()

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _begin(self, due: float) -> None:
        sample = Sample(due, UNDER_WAY, behind=time.monotonic() - due)
        self.samples.append(sample)
        request = _Request(sample)
        self._under_way.append(request)
        if self._idle:
            request.connection = self._idle.pop()
            request.connection.request = request
            self._write(request.connection)
        else:
            self._open(request)

    def _expire(self, now: float) -> None:
        """Those whose time is over are lost."""
        while self._under_way:
            request = self._under_way[0]
            if request.sample.seconds == UNDER_WAY:
                if request.sample.due + self._timeout > now:
                    return
                _end(request, "timeout")
                if request.connection is not None:
                    self._close(request.connection)
            self._under_way.popleft()

    def _open(self, request: _Request) -> None:
        try:
            opened = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as failure:
            _end(request, _name(failure.errno))
            return
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        failed = opened.connect_ex(self._address)
        if failed not in {0, errno.EINPROGRESS}:
            opened.close()
            _end(request, _name(failed))
            return
        connection = request.connection = _Connection(opened)
        connection.request = request
        self._connections[opened.fileno()] = connection
        self._epoll.register(opened.fileno(), select.EPOLLOUT)

    def _ready(self, connection: _Connection, event: int) -> None:
        try:
            if event & select.EPOLLOUT:
                self._write(connection)
                if connection.socket.fileno() >= 0:
                    self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
                return
            data = connection.socket.recv(16384)
        except OSError as failure:
            self._failed(connection, _name(failure.errno))
            return
        request = connection.request
        if not data or request is None:  # nothing may come on an idle connection
            self._failed(connection, "closed")
        else:
            connection.answer += data
            self._look(connection, request)

    def _write(self, connection: _Connection) -> None:
        try:
            connection.socket.send(self._words)
        except OSError as failure:  # of a connection that could not be made, too
            self._failed(connection, _name(failure.errno))

    def _look(self, connection: _Connection, request: _Request) -> None:
        """Whether the answer is complete."""
        head, ended, body = connection.answer.partition(b"\r\n\r\n")
        head = head.lower()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        if not ended or (length and len(body) < int(length)):
            return
        status = head[9:12].decode(errors="replace")
        request.sample.body = body[:SHORT].decode(errors="replace")
        _end(request, "" if status.startswith("2") else f"status {status}")
        connection.request, connection.answer, connection.fresh = None, b"", False
        if self._keep and length and b"\r\nconnection: close" not in head:
            self._idle.append(connection)
        else:
            self._close(connection)

    def _failed(self, connection: _Connection, why: str) -> None:
        """The request on it is sent again where that is what a client does."""
        request = connection.request
        again = not connection.fresh and not connection.answer
        self._close(connection)
        if request is None or request.sample.seconds != UNDER_WAY:
            return
        if again:
            request.sample.again = True
            self._open(request)
        else:
            _end(request, why)

    def _close(self, connection: _Connection) -> None:
        self._connections.pop(connection.socket.fileno(), None)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.socket.close()


def _end(request: _Request, error: str) -> None:
    if request.sample.seconds == UNDER_WAY:
        request.sample.seconds, request.sample.error = time.monotonic() - request.sample.due, error


def _name(number: int | None) -> str:
    return errno.errorcode.get(number or 0, "?")


class Client:
    """The same in a process of its own, so that what a test does meanwhile does not make it late.

    ``with Client(url) as client: …; client.samples`` afterwards. ``inside``: a process in whose network namespace it runs.
    """

    def __init__(
        self, url: str, *, rate: float = 100.0, seconds: float = 90.0, timeout: float = 5.0, keep: bool = False,
        inside: int | None = None,
    ) -> None:  # fmt: skip
        options = [f"--rate={rate}", f"--seconds={seconds}", f"--timeout={timeout}", *(["--keep"] if keep else [])]
        enter = ["nsenter", "--target", str(inside), "--net"] if inside else []
        self._command = [*enter, sys.executable, "-IS", str(Path(__file__)), url, *options]
        self.samples: list[Sample] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_: object) -> None:
        said, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        self.samples = [Sample(*json.loads(line)) for line in said.splitlines()]


def _main(options: argparse.Namespace) -> None:
    loop = OpenLoop(options.url, rate=options.rate, seconds=options.seconds, timeout=options.timeout, keep=options.keep)
    gc.disable()  # nothing here is a circle, and a collection is a pause
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    loop.run(sys.stdin.fileno())
    for one in loop.samples:
        row = [round(one.due, 6), round(one.seconds, 6), one.error, one.body, one.again, round(one.behind, 6)]
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask at a fixed rate, whatever becomes of it.")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long at most")
    parser.add_argument("--timeout", type=float, default=0.2, help="seconds after which a request is lost")
    parser.add_argument("--keep", action="store_true", help="keep connections")
    _main(parser.parse_args())
