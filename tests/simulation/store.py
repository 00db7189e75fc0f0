# SPDX-License-Identifier: Apache-2.0
"""The real store without its thread: each write is committed on the spot, and is an effect of the control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar, cast

from octavia_provider.ports import Transaction, Watch
from octavia_provider.store import SqlStore
from octavia_provider.store.writer import Job

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
        await self._lifeline.alive()
        return await self._shared.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        await self._lifeline.effect("write")
        return await commit(self._shared, work)

    def watch(self, scope_id: str | None = None) -> AbstractAsyncContextManager[Watch]:
        return self._shared.watch(scope_id)

    async def close(self) -> None:
        """The store is shared."""


async def commit(shared: SqlStore, work: Callable[[Transaction], T]) -> T:
    """As the writer's thread does it, here and now."""
    writer, loop = shared._writer, asyncio.get_running_loop()
    job = Job(work, loop, loop.create_future())
    with writer._engine.connect() as connection:
        writer._commit(connection, [job])
    return cast("T", await job.future)
