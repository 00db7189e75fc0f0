# SPDX-License-Identifier: Apache-2.0
"""The amphorae of one load balancer, and what can be done to one of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from octavia_amphora.wire.messages import VersionStamp
from octavia_provider.model import flavor
from octavia_provider.model.errors import LeaseLost, OctaviaError, TransientError, Unreachable
from octavia_provider.model.events import EventFilter, Reason
from octavia_provider.planner.succession import ALONE
from octavia_provider.ports import (
    AGENT,
    CERTIFICATE,
    AgentRefused,
    Amphora,
    AmphoraSpec,
    CertificateExpired,
    Instance,
    Transaction,
    fenced,
)

from . import agent_care, amphorae
from .balancer_view import BalancerView

T = TypeVar("T")
log = structlog.get_logger(__name__)
OWNER = Reason.RoleChanged.name
HANDOVER_SECONDS, HANDOVER_POLL = 3.0, 0.05
JUST_NOW = 2.0
"""Seconds: an agent that did not answer so long ago is not asked again."""


@dataclass(slots=True)
class BalancerAmphorae(BalancerView):
    """What can be done to one of them."""

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
            self.events.note(Reason.AmphoraFailed, _why(self.failing[amphora_id], amphora_id), amphora_id=amphora_id)
        return done

    async def add_amphora(self, role: str) -> None:
        """Write a new one down."""
        amphora = amphorae.new(self.desired_state.scope.id, role)
        await self.write(lambda tx: tx.put_amphora(amphora))
        self.amphorae = (*self.amphorae, amphora)

    async def boot(self, amphora_id: str) -> None:
        """Make its instance, or find it made, and wait for its agent."""
        await self._have_own_addresses(amphora_id)
        issued: list[str] = []
        clock = asyncio.get_running_loop().time
        began = clock()
        issuer, trusted = self.ports.authority.issuer, self.ports.authority.trusted
        instance = await self.ports.compute.boot(self._order(amphora_id, issued.append))
        version = await self.ports.agents.ready(instance, agent_care.START_TIMEOUT)
        self.suspects.discard(amphora_id)
        amphora = self.amphora(amphora_id)
        expires = issued[-1] if issued else amphora.certificate_expires
        ready = replace(
            amphora, status="ALLOCATED", management_address=instance.agent[0], certificate_expires=expires,
            flavor=flavor.booted_by(self.flavor), agent_version=version,
        )  # fmt: skip
        if issued:
            ready = replace(ready, issuer=issuer, trusted=trusted)
        seconds = round(clock() - began, 3)
        self.events.note(
            Reason.AmphoraBooted, f"An amphora ({amphora.role}) runs, and its agent answers", amphora_id=amphora_id,
            data={"seconds": seconds},
        )  # fmt: skip
        await self._keep(ready)
        self.instances = {**(self.instances or {}), amphora_id: instance}
        if not await self._kept_in_force(instance):
            self.forget_in_force(amphora_id)

    async def _have_own_addresses(self, amphora_id: str) -> None:
        """It has its own addresses, if it is one of several that carry the VIPs."""
        amphora = self.amphora(amphora_id)
        if amphora.role == ALONE:  # the VIPs are its own
            return
        root = self.desired_state.records[self.desired_state.scope.id]
        known = await self.addresses.own(self.ports.store, self.desired_state.scope, root, amphora)
        self._replace(known)

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

    def suspect(self, amphora_id: str, reason: str) -> None:
        """Its agent was asked, and does not answer."""
        self.suspects.add(amphora_id)
        self.confirmed[amphora_id] = (asyncio.get_running_loop().time(), reason)

    async def recover_agent(self, amphora_id: str) -> None:
        """Its agent answers, if need be after a restart."""
        self.suspects.discard(amphora_id)
        amphora, instance, restart = self._cared_for(amphora_id)
        asked, reason = self.confirmed.pop(amphora_id, (-math.inf, ""))
        try:
            if asyncio.get_running_loop().time() - asked < JUST_NOW:
                recovered = await restart(amphora, reason)
            else:
                recovered = await agent_care.recover(self.ports.agents, instance, amphora, restart)
        except OctaviaError as error:
            self.suspects.add(amphora_id)
            # One that shows an expired certificate after its restart is well: it is our clock that is not.
            if not isinstance(error, CertificateExpired):
                self.unrecoverable.add(amphora_id)
            raise
        self.unrecoverable.discard(amphora_id)
        if recovered is amphora:
            self.events.note(Reason.AgentRecovered, "The agent answers", amphora_id=amphora_id)
        await self._keep(recovered)

    async def renew_certificate(self, amphora_id: str) -> None:
        """Its agent has another certificate, where it can take one; it is started anew where that is asked."""
        self.renewed.add(amphora_id)
        amphora, instance, restart = self._cared_for(amphora_id)
        agents, authority = self.ports.agents, self.ports.authority
        if AGENT in amphora.requests:
            renewed = await restart(amphora, "an operator asked for it")
        else:
            renewed = await agent_care.renew_certificate(agents, authority, instance, amphora, restart)
        if renewed is amphora:
            message = f"The agent took no new certificate; the present one is good until {amphora.certificate_expires}"
            self.events.note(Reason.CertificateNotRenewed, message, amphora_id=amphora_id)
            return
        until = renewed.certificate_expires
        if AGENT not in amphora.requests and until == amphora.certificate_expires:
            await self._keep(renewed)  # it trusts other authorities, no more
            return
        message = f"The agent has a new certificate, good until {until}"
        self.events.note(Reason.CertificateRenewed, message, amphora_id=amphora_id, data={"expires": until})
        await self._keep(renewed, fulfilled=amphora.requests & {AGENT, CERTIFICATE})

    def _cared_for(self, amphora_id: str) -> tuple[Amphora, Instance, agent_care.Restart]:
        amphora, instance = self.amphora(amphora_id), (self.instances or {})[amphora_id]
        make = partial(self._order, amphora_id)
        start_anew = partial(agent_care.restart, self.ports.compute, self.ports.agents, instance, make=make)

        async def restart(amphora: Amphora, reason: str) -> Amphora:
            issuer, trusted = self.ports.authority.issuer, self.ports.authority.trusted
            restarted = replace(await start_anew(amphora, reason), issuer=issuer, trusted=trusted)
            self.events.note(Reason.AgentRestarted, f"The agent was started again: {reason}", amphora_id=amphora_id)
            return restarted

        return amphora, instance, restart

    async def _keep(self, changed: Amphora, *, fulfilled: frozenset[str] = frozenset()) -> None:
        if changed == self.amphora(changed.id) and not fulfilled:
            return

        def work(tx: Transaction) -> None:
            tx.put_amphora(changed)
            tx.fulfil([changed.id], *fulfilled)

        await self.write(work)
        self._replace(replace(changed, requests=changed.requests - fulfilled))

    def _replace(self, changed: Amphora) -> None:
        self.amphorae = tuple(changed if a.id == changed.id else a for a in self.amphorae)

    def _order(self, amphora_id: str, issued: Callable[[str], None]) -> AmphoraSpec:
        """``issued`` is told until when its new certificate is good."""
        amphora = self.amphora(amphora_id)
        make = partial(
            amphorae.files, amphora, self.ports.authority, self.ports.receivers,
            issued=issued, heartbeat_interval=self.ports.heartbeat_interval, log_level=self.ports.agent_log_level,
        )  # fmt: skip
        others = tuple(one.id for one in self.succession().kept if one.id != amphora_id)
        return AmphoraSpec(
            id=amphora_id, load_balancer_id=self.desired_state.scope.id, vips=self.bearing(amphora), files=make,
            flavor=flavor.booted_by(self.flavor), zone=self.zone, apart_from=others,
        )  # fmt: skip

    async def readdress(self, amphora_id: str, *, keep: bool) -> None:
        """It carries what it is to carry, and with ``keep`` what it carried."""
        await self._have_own_addresses(amphora_id)  # of a subnet that has joined too
        bearing = self.bearing(self.amphora(amphora_id))
        instance = await self.ports.compute.readdress(amphora_id, bearing, keep=keep)
        self.instances = {**(self.instances or {}), amphora_id: instance}

    async def recast(self, amphora_id: str, role: str) -> None:
        """Write down that it has another role."""
        message = f"The topology changes: it is {role} from now on"
        self.events.note(Reason.TopologyChanged, message, amphora_id=amphora_id, data={"role": role})
        await self._keep(replace(self.amphora(amphora_id), role=role))

    async def retire(self, amphora_id: str) -> None:
        """Write down that it is to be replaced."""
        await self.write(lambda tx: tx.retire([amphora_id]))
        self._replace(replace(self.amphora(amphora_id), retiring=True))

    async def hand_over(self, amphora_id: str) -> None:
        """Return when it has the VIPs, or another one that stays."""
        clock = asyncio.get_running_loop().time
        patience = HANDOVER_SECONDS + 10 * float(self.flavor["vrrp_advertisement_interval"])
        until = clock() + patience
        while self.owner != amphora_id and not self.succession().established:
            if clock() > until:
                subject = f"amphora {amphora_id}"
                raise Unreachable(f"it has not taken over the VIPs within {patience:g} s", subject=subject)
            await asyncio.gather(*(self._ask_for_vrrp(one) for one in (self.instances or {}).values()))
            await asyncio.sleep(HANDOVER_POLL)
        await self.record_owner()

    async def record_owner(self) -> None:
        """Who has the VIPs now, where that is another one than the events tell: also after a restart of the control plane."""
        owner, wanted = self.owner, EventFilter(load_balancer_ids=(self.desired_state.scope.id,), reasons=(OWNER,))
        if owner is None or owner == self.told_owner:
            return
        self.told_owner = owner
        found = await self.ports.store.read(lambda tx: tx.events(wanted, limit=1, newest=True))
        before = found[0].amphora_id if found else None
        if before != owner:
            message = "It has the VIPs now" + (f"; amphora {before} had them" if before else "")
            self.events.note(Reason.RoleChanged, message, amphora_id=owner, data={"before": before})
            await self.write_events()

    async def _ask_for_vrrp(self, instance: Instance) -> None:
        try:
            found = await self.ports.agents.standing(instance, self.desired_state.scope.id)
        except TransientError:
            return
        self.hear_vrrp(instance.amphora_id, found.vrrp if found else "")

    async def drain(self, amphora_id: str) -> None:
        """It finishes what it has, takes nothing more, and ends; what takes too long is cut off."""
        lease, instance = self.desired_state.scope, (self.instances or {})[amphora_id]
        scope = await self.ports.store.write(lambda tx: tx.next_revision(lease.id, lease.fence))
        stamp = VersionStamp(scope.epoch, scope.fence, scope.revision, self.desired_state.generation, "")
        try:
            await self.ports.agents.remove(instance, lease.id, stamp)
        except (AgentRefused, TransientError) as error:  # it goes anyway
            log.warning("not drained", amphora=amphora_id, reason=str(error))
        self.drained.add(amphora_id)

    async def discard(self, amphora_id: str) -> None:
        """Take its instance away and forget it."""
        await self.ports.compute.delete(amphora_id)
        self.events.note(Reason.AmphoraDeleted, "An amphora was taken away", amphora_id=amphora_id)
        await self.write(lambda tx: tx.delete_amphora(amphora_id))
        self.amphorae = tuple(a for a in self.amphorae if a.id != amphora_id)
        self.instances = {i: one for i, one in (self.instances or {}).items() if i != amphora_id}
        self.forget_in_force(amphora_id)
        self.masters.pop(amphora_id, None)
        self.confirmed.pop(amphora_id, None)
        for known in (self.drained, self.suspects, self.unrecoverable):
            known.discard(amphora_id)
        self.ports.status_cache.forget_amphora(self.desired_state.scope.id, amphora_id)

    async def write(self, work: Callable[[Transaction], object]) -> None:
        """Write as the holder of the lease, with the events that were noted since the last write."""
        with self.events.taken_along(work) as recorded:
            await self.ports.store.write(fenced(self.desired_state.scope, recorded))

    async def write_events(self) -> None:
        """Those that no other write has taken along."""
        if self.events.noted:
            await self.write(lambda tx: None)


def _why(error: BaseException, amphora_id: str) -> str:
    """In an event of the amphora, which names it already."""
    if isinstance(error, OctaviaError) and error.subject == f"amphora {amphora_id}":
        return error.message
    return str(error)
