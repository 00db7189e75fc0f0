# SPDX-License-Identifier: Apache-2.0
"""Two control planes on one PostgreSQL: one is paused in the middle of a change, then the other is killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from builders import record
from octavia_provider.ports import Transaction
from octavia_provider.store import SqlStore, open_store
from postgresql import postgresql, postgresql_server
from unit.controller import control_plane_process

__all__ = ["postgresql", "postgresql_server"]
BALANCERS = [f"lb{number}" for number in range(6)]


class Process:
    """``history``: what it has settled."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.history: list[tuple[str, int, int]] = []
        self._said: asyncio.Queue[list[Any]] = asyncio.Queue()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, url: str, folder: Path, holder: str) -> Process:
        program = [sys.executable, control_plane_process.__file__, url, str(folder / "key"), holder]
        pipe = asyncio.subprocess.PIPE
        found = cls(await asyncio.create_subprocess_exec(*program, stdin=pipe, stdout=pipe))
        assert await found.hear() == ["started"]
        return found

    async def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        assert await self.hear() == ["heard"]

    async def hear(self) -> list[Any]:
        async with asyncio.timeout(100):
            return await self._said.get()

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            word, *rest = json.loads(line)
            if word == "settled":
                self.history.append(tuple(rest))
            else:
                self._said.put_nowait([word])


@pytest.fixture
async def store(tmp_path: Path, postgresql: str) -> AsyncIterator[SqlStore]:
    found = open_store(postgresql, tmp_path / "key")
    yield found
    await found.close()


@pytest.fixture
async def planes(store: SqlStore, postgresql: str, tmp_path: Path) -> AsyncIterator[list[Process]]:
    """The first has the leases of all balancers; the second waits for them."""
    await store.write(lambda tx: [tx.insert(record("load_balancer", id_, scope_id=id_)) for id_ in BALANCERS])
    started: list[Process] = []
    for holder in ("first", "second"):
        started.append(await Process.start(postgresql, tmp_path, holder))
        await settled(store)
    yield started
    for process in started:
        await process.end()


async def settled(store: SqlStore) -> None:
    """Woken by the commits of the other processes."""

    def work(tx: Transaction) -> bool:
        return all(scope.generation == scope.applied for scope in tx.scopes())

    async with asyncio.timeout(80), store.watch() as watch:
        while not await store.read(work):
            await watch.changed()


async def taken(store: SqlStore, fence: int) -> None:
    async def work() -> bool:
        return {scope.fence for scope in await store.read(lambda tx: tx.scopes())} == {fence}

    await until(work)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """For what wakes nobody: leases, and pipes."""
    async with asyncio.timeout(80):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)  # the rate of looking, not what is waited for


async def change(store: SqlStore) -> None:
    await store.write(lambda tx: [tx.touch(id_) for id_ in BALANCERS])


@pytest.mark.timeout(400)
async def test_a_paused_control_plane_is_fenced_and_a_killed_one_replaced(
    store: SqlStore, planes: list[Process]
) -> None:
    first, second = planes
    await change(store)
    await settled(store)
    assert second.history == [], "whose leases are good is left to work"

    await first.tell("pause")
    await change(store)
    await asyncio.to_thread(os.waitid, os.P_PID, first.process.pid, os.WSTOPPED | os.WNOWAIT)
    await settled(store)
    await taken(store, fence=2)

    first.process.send_signal(signal.SIGCONT)
    await first.tell("go on")
    await change(store)
    await settled(store)
    assert {scope for scope, _, _ in second.history} == set(BALANCERS)
    assert [r.error for r in await store.read(lambda tx: tx.find("load_balancer"))] == [None] * len(BALANCERS)

    second.process.send_signal(signal.SIGKILL)
    await second.process.wait()
    await change(store)
    await settled(store)
    await taken(store, fence=3)

    async def told() -> bool:
        return {scope for scope, _, fence in first.history if fence == 3} == set(BALANCERS)

    await until(told)
    everything = sorted(first.history + second.history)
    for scope, found in itertools.groupby(everything, key=lambda one: one[0]):
        steps = list(found)
        revisions, fences = [revision for _, revision, _ in steps], [fence for _, _, fence in steps]
        assert len(set(revisions)) == len(revisions), f"{scope}: no revision was made twice"
        assert fences == sorted(fences), f"{scope}: nothing was written by an older lease than the one before"
        assert set(fences) == {1, 2, 3}, f"{scope}: first, second, first again"
