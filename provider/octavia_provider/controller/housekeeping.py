# SPDX-License-Identifier: Apache-2.0
"""Housekeeping of a cloud: what should be there and is not is made again; when nothing is left, all goes.

A namespace that somebody deleted, a process that somebody killed, a machine that was started anew: each shows as
something missing in what the cloud says of itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from octavia_provider.kit import tasks
from octavia_provider.model.errors import OctaviaError
from octavia_provider.model.events import Reason
from octavia_provider.ports import Cloud, Networks, Scope, Store, Watch

from .controller import Controller
from .heartbeats import Heartbeats
from .orphans import HINT, OrphanCollector, look, orphans, sentence
from .outage import FIRST_PAUSE, Outage
from .status_cache import StatusCache

log = structlog.get_logger(__name__)
INTERVAL = 5.0
WITH_AMPHORAE = ("load_balancer", "amphora_group")
RESOURCE_LOST = "It does not run in the cloud any more, and is made again"


class Housekeeper:
    """Compares what the cloud has with what the store wants; ends the cloud, then the process, when all is gone.

    ``when_idle`` is called after ``idle_seconds`` without any object (None: never). ``longest_pause``: seconds between two tries of
    a cloud that does not answer, at most; one on this machine is tried again each second.
    """

    def __init__(
        self,
        store: Store,
        cloud: Cloud,
        controller: Controller,
        heartbeats: Heartbeats,
        status_cache: StatusCache,
        *,
        networks: Networks,
        idle_seconds: float | None,
        when_idle: Callable[[], None],
        longest_pause: float = FIRST_PAUSE,
    ) -> None:
        self._store, self._cloud, self._controller = store, cloud, controller
        self._heartbeats, self._status_cache = heartbeats, status_cache
        self._idle_seconds, self._when_idle = idle_seconds, when_idle
        self._outage = Outage(lambda: asyncio.get_running_loop().time(), longest_pause)
        self._orphans = OrphanCollector(store, cloud, controller.events, networks)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [
            tasks.run_forever("cloud's life", self._live),
            tasks.run_forever("housekeeping", self._keep_house),
        ]

    async def stop(self) -> None:
        """End; the cloud goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self) -> None:
        """While there are objects there is a cloud, and a socket in it for heartbeats."""
        async with self._store.watch() as watch:
            again = False
            while True:
                if not await self._scopes():
                    self._outage.over("start")
                    again = False
                    await watch.changed()
                    continue
                try:
                    await self._cloud.start()
                    await self._heartbeats.open(self._cloud)
                    self._outage.over("start")
                    if again:
                        self._controller.poke_all()
                    await self._until_lost()
                except (OctaviaError, OSError) as error:
                    pause = self._outage.failed("start", error)
                    await self._controller.events.record(Reason.CloudLost, str(error))
                    await asyncio.sleep(pause)
                again = True
                self._heartbeats.close()

    async def _until_lost(self) -> None:
        """What ends in the cloud is missed at once; the look of housekeeping, now and then, finds what nobody told."""
        listening = tasks.run_forever("what ends in the cloud", self._listen)
        try:
            await self._cloud.lost()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        async for _ in self._cloud.ended():
            await self._look(await self._scopes())

    async def _keep_house(self) -> None:
        async with self._store.watch() as watch:
            clock = asyncio.get_running_loop().time
            looked, empty_since = 0.0, None
            while True:
                scopes = await self._scopes()
                if scopes:
                    empty_since = None
                    if clock() - looked >= INTERVAL:
                        await self._look(scopes)
                        looked = clock()
                    await self._until_gone(watch, looked + INTERVAL - clock())
                    continue
                if empty_since is None:
                    if (pause := await self._take_down()) is not None:
                        await _changed(watch, pause)
                        continue
                    empty_since = clock()
                if self._idle_seconds is not None and clock() - empty_since >= self._idle_seconds:
                    self._when_idle()
                    return
                await _changed(watch, self._idle_seconds)

    async def _until_gone(self, watch: Watch, seconds: float) -> None:
        """Wait until a scope is gone, which may have been the last, for so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                written: Mapping[str, Scope | None] = {}
                while len(await self._controller.scopes(written)) == len(written):
                    written = await watch.changed()

    async def _take_down(self) -> float | None:
        """None when the cloud is down, else seconds until the next try; it stays up where something was asked for meanwhile."""
        try:
            down = await self._cloud.stop(unless=self._needed)
        except (OctaviaError, OSError) as error:
            return self._outage.failed("look", error)
        self._outage.over("look")
        return None if down else FIRST_PAUSE

    async def _needed(self) -> bool:
        """Whether the cloud has to stay: something is wanted, or runs in it. What we delete is out of it by then, so what
        still runs was never ours to end."""
        if await self._scopes():
            return True
        there = await look(self._cloud)
        if not there.empty:
            unknown = await orphans(there, self._store)
            log.error("the store does not know what runs: the cloud stays", what=sentence(unknown), hint=HINT)
            await self._controller.events.record(Reason.OrphanFound, sentence(unknown))
        return not there.empty

    async def _scopes(self) -> list[Scope]:
        """What the cloud has to be there for."""
        return await self._controller.scopes()

    async def _look(self, scopes: list[Scope]) -> None:
        try:
            await self._compare(scopes)
        except (OctaviaError, OSError) as error:
            self._outage.failed("look", error)
        else:
            self._outage.over("look")

    async def _compare(self, scopes: list[Scope]) -> None:
        inventory = await self._cloud.inventory()
        self._status_cache.resources_seen({resource.id: resource.running for resource in inventory.resources})
        await self._orphans.collect(inventory)
        for scope in scopes:
            if scope.generation > scope.applied:
                continue  # being worked on
            reconciler = self._controller.reconciler(scope.id)
            if reconciler is not None and reconciler.missing(inventory):
                log.warning("missing", kind=scope.kind, id=scope.id)
                if scope.kind not in WITH_AMPHORAE:  # whose reconcilers find out which of them it is
                    await self._controller.events.record(Reason.ResourceLost, RESOURCE_LOST, scope)
                self._controller.poke(scope.id, forget=True)


async def _changed(watch: Watch, seconds: float | None) -> None:
    """Wait for a commit, for so long at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watch.changed()
