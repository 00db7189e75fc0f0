# SPDX-License-Identifier: Apache-2.0
"""A control plane that was paused carries out no write that was asked of it before: where several share the state, its caller
has given up since and asked another one, and may have written something newer.

So a write is carried out soon after it was asked for or not at all (``WRITE_SECONDS`` is less than the time after which
clients ask another control plane), not where its caller has gone, and not right after a pause. No clock is compared.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import TypeVar

import structlog
from aiohttp import web

from octavia_provider.model.errors import TransientError
from octavia_provider.ports import Store, Transaction, Watch

T = TypeVar("T")
log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
PAUSE_SECONDS = 3.0
WRITE_SECONDS = 6.0
AFTERWARDS = 1.0
"""Seconds after a pause in which what waited is read."""
_READING = ("GET", "HEAD", "OPTIONS")
_BEGAN: ContextVar[float | None] = ContextVar("began", default=None)


class Pauses:
    """Notices pauses of this process by its own clock, and refuses writes that are too old."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked = clock()
        self._until = self._looked

    async def watch(self, _app: web.Application) -> AsyncIterator[None]:
        """While the application runs."""
        self._looked = self._clock()
        task = asyncio.create_task(self._tick())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _tick(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(TICK_SECONDS)

    def look(self) -> None:
        """Whether time has passed unseen."""
        now = self._clock()
        if now - self._looked > PAUSE_SECONDS:
            log.warning("this process was paused", seconds=round(now - self._looked, 1))
            self._until = now + AFTERWARDS
        self._looked = now

    def admit(self, request: web.Request) -> None:
        """``TransientError`` where it is a write whose caller may have asked another control plane."""
        self.look()
        now = self._clock()
        _BEGAN.set(now)
        if request.method in _READING:
            return
        if now < self._until:
            raise _paused()
        if _has_gone(request):
            raise TransientError("the caller has gone", hint="nothing: it was not carried out")

    def timely(self, work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        """``work``, where it is not too late for it when its turn has come."""
        began, clock = _BEGAN.get(), self._clock

        def checked(tx: Transaction) -> T:
            if began is not None and clock() - began > WRITE_SECONDS:
                raise _paused()
            return work(tx)

        return checked


class TimelyStore:
    """``ports.Store``, for handlers: what they write is carried out soon or not at all."""

    def __init__(self, store: Store, pauses: Pauses) -> None:
        self._store, self._pauses = store, pauses

    @property
    def control_plane_id(self) -> str:
        """That of the database."""
        return self._store.control_plane_id

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """As the store."""
        return await self._store.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """``TransientError`` where its turn comes too late."""
        return await self._store.write(self._pauses.timely(work))

    def watch(self, scope_id: str | None = None) -> AbstractAsyncContextManager[Watch]:
        """As the store."""
        return self._store.watch(scope_id)

    async def close(self) -> None:
        """The store is not ours to close."""


def _paused() -> TransientError:
    return TransientError(
        "this control plane was paused or is too busy, and another one may have been asked meanwhile; nothing was written",
        hint="ask again", retry_after=1,
    )  # fmt: skip


def _has_gone(request: web.Request) -> bool:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None:
        return True
    try:  # asyncio's wrapper of the socket does not receive
        with socket.socket(fileno=os.dup(connection.fileno())) as peer:
            return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
