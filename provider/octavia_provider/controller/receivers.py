# SPDX-License-Identifier: Apache-2.0
"""Agents send their heartbeats to every living control plane: who has an amphora's lease tells its agent who that is."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from octavia_amphora.wire.messages import Receivers
from octavia_provider.kit import tasks
from octavia_provider.model.errors import OctaviaError
from octavia_provider.ports import AgentRefused, Agents, Instance

from .controller import Controller
from .membership import Membership
from .scope_amphorae import ScopeAmphorae

log = structlog.get_logger(__name__)
INTERVAL = 1.0
AT_ONCE = 16


class HeartbeatReceivers:
    """Follows the membership, and the load balancers that are reconciled here."""

    def __init__(self, controller: Controller, agents: Agents, membership: Membership) -> None:
        self._controller, self._agents, self._membership = controller, agents, membership
        self._told: dict[str, tuple[str, ...]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = tasks.run_forever("heartbeat receivers", self._run)

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self.tell()
            with contextlib.suppress(TimeoutError):  # agents that did not answer, and leases that are new
                async with asyncio.timeout(INTERVAL):
                    await self._membership.changed.wait()
            self._membership.changed.clear()

    async def tell(self) -> None:
        """Every agent of ours that does not know it yet."""
        if self._membership.process.heartbeat_receiver is None:
            return
        said = Receivers(self._membership.receivers, self._membership.as_of)
        ours = {one.amphora_id: one for one in self._instances()}
        self._told = {id_: told for id_, told in self._told.items() if id_ in ours}
        late = [one for id_, one in ours.items() if self._told.get(id_) != said.receivers]
        await asyncio.gather(*(self._tell(one, said) for one in late))

    def _instances(self) -> list[Instance]:
        reconcilers = [one for one in self._controller.reconcilers() if isinstance(one, ScopeAmphorae)]
        known = (one for each in reconcilers for one in (each.instances or {}).values() if one.alive)
        return [one for one in known if one.host is None]  # the agents of a group's amphorae are its own

    async def _tell(self, host: Instance, said: Receivers) -> None:
        try:
            async with self._turns:
                if not await self._agents.send_heartbeats_to(host, said):
                    log.info("receivers cannot be changed", amphora=host.amphora_id)
        # Refused as stale, too: another one told it later, and may not have known yet where we listen. Again when we know as much.
        except (OctaviaError, AgentRefused, OSError) as error:
            log.info("receivers not told", amphora=host.amphora_id, reason=str(error))
        else:
            self._told[host.amphora_id] = said.receivers
