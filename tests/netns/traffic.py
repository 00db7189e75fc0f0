# SPDX-License-Identifier: Apache-2.0
"""Requests of a test, and waiting for conditions."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from threading import Event, Thread
from typing import Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
PATIENCE = 20.0
"""Seconds that a client waits for an answer: a machine that is busy with other tests is slow."""


def until(condition: Callable[[], T], *, seconds: float = 60.0, what: str = "") -> T:
    """Wait until ``condition`` answers something true, and answer that; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}; last: {result!r}")
        time.sleep(0.02)  # the rate at which the condition is looked at; what is waited for is the condition


def ask(url: str, *, timeout: float = PATIENCE, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """One request on a connection of its own: status and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def fetch(url: str, path: str = "/", *, source: str = "", port: int = 0, **headers: str) -> tuple[int, str, Message]:
    """One request from a source address and port: status, body, headers (by name in any case: haproxy writes them small)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port, timeout=PATIENCE, source_address=(source, port)
    )
    connection.connect()
    if port:  # so that it can be had again at once: no TIME_WAIT
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def shares(url: str, count: int, *, workers: int = 8) -> Counter[str]:
    """How many of ``count`` requests each member answered; every one must be a 200."""
    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(lambda _: ask(url), range(count)))
    assert {status for status, _ in answers} == {200}, Counter(status for status, _ in answers)
    return Counter(body for _, body in answers)


def shared_by(url: str, names: set[str], count: int) -> bool:
    """Whether these answer so many requests, and nobody else; not where one fails, as it may until a new member listens."""
    try:
        return set(shares(url, count)) == names
    except (AssertionError, OSError, http.client.HTTPException):
        return False


@dataclass
class Load:
    """Requests without pause, each on a connection of its own and some on kept connections, until it is stopped."""

    url: str
    workers: int = 4
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)
    _threads: list[Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [Thread(target=self._run, args=(n % 2 == 0,), daemon=True) for n in range(self.workers)]
        for thread in self._threads:
            thread.start()
        until(lambda: sum(self.answers.values()) > 20 or self.failures, what="the load to begin")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def more(self, count: int = 50) -> None:
        """Wait for so many more answers."""
        goal = sum(self.answers.values()) + count
        until(lambda: sum(self.answers.values()) >= goal or self.failures, what=f"{count} more answers")

    def _run(self, keep: bool) -> None:
        parts = urlsplit(self.url)
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
                connection.request("GET", "/", headers={} if keep else {"Connection": "close"})
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status == 200:
                    self.answers[body] += 1
                else:
                    self.failures.append(f"{answer.status} {body[:80]}")
                if answer.will_close or not keep:  # through TCP, the server closes without a word
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection = None
