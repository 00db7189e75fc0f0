# SPDX-License-Identifier: Apache-2.0
"""The real store without its thread and its disk: each write is committed on the spot, and is an effect of the control plane.

One database in memory serves all worlds of a process, one after the other: it is migrated once, and its statements are
compiled once. What a world wrote is taken out of it before the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Engine, create_engine, event, pool
from sqlalchemy.engine import Connection

from octavia_provider.ports import Transaction, Watch
from octavia_provider.store import SqlStore, open_store
from octavia_provider.store.engine_options import SERIALIZERS
from octavia_provider.store.writer import Job

from .network import STORE
from .world import Lifeline

T = TypeVar("T")


class SimulationStore:
    """``ports.Store`` of one control plane over a store that it shares with others."""

    def __init__(self, shared: SqlStore, lifeline: Lifeline) -> None:
        self._shared, self._lifeline = shared, lifeline

    @property
    def control_plane_id(self) -> str:
        return self._shared.control_plane_id

    async def read(self, work: Callable[[Transaction], T]) -> T:
        await self._lifeline.read()
        return await self._shared.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        await self._lifeline.effect("write", STORE)
        done = await commit(self._shared, work)
        self._lifeline.answer("write", STORE)
        return done

    def watch(self, scope_id: str | None = None) -> AbstractAsyncContextManager[Watch]:
        return self._shared.watch(scope_id)

    async def close(self) -> None:
        """The store is shared."""


async def commit(shared: SqlStore, work: Callable[[Transaction], T]) -> T:
    """As the writer's thread does it, here and now."""
    loop = asyncio.get_running_loop()
    job = Job(work, loop, loop.create_future())
    shared._writer._commit(_connections()[0], [job])
    return cast("T", await job.future)


class MemoryStore(SqlStore):
    """Its engines outlive it."""

    def keep(self) -> None:
        """What is in it now is in every later one from the beginning."""
        with contextlib.closing(self._engines[0].raw_connection()) as raw:
            cast("Any", raw.driver_connection).backup(_prepared()[0])

    def _read(self, work: Callable[[Transaction], T]) -> T:
        """As ``SqlStore`` does it, over the connection that there is."""
        return work(self._transaction(_connections()[1], writable=False))

    async def close(self) -> None:
        """End its threads."""
        self._writer.close()
        self._readers.shutdown()


def new_store(clock: Callable[[], float]) -> MemoryStore:
    """An empty one. What was opened before is not to be used any more."""
    empty, engines, opened = _prepared()
    with contextlib.closing(engines[0].raw_connection()) as raw:
        empty.backup(cast("Any", raw.driver_connection))
    return MemoryStore(opened._database, engines, opened._cipher, opened.control_plane_id, clock)


@functools.cache
def _prepared() -> tuple[sqlite3.Connection, tuple[Engine, Engine], SqlStore]:
    """An empty database, the engines over another one in memory, and the store that made it."""
    with tempfile.TemporaryDirectory(prefix="sim-") as folder:
        url = f"sqlite:///{folder}/octavia.db"
        opened = open_store(url, Path(folder) / "key")
        empty = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(f"{folder}/octavia.db") as file:
            file.backup(empty)
        file.close()
        opened._writer.close()
        for engine in opened._engines:
            engine.dispose()
    memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    memory.execute("PRAGMA foreign_keys=ON")
    writing, reading = (
        create_engine("sqlite://", creator=lambda: memory, poolclass=pool.StaticPool, **SERIALIZERS) for _ in range(2)
    )
    event.listen(writing, "begin", lambda _connection: memory.execute("BEGIN IMMEDIATE"))
    return empty, (writing, reading), opened


@functools.cache
def _connections() -> tuple[Connection, Connection]:
    """The writing one, and the reading one: what it reads is committed, for nothing is written meanwhile."""
    writing, reading = _prepared()[1]
    return writing.connect(), reading.connect()
