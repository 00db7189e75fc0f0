# SPDX-License-Identifier: Apache-2.0
"""The amphorae of one load balancer, and what can be done to one of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from octavia_amphora.wire.messages import VersionStamp
from octavia_provider.model.errors import LeaseLost, OctaviaError, TransientError, Unreachable
from octavia_provider.model.events import EventFilter, Reason
from octavia_provider.planner.succession import ALONE
from octavia_provider.ports import AgentRefused, Amphora, Instance, SeatSpec, Transaction

from . import agent_care, amphorae, seats
from .balancer_view import BalancerView
from .scope_amphorae import ScopeAmphorae

log = structlog.get_logger(__name__)
OWNER = Reason.RoleChanged.name
HANDOVER_SECONDS, HANDOVER_POLL = 3.0, 0.05


@dataclass(slots=True)
class BalancerAmphorae(BalancerView):
    """What can be done to one of them."""

    async def add_amphora(self, role: str) -> None:
        """Write a new one down; in a group, with the place that it is given there."""
        new, group = amphorae.new(self.desired_state.scope.id, role), self.group
        placed: list[Amphora] = []

        def work(tx: Transaction) -> None:
            host_id = seats.choose(tx, group.id, new) if group else None
            if group and host_id is None:
                raise TransientError("none of its amphorae has a place", subject=f"amphora group {group.id}")
            placed.append(replace(new, host_id=host_id))
            tx.put_amphora(placed[-1])

        await self.write(work)
        self.amphorae = (*self.amphorae, placed[-1])

    async def boot(self, amphora_id: str) -> None:
        """Make its instance, or find it made, or have its place in a group; and wait for its agent."""
        await self._have_own_addresses(amphora_id)
        amphora = self.amphora(amphora_id)
        instance = await (self._take_seat(amphora) if amphora.host_id else self.make(amphora_id))
        if not await self._kept_in_force(instance):
            self.forget_in_force(amphora_id)

    async def _take_seat(self, amphora: Amphora) -> Instance:
        """Its addresses are on an amphora of its group, which others use too."""
        instance = await self._attach(amphora, keep=False)
        version = await self.ports.agents.ready(instance, agent_care.ANSWER_TIMEOUT)
        address = instance.agent[0]
        await self.keep(replace(amphora, status="ALLOCATED", management_address=address, agent_version=version))
        self.suspects.discard(amphora.id)
        return instance

    async def _attach(self, amphora: Amphora, *, keep: bool) -> Instance:
        seat = SeatSpec(
            id=amphora.id, host_id=str(amphora.host_id), load_balancer_id=amphora.load_balancer_id,
            vips=self.bearing(amphora),
        )  # fmt: skip
        instance = await self.ports.compute.attach(seat, keep=keep)
        self.instances = {**(self.instances or {}), amphora.id: instance}
        return instance

    async def recover_agent(self, amphora_id: str) -> None:
        """Its agent answers, if need be after a restart. That of a group's amphora is for the group to look after."""
        if self.amphora(amphora_id).host_id is None:
            return await ScopeAmphorae.recover_agent(self, amphora_id)
        await self.ports.agents.ready((self.instances or {})[amphora_id], agent_care.ANSWER_TIMEOUT)
        self.suspects.discard(amphora_id)
        return None

    async def have_peers(self) -> None:
        """All of a pair have own addresses, if possible, before one is told of the others: a keepalived that has the VIPs and no peer yet
        gives them up for a moment when it gets its first one."""
        for amphora in self.amphorae:
            if amphora.role != ALONE and not amphora.own:
                try:
                    await self._have_own_addresses(amphora.id)
                except LeaseLost:
                    raise
                except (OctaviaError, OSError) as error:  # it is tried again when it is booted
                    log.warning("no addresses yet", amphora=amphora.id, reason=str(error))

    async def _have_own_addresses(self, amphora_id: str) -> None:
        """It has its own addresses, if it is one of several that carry the VIPs."""
        amphora = self.amphora(amphora_id)
        if amphora.role == ALONE:  # the VIPs are its own
            return
        root = self.desired_state.records[self.desired_state.scope.id]
        known = await self.addresses.own(self.ports.store, self.desired_state.scope, root, amphora)
        self.substitute(known)

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

    async def readdress(self, amphora_id: str, *, keep: bool) -> None:
        """It carries what it is to carry, and with ``keep`` what it carried."""
        await self._have_own_addresses(amphora_id)  # of a subnet that has joined too
        amphora = self.amphora(amphora_id)
        if amphora.host_id:
            await self._attach(amphora, keep=keep)
            return
        instance = await self.ports.compute.readdress(amphora_id, self.bearing(amphora), keep=keep)
        self.instances = {**(self.instances or {}), amphora_id: instance}

    async def recast(self, amphora_id: str, role: str) -> None:
        """Write down that it has another role."""
        message = f"The topology changes: it is {role} from now on"
        self.events.note(Reason.TopologyChanged, message, amphora_id=amphora_id, data={"role": role})
        if ALONE in (role, self.amphora(amphora_id).role):
            self.masters.pop(amphora_id, None)  # what it said as one of an earlier pair
        await self.keep(replace(self.amphora(amphora_id), role=role))

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
        try:
            await self._remove((self.instances or {})[amphora_id])
        except (AgentRefused, TransientError) as error:  # it goes anyway
            log.warning("not drained", amphora=amphora_id, reason=str(error))
        self.drained.add(amphora_id)

    async def _remove(self, instance: Instance) -> None:
        lease = self.desired_state.scope
        scope = await self.ports.store.write(lambda tx: tx.next_revision(lease.id, lease.fence))
        stamp = VersionStamp(scope.epoch, scope.fence, scope.revision, self.desired_state.generation, "")
        await self.ports.agents.remove(instance, lease.id, stamp)

    async def discard(self, amphora_id: str) -> None:
        """Take its instance away and forget it."""
        known = next((a for a in self.amphorae if a.id == amphora_id), None)
        instance = (self.instances or {}).get(amphora_id)
        if host_id := known.host_id if known else instance.host if instance else None:
            await self._leave_seat(host_id, instance if amphora_id not in self.drained else None)
        else:
            await self.ports.compute.delete(amphora_id)
        self.events.note(Reason.AmphoraDeleted, "An amphora was taken away", amphora_id=amphora_id)
        others = any(a.retiring for a in self.amphorae if a.id != amphora_id)
        if known and known.retiring and not others and not self.desired_state.gone:
            self.events.note(Reason.FailoverFinished, "All amphorae that were to be replaced are replaced")

        def work(tx: Transaction) -> None:
            tx.delete_amphora(amphora_id)
            if host_id:
                seats.left(tx, host_id)

        await self.write(work)
        self.forget_amphora(amphora_id)
        self.forget_in_force(amphora_id)
        self.masters.pop(amphora_id, None)
        self.drained.discard(amphora_id)
        self.ports.status_cache.forget_amphora(self.desired_state.scope.id, amphora_id)

    async def _leave_seat(self, host_id: str, instance: Instance | None) -> None:
        """Nothing of it is left on an amphora that goes on for others. One that does not answer is left to its group, which replaces it."""
        if instance is not None and instance.alive:
            try:
                await self._remove(instance)
            except AgentRefused as error:  # it knows of something newer
                log.warning("not removed", amphora=instance.amphora_id, reason=str(error))
        await self.ports.compute.detach(host_id, self.desired_state.scope.id)
