# SPDX-License-Identifier: Apache-2.0
"""All load balancers of this amphora, by id."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

from octavia_amphora.interfaces.applier import Interfaces
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.wire.messages import Applied, InForce, LoadBalancerStatus, Push, Refusal, States, VersionStamp

from .errors import PushRefused
from .load_balancer import LoadBalancer
from .settings import AgentSettings


class LoadBalancers:
    """Hands each request to its load balancer. ``changed`` is called when a heartbeat should not wait."""

    def __init__(self, settings: AgentSettings, interfaces: Interfaces, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._interfaces = interfaces
        self._on_change = changed
        self._claims = Claims()
        self._balancers: dict[str, LoadBalancer] = {}
        self._recovered: set[str] = set()

    async def recover(self) -> None:
        """Take up every load balancer that is on disk, all at once. One that fails is tried again by who calls again."""
        await self._interfaces.start()
        found = [name for name in self._ids_on_disk() if name not in self._recovered]
        results = await asyncio.gather(*(self._recover(name) for name in found), return_exceptions=True)
        self._on_change()
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            raise failed[0]

    async def _recover(self, name: str) -> None:
        await self._get_or_create(name).recover()
        self._recovered.add(name)

    async def push(self, load_balancer_id: str, push: Push) -> Applied:
        """Put a configuration in force, or raise ``PushRefused``."""
        return await self._get_or_create(load_balancer_id).push(push)

    async def remove(self, load_balancer_id: str, stamp: VersionStamp) -> None:
        """Stop serving a load balancer."""
        await self._get_or_create(load_balancer_id).remove(stamp)

    async def status(self, load_balancer_id: str) -> LoadBalancerStatus | None:
        """What is in force for it."""
        balancer = self._balancers.get(load_balancer_id)
        return await balancer.status() if balancer else None

    async def states(self, load_balancer_id: str) -> States | None:
        """All that haproxy says of it now."""
        balancer = self._balancers.get(load_balancer_id)
        return await balancer.collect_states() if balancer else None

    def in_force(self, load_balancer_id: str) -> InForce | None:
        """The configuration that is in force for it."""
        balancer = self._balancers.get(load_balancer_id)
        return balancer.in_force if balancer else None

    def get_serving(self, load_balancer_id: str) -> LoadBalancer | None:
        """The load balancer of this id, if it has something in force."""
        balancer = self._balancers.get(load_balancer_id)
        return balancer if balancer and balancer.configuration else None

    def balancers(self) -> list[LoadBalancer]:
        """Those that have something in force, in order of their ids."""
        return [one for _, one in sorted(self._balancers.items()) if one.configuration]

    async def close(self) -> None:
        """Let go of every haproxy; they go on serving."""
        await asyncio.gather(self._interfaces.close(), *(one.close() for one in self._balancers.values()))

    def _ids_on_disk(self) -> list[str]:
        directory = Path(self._settings.state_directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [path.name for path in directory.iterdir() if path.is_dir() and _is_id(path.name)]

    def _get_or_create(self, load_balancer_id: str) -> LoadBalancer:
        if not _is_id(load_balancer_id):
            raise PushRefused(Refusal("bad_request", f"{load_balancer_id!r} is not the id (a UUID) of a load balancer"))
        if load_balancer_id not in self._balancers:
            self._balancers[load_balancer_id] = LoadBalancer(
                load_balancer_id, self._settings, self._claims, self._interfaces, self._on_change
            )
        return self._balancers[load_balancer_id]


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
