# SPDX-License-Identifier: Apache-2.0
"""Housekeeping over the real store and controller: what a commit costs it, and the end of the last scope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from octavia_provider.controller import controller, housekeeping, outage
from octavia_provider.controller.housekeeping import Housekeeper
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.model.errors import Unreachable
from octavia_provider.ports import Inventory
from octavia_provider.store import SqlStore, open_store

from .test_controller import Site, applied, reads_of_scopes, until


class Cloud:
    """One that never ends by itself."""

    def __init__(self) -> None:
        self.inventories = 0
        self.opened = False
        self.stopped = asyncio.Event()
        self.never = asyncio.Event()

    async def start(self) -> None:
        pass

    async def stop(self, **_: Any) -> bool:
        self.stopped.set()
        return True

    async def lost(self) -> None:
        await self.never.wait()

    async def ended(self) -> AsyncIterator[None]:
        await self.never.wait()
        yield

    async def inventory(self) -> Inventory:
        self.inventories += 1
        return Inventory()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/octavia.db", tmp_path / "octavia.key")
    yield opened
    await opened.close()


@pytest.fixture
async def site(store: SqlStore) -> AsyncIterator[Site]:
    running = Site(store)
    await running.controller.start()
    yield running
    await running.controller.stop()


@pytest.fixture
async def cloud(site: Site, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    monkeypatch.setattr(housekeeping, "INTERVAL", 1000.0)
    monkeypatch.setattr(controller, "FIRST_ERROR_RETRY", 1e6)  # a test may last longer on a busy machine
    made = Cloud()

    async def opened(_: Any) -> None:
        made.opened = True

    heartbeats = SimpleNamespace(open=opened, close=lambda: None)
    for id_ in "abc":
        await site.insert(id_)
        await until(lambda id_=id_: applied(site.store, id_))  # type: ignore[misc]
    keeper = Housekeeper(
        site.store, cast("Any", made), site.controller, cast("Any", heartbeats), StatusCache(), networks=cast("Any", None), idle_seconds=None,
        when_idle=lambda: None,
    )  # fmt: skip
    keeper.start()
    await until(lambda: made.inventories == 1 and made.opened)  # both tasks have read all scopes
    yield made
    await keeper.stop()


async def test_a_commit_reads_no_other_scope(
    site: Site, cloud: Cloud, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    read = reads_of_scopes(monkeypatch)

    async def only_its_own() -> bool:
        read.clear()
        for _ in range(3):
            await store.write(lambda tx: tx.touch("b"))
            await until(lambda: applied(site.store, "b"))
        return set(read) == {"b"}

    await until(only_its_own)  # at first others may not have read yet what they wrote themselves
    assert cloud.inventories == 1


async def test_the_cloud_ends_with_the_last_scope(site: Site, cloud: Cloud, store: SqlStore) -> None:
    for id_ in "abc":
        assert not cloud.stopped.is_set()
        await store.write(lambda tx, id_=id_: tx.mark_deleting([id_]))  # type: ignore[misc]
        await until(lambda id_=id_: site.controller.reconciler(id_) is None)  # type: ignore[misc]
    async with asyncio.timeout(40):
        await cloud.stopped.wait()


async def test_a_cloud_that_does_not_answer_is_told_of_once(
    store: SqlStore, site: Site, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is to be served, and whether something has to stay cannot be found out."""
    tries, said = 0, []
    log = SimpleNamespace(
        warning=lambda event, **_: said.append(event), info=lambda event, **_: said.append(event)
    )  # fmt: skip
    monkeypatch.setattr(outage, "log", log)
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.01)

    async def stop(**_: Any) -> bool:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unreachable("does not answer", subject="Keystone")
        cloud.stopped.set()
        return True

    cloud.stop = stop  # type: ignore[method-assign]
    await store.write(lambda tx: tx.mark_deleting(["a", "b", "c"]))
    await until(lambda: said == ["cloud.unreachable", "cloud.reachable"])
    assert cloud.stopped.is_set()
