# SPDX-License-Identifier: Apache-2.0
"""The amphorae of one load balancer: what is known of each, and what can be done to one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import structlog

from octavia_provider.model.errors import LeaseLost, OctaviaError, TransientError
from octavia_provider.model.events import Reason
from octavia_provider.ports import Amphora, AmphoraSpec, CertificateExpired, Instance, Transaction, fenced

from . import agent_care, amphorae
from .addresses import Addresses
from .context import Ports
from .desired_state import DesiredState
from .event_recorder import EventRecorder
from .push import InForce

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class BalancerAmphorae:
    """``amphorae``: the store's; ``instances``: the cloud's (None: to be asked for); ``in_force``: what their agents have.

    ``unproven``: those of which ``in_force`` is what was last known, and is not relied on: the next push is whole.
    ``suspects``: those whose agents are silent; ``failing``: those left aside in this pass, since something of them failed;
    ``renewed``: those whose certificate it has tried to renew.
    """

    ports: Ports
    desired_state: DesiredState
    amphorae: tuple[Amphora, ...] = ()
    instances: dict[str, Instance] | None = None
    in_force: dict[str, InForce] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    failing: dict[str, OctaviaError | OSError] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)
    addresses: Addresses = field(init=False)
    events: EventRecorder = field(init=False)

    def __post_init__(self) -> None:
        """Its addresses come from the cloud's networks."""
        self.addresses = Addresses(self.ports.networks)
        self.events = EventRecorder(self.desired_state.scope.id, self.ports.holder)

    def carried(self) -> set[str]:
        """Addresses that any of its instances carries."""
        return {address for instance in (self.instances or {}).values() for address in instance.vips}

    async def leave_aside_what_fails(self, work: Mapping[str, Awaitable[T]]) -> dict[str, T]:
        """What comes of each; an amphora whose work fails holds up no other. Raises where none is left that works."""
        found = await asyncio.gather(*work.values(), return_exceptions=True)
        done: dict[str, T] = {}
        for amphora_id, result in zip(work, found, strict=True):
            if isinstance(result, (OctaviaError, OSError)) and not isinstance(result, LeaseLost):
                log.warning("amphora left aside", amphora=amphora_id, reason=str(result))
                self.failing[amphora_id] = result
                if isinstance(result, CertificateExpired):  # sooner than the store says
                    self.suspects.add(amphora_id)
            elif isinstance(result, BaseException):
                raise result
            else:
                done[amphora_id] = result
        if all(amphora.id in self.failing for amphora in self.amphorae):
            raise next(iter(self.failing.values()))
        for amphora_id in work.keys() - done.keys():
            self.events.note(Reason.AmphoraFailed, str(self.failing[amphora_id]), amphora_id=amphora_id)
        return done

    def amphora(self, amphora_id: str) -> Amphora:
        """The amphora of this id."""
        return next(amphora for amphora in self.amphorae if amphora.id == amphora_id)

    async def add_amphora(self, role: str) -> None:
        """Write a new one down."""
        amphora = amphorae.new(self.desired_state.scope.id, role)
        await self.write(lambda tx: tx.put_amphora(amphora))
        self.amphorae = (*self.amphorae, amphora)

    async def boot(self, amphora_id: str) -> None:
        """Make its instance, or find it made, and wait for its agent."""
        issued: list[str] = []
        clock = asyncio.get_running_loop().time
        began = clock()
        instance = await self.ports.compute.boot(self._order(amphora_id, issued.append))
        await self.ports.agents.ready(instance, agent_care.START_TIMEOUT)
        self.suspects.discard(amphora_id)
        amphora = self.amphora(amphora_id)
        expires = issued[-1] if issued else amphora.certificate_expires
        ready = replace(amphora, status="ALLOCATED", management_address=instance.agent[0], certificate_expires=expires)
        seconds = round(clock() - began, 3)
        self.events.note(
            Reason.AmphoraBooted, f"An amphora ({amphora.role}) runs, and its agent answers", amphora_id=amphora_id,
            data={"seconds": seconds},
        )  # fmt: skip
        await self._keep(ready)
        self.instances = {**(self.instances or {}), amphora_id: instance}
        if not await self._kept_in_force(instance):
            self.forget_in_force(amphora_id)

    async def _kept_in_force(self, instance: Instance) -> bool:
        """Whether an instance that was started again still has what was last known to be in force."""
        known = self.in_force.get(instance.amphora_id)
        if known is None:
            return False
        self.unproven.add(instance.amphora_id)
        try:
            found = await self.ports.agents.standing(instance, self.desired_state.scope.id)
        except TransientError:
            return False
        return found is not None and found.stamp.digest == known.digest

    def forget_in_force(self, amphora_id: str) -> None:
        """Nothing is known to be in force there."""
        self.in_force.pop(amphora_id, None)
        self.unproven.discard(amphora_id)

    async def recover_agent(self, amphora_id: str) -> None:
        """Its agent answers, if need be after a restart."""
        self.suspects.discard(amphora_id)
        amphora, instance, restart = self._cared_for(amphora_id)
        recovered = await agent_care.recover(self.ports.agents, instance, amphora, restart)
        if recovered is amphora:
            self.events.note(Reason.AgentRecovered, "The agent answers", amphora_id=amphora_id)
        await self._keep(recovered)

    async def renew_certificate(self, amphora_id: str) -> None:
        """Its agent has another certificate, where it can take one."""
        self.renewed.add(amphora_id)
        amphora, instance, restart = self._cared_for(amphora_id)
        agents, authority = self.ports.agents, self.ports.authority
        renewed = await agent_care.renew_certificate(agents, authority, instance, amphora, restart)
        if renewed is amphora:
            message = f"The agent took no new certificate; the present one is good until {amphora.certificate_expires}"
            self.events.note(Reason.CertificateNotRenewed, message, amphora_id=amphora_id)
        else:
            until = renewed.certificate_expires
            message = f"The agent has a new certificate, good until {until}"
            self.events.note(Reason.CertificateRenewed, message, amphora_id=amphora_id, data={"expires": until})
        await self._keep(renewed)

    def _cared_for(self, amphora_id: str) -> tuple[Amphora, Instance, agent_care.Restart]:
        amphora, instance = self.amphora(amphora_id), (self.instances or {})[amphora_id]
        make = partial(self._order, amphora_id)
        start_anew = partial(agent_care.restart, self.ports.compute, self.ports.agents, instance, make=make)

        async def restart(amphora: Amphora, reason: str) -> Amphora:
            restarted = await start_anew(amphora, reason)
            self.events.note(Reason.AgentRestarted, f"The agent was started again: {reason}", amphora_id=amphora_id)
            return restarted

        return amphora, instance, restart

    async def _keep(self, changed: Amphora) -> None:
        if changed == self.amphora(changed.id):
            return
        await self.write(lambda tx: tx.put_amphora(changed))
        self.amphorae = tuple(changed if a.id == changed.id else a for a in self.amphorae)

    def _order(self, amphora_id: str, issued: Callable[[str], None]) -> AmphoraSpec:
        """``issued`` is told until when its new certificate is good."""
        amphora = self.amphora(amphora_id)
        make = partial(
            amphorae.files, amphora, self.ports.authority, self.ports.receivers,
            issued=issued, heartbeat_interval=self.ports.heartbeat_interval,
        )  # fmt: skip
        return AmphoraSpec(
            id=amphora_id, load_balancer_id=self.desired_state.scope.id, vips=self.addresses.vips, files=make
        )

    async def readdress(self, amphora_id: str, *, keep: bool) -> None:
        """It carries the VIPs, and with ``keep`` what it carried."""
        instance = await self.ports.compute.readdress(amphora_id, self.addresses.vips, keep=keep)
        self.instances = {**(self.instances or {}), amphora_id: instance}

    async def discard(self, amphora_id: str) -> None:
        """Take its instance away and forget it."""
        await self.ports.compute.delete(amphora_id)
        self.events.note(Reason.AmphoraDeleted, "An amphora was taken away", amphora_id=amphora_id)
        await self.write(lambda tx: tx.delete_amphora(amphora_id))
        self.amphorae = tuple(a for a in self.amphorae if a.id != amphora_id)
        self.instances = {i: one for i, one in (self.instances or {}).items() if i != amphora_id}
        self.forget_in_force(amphora_id)
        self.ports.status_cache.forget_amphora(self.desired_state.scope.id, amphora_id)

    def due(self, amphora: Amphora) -> bool:
        """Its certificate has to be renewed; that is tried once in a pass, for the present one is good meanwhile."""
        known = amphora.status == "ALLOCATED" and amphora.id not in self.renewed
        return known and self.ports.authority.due(amphora.certificate_expires)

    async def write(self, work: Callable[[Transaction], object]) -> None:
        """Write as the holder of the lease, with the events that were noted since the last write."""
        with self.events.taken_along(work) as recorded:
            await self.ports.store.write(fenced(self.desired_state.scope, recorded))

    async def write_events(self) -> None:
        """Those that no other write has taken along."""
        if self.events.noted:
            await self.write(lambda tx: None)
