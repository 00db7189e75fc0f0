# SPDX-License-Identifier: Apache-2.0
"""Questions to the agents of amphorae that are silent: silence alone condemns nobody."""

from __future__ import annotations

import asyncio

import structlog

from octavia_provider.model.errors import OctaviaError
from octavia_provider.model.events import Reason
from octavia_provider.ports import AgentRefused, Agents, Instance

from .amphora_group import AmphoraGroupReconciler
from .controller import Controller
from .followed import Spawn
from .load_balancer import BalancerReconciler
from .status_cache import StatusCache

log = structlog.get_logger(__name__)
ASKED_AT_ONCE = 32


class Questions:
    """``timeout``: of heartbeats, in seconds. ``spawn`` runs a task of its own."""

    def __init__(
        self, controller: Controller, agents: Agents, status_cache: StatusCache, spawn: Spawn, timeout: float
    ) -> None:  # fmt: skip
        self._controller, self._agents, self._status_cache = controller, agents, status_cache
        self._spawn, self._timeout = spawn, timeout
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)
        self._confirming: set[tuple[str, str]] = set()

    async def ask_host(self, host_id: str, group_id: str, failure: Exception | None) -> None:
        """Ask the agent of an amphora that several load balancers are on; its group sees to it where it does not answer."""
        self._status_cache.host_lost(group_id, host_id)
        group = self._controller.reconciler(group_id)
        if isinstance(group, AmphoraGroupReconciler) and not await group.answers(host_id, self._asking, failure):
            self._controller.poke(group_id, forget=True)

    async def ask(self, amphora_id: str, load_balancer_id: str, failure: Exception | None) -> None:
        """Ask one that a load balancer is on; once, however long that takes."""
        which = (amphora_id, load_balancer_id)
        if which in self._confirming:
            return
        self._confirming.add(which)
        try:
            await self._ask_whether_it_lives(amphora_id, load_balancer_id, failure)
        finally:
            self._confirming.discard(which)

    async def _ask_whether_it_lives(self, amphora_id: str, load_balancer_id: str, failure: Exception | None) -> None:
        """Ask its agent, over mTLS, if it was not asked early (``failure``). One that answers is well, though its heartbeats get lost; of
        one that does not the reconciler asks the cloud, and starts its agent anew or makes the amphora anew."""
        reconciler = self._controller.reconciler(load_balancer_id)
        if not isinstance(reconciler, BalancerReconciler):
            return
        instance = (reconciler.instances or {}).get(amphora_id)
        if instance is None:  # it is not there yet: the reconciler sees to that
            self._status_cache.lost(load_balancer_id, amphora_id)
            return
        if amphora_id in reconciler.suspects:  # it was asked
            self._controller.poke(load_balancer_id, forget=True)
            return
        try:
            if failure is not None:
                raise failure
            if await self._answers(reconciler, instance):
                return
        except (OctaviaError, AgentRefused) as error:
            log.warning("silence confirmed", amphora=amphora_id, load_balancer=load_balancer_id, reason=str(error))
            reconciler.suspect(amphora_id, str(error))
            if instance.host is None:  # else its group has noted it
                message = f"No heartbeat for {self._timeout:g} s, and its agent does not answer; the cloud is asked"
                reconciler.events.note(Reason.AgentSilent, message, amphora_id=amphora_id)
                self._spawn(reconciler.write_events())  # it may have enough to do for a while
        self._status_cache.lost(load_balancer_id, amphora_id)
        self._controller.poke(load_balancer_id, forget=True)

    async def _answers(self, reconciler: BalancerReconciler, instance: Instance) -> bool:
        """Whether it serves what we know, though its heartbeats do not come."""
        async with self._asking:
            seen = await self._agents.states(instance, reconciler.desired_state.scope.id)
            known = reconciler.in_force.get(instance.amphora_id)
            if seen is None or known is None or seen.digest != known.digest:
                return False
            self._status_cache.see(instance.amphora_id, known.configuration, seen)
            log.warning("heartbeats do not arrive, its agent answers", amphora=instance.amphora_id)
            message = "Its agent answers and serves; its heartbeats do not arrive"
            reconciler.events.note(Reason.HeartbeatsLost, message, amphora_id=instance.amphora_id)
        self._spawn(reconciler.write_events())
        return True
