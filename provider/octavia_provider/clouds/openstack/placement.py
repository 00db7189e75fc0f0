# SPDX-License-Identifier: Apache-2.0
"""Servers of a group on compute hosts of their own, where there are enough of them.

Soft anti-affinity alone does not see to it: Nova's schedulers know of a server when it runs, and of one that was asked for at the same moment
nothing (Nova's ``HostState.update`` forgets what the scheduler itself has placed on a host with other servers). So servers of a group are asked for
one after the other, and one that came to the host of another is made anew, once, when that one runs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakValueDictionary

import structlog

from . import names
from .nova import FIRST_PAUSE, LONGEST_PAUSE, Nova
from .session import Json
from .settings import OpenStackSettings

log = structlog.get_logger(__name__)

PLACING_SECONDS = 30.0
"""Until a server has a host. After that the next of its group is made all the same: soft anti-affinity is a wish."""
CROWDED_SECONDS = 600.0
"""So long none is made anew, after one that was made anew has come to the same host: there may be no other."""


class Placement:
    """Of one control plane."""

    def __init__(self, nova: Nova, settings: OpenStackSettings) -> None:
        self._nova, self._settings = nova, settings
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._crowded_until = 0.0

    async def make(
        self, make: Callable[[], Awaitable[Json]], load_balancer_id: str, amphora_id: str, others: Sequence[str]
    ) -> Json:
        """A server by ``make``, on another host than those of the amphorae ``others`` if that can be. It may not run yet."""
        lock = self._locks.setdefault(load_balancer_id, asyncio.Lock())
        async with lock:
            made = await make()
            beside = await self._beside(made, load_balancer_id, others)
            if beside is None or time.monotonic() < self._crowded_until:
                return made
            log.info("openstack.same_host", amphora=amphora_id, server=made["id"], as_server=beside["id"])
            await self._wait(beside["id"], self._settings.boot_timeout, lambda server: False)
            await self._nova.remove(made["id"], amphora_id)
            made = await make()
            if await self._beside(made, load_balancer_id, others):
                self._crowded_until = time.monotonic() + CROWDED_SECONDS
                log.warning("openstack.no_other_host", amphora=amphora_id, server=made["id"])
            return made

    async def _beside(self, made: Json, load_balancer_id: str, others: Sequence[str]) -> Json | None:
        """The server of one of the others that is on the host of this one."""
        server = await self._wait(made["id"], PLACING_SECONDS, lambda server: bool(server["hostId"]))
        if server is None or not server["hostId"]:
            return None
        there = await self._nova.servers(names.load_balancer(load_balancer_id))
        return next((
            one for one in there
            if one["hostId"] == server["hostId"] and names.tagged(one["tags"], "octavia-amphora") in others
        ), None)  # fmt: skip

    async def _wait(self, server_id: str, seconds: float, enough: Callable[[Json], bool]) -> Json | None:
        """A server as it is once it is not in BUILD any more, or that is enough, or the time is over; None where it is gone."""
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
        while (server := await self._nova.server(server_id)) is not None:
            if server["status"] != "BUILD" or enough(server) or time.monotonic() > deadline:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return server
