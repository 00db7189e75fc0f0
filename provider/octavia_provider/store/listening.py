# SPDX-License-Identifier: Apache-2.0
"""LISTEN: hearing of what other processes have committed to PostgreSQL.

A notification is a hint to read again, never the only trace of a change: the change is committed. So a lost connection
loses nothing: it is made again, and then everything counts as written. What was known before and is gone counts too.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterable
from typing import Any

import psycopg
import structlog

from octavia_provider.ports import EVENTS_CHANGED

FIRST_RETRY, LAST_RETRY = 0.1, 5.0

log = structlog.get_logger(__name__)


class Listener:
    """A thread with a connection of its own, which waits for what comes; it asks for nothing while all is well.

    ``connect`` answers a connection of psycopg that commits by itself. ``origin`` begins the notifications that are our
    own, which are left out. ``wake`` is called in that thread with scopes.
    """

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], channel: str, origin: str,
        wake: Callable[[Iterable[str]], None],
    ) -> None:  # fmt: skip
        self._connect = connect
        self._channel = channel
        self._origin = origin
        self._wake = wake
        self._known: set[str] = set()
        self._stop, self._stopping = os.pipe()
        self._thread = threading.Thread(target=self._run, args=(self._listening(),), name="store-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, at once whatever it waits for."""
        os.write(self._stopping, b".")
        self._thread.join()
        os.close(self._stop)
        os.close(self._stopping)

    def _listening(self) -> psycopg.Connection[Any]:
        """A new connection that listens; all scopes there are now are known."""
        connection = self._connect()
        try:
            connection.execute(f"LISTEN {self._channel}")
            self._known.update(row[0] for row in connection.execute("SELECT id FROM scopes"))
            self._known.add(EVENTS_CHANGED)
        except BaseException:
            connection.close()
            raise
        return connection

    def _run(self, connection: psycopg.Connection[Any] | None) -> None:
        while connection is not None:
            try:
                with contextlib.closing(connection):
                    while not self._stopped(connection.fileno()):
                        self._receive(connection.pgconn)
            except (psycopg.Error, OSError) as error:
                log.warning("listening again", reason=str(error).strip())
                connection = self._again()
            else:
                return

    def _receive(self, pgconn: psycopg.pq.abc.PGconn) -> None:
        pgconn.consume_input()
        written: set[str] = set()
        while (notification := pgconn.notifies()) is not None:
            origin, *names = notification.extra.decode().split(" ")
            if origin != self._origin:
                written.update(names)
        if written:
            self._known |= written
            self._wake(written)

    def _again(self) -> psycopg.Connection[Any] | None:
        """A new connection, once everything was woken; None when it is to end."""
        delay = FIRST_RETRY
        while not self._stopped(None, delay):
            try:
                connection = self._listening()
            except (psycopg.Error, OSError):
                delay = min(delay * 2, LAST_RETRY)
            else:
                self._wake(self._known)
                return connection
        return None

    def _stopped(self, socket: int | None, seconds: float | None = None) -> bool:
        """Wait until something comes, or for so long; whether it is the end."""
        poll = select.poll()  # not select.select: a control plane has more than 1,024 descriptors
        for descriptor in (self._stop, socket):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        ready = poll.poll(None if seconds is None else seconds * 1000)
        return any(descriptor == self._stop for descriptor, _ in ready)
