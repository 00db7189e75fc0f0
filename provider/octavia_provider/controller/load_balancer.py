# SPDX-License-Identifier: Apache-2.0
"""The reconciler of one load balancer: look, plan, apply, settle, until there is nothing left to do.

While one apply runs, further writes gather; the next takes them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from octavia_amphora.wire.messages import Refusal
from octavia_provider.model.errors import PermanentError, Refused, TransientError
from octavia_provider.model.events import Reason
from octavia_provider.planner import plan as planner
from octavia_provider.ports import (
    AgentRefused,
    CloudStep,
    Incomplete,
    Inventory,
    Settlement,
    Transaction,
    flavor_data,
    zone_data,
)  # fmt: skip
from octavia_provider.render.haproxy import Rendered

from . import seats
from .balancer_amphorae import BalancerAmphorae
from .deploy import push_what_can_be
from .push import Pusher
from .settlement import accepted_forms

T = TypeVar("T")
log = structlog.get_logger(__name__)
PASSES = 60
"""More than any plan takes: two amphorae that are replaced one after the other take some thirty."""
_FENCED = (planner.AddAmphora, planner.Recast, planner.Retire, planner.Push)


@dataclass(slots=True)
class BalancerReconciler(BalancerAmphorae):
    """Holds what it knows of one load balancer between cycles; ``forget`` makes it look again.

    ``_reserved``: revisions for the next pushes (``Pusher.reserved``). ``_failed``: amphorae with which the last pass had trouble.
    """

    _stale: bool = False
    _look_again: bool = False
    _reserved: list[int] = field(default_factory=list)
    _failed: frozenset[str] = frozenset()

    def forget(self) -> None:
        """Trust nothing that was seen: the next cycle asks the cloud and the agents (this one goes on as it is)."""
        self._stale = True

    def retry_errors(self) -> bool:
        """What ended in ERROR counts as written again for the next pass; False where nothing did."""
        return self.desired_state.retry_errors()

    def missing(self, inventory: Inventory) -> bool:
        """Whether an amphora does not run any more, or clients do not get to a listener as they did."""
        alive = {one.amphora_id for one in inventory.instances if one.alive}
        tried = {*self._failed, *self.failing} - (
            self.instances or {}
        ).keys()  # later and later: what is not there is no news
        lost = self.ports.access.missing(self._access or (), inventory)
        if lost:
            self.addresses.doubt()
        return lost or not {a.id for a in self.amphorae} - tried <= alive

    async def reconcile(self) -> bool:
        """Bring about what is desired; False when the load balancer is gone and nothing is left of it.

        A generation is in force when all amphorae that work have it; ``Incomplete`` where one of them does not.
        """
        if self._stale:
            self._stale, self._look_again = False, True  # what was seen is shown to people until then
            self.unproven.update(self.in_force)
        await self._read()
        self.last, self._failed = None, frozenset(self.failing)
        for found in (self.shut, self.healed, self.failing, self.renewed):
            found.clear()
        waits = False
        for _ in range(PASSES):
            await self._observe()
            wanted, observed = self.wanted(), self.observed()
            steps = planner.plan(wanted, observed)
            if not steps:
                waits = not self.desired_state.gone and self._waits_for_a_place(observed)
                break
            if planner.served(wanted, observed):
                await self._settle()  # who waits for it does not wait for the repair of another amphora
            log.info("plan", load_balancer=self.desired_state.scope.id, plan=planner.sentence(steps))
            await self._carry_out(steps)
        else:
            raise PermanentError(
                "the plan does not come to an end; what is seen of it keeps changing",
                subject=f"load balancer {self.desired_state.scope.id}", hint="octaviactl logs",
            )  # fmt: skip
        if waits and not self.amphorae:
            raise self._no_place()  # nothing serves it
        await self._settle()
        await self.write_events()
        if waits:
            raise Incomplete(str(self._no_place()))
        if self.failing:
            # What was seen stays until then: who is silent is asked at the address that is known.
            self._look_again = True
            raise Incomplete(str(next(iter(self.failing.values()))))
        return not self.desired_state.gone

    def _waits_for_a_place(self, observed: planner.Observed) -> bool:
        """An amphora is missing, or stays where it cannot stay: then it looks again by itself, for places come free in many ways."""
        stays = any(a.id in observed.misplaced and not a.retiring for a in self.amphorae)
        return stays or bool(self.succession().unplaced)

    def _no_place(self) -> TransientError:
        """Its group tells it when an amphora is booted; else it looks again."""
        group = f"amphora group {self.group.id}" if self.group else ""
        return TransientError(
            "none of its amphorae has a place for the load balancer yet", subject=group,
            hint="wait until they are booted; else raise the size or the capacity of the group",
        )  # fmt: skip

    async def fail(self, reason: str) -> bool:
        """Settle what was written with this reason; False when there is nothing to tell it to, so it is tried again.

        While something is being deleted nothing is settled: a settlement would forget it, and it is still there.
        """
        self.last = None
        errors = dict.fromkeys(self.desired_state.changed(), reason)
        if not errors or any(record.deleting for record in self.desired_state.records.values()):
            return False
        settlement = Settlement(
            scope_id=self.desired_state.scope.id, generation=self.desired_state.generation, errors=errors
        )
        self.events.note(
            Reason.ConfigurationRefused, reason, generation=settlement.generation, data={"objects": [*errors][:20]}
        )
        await self.write(lambda tx: tx.settle(settlement))
        self.desired_state.settled(self.desired_state.generation, {}, errors)
        return True

    def _note_refusals(self, errors: Mapping[str, str]) -> None:
        """What is refused now, and was not for this reason before."""
        for id_, why in errors.items():
            record = self.desired_state.records.get(id_)
            if record is None or record.error == why:
                continue
            reason = Reason.ListenerNotReachable if id_ in self.shut else Reason.ConfigurationRefused
            self.events.note(reason, why, of=record, generation=self.desired_state.generation)

    async def _read(self) -> None:
        scope_id, since = self.desired_state.scope.id, self.desired_state.generation

        def work(tx: Transaction) -> None:
            scope = tx.scope(scope_id)
            if scope is None:
                self.desired_state.clear()
                return
            if scope.fence != self.desired_state.scope.fence:
                self._reserved.clear()  # it is not ours any more: the next revision is asked for, and refused
            changed = tx.find(scope_id=scope_id, since=since)
            self.desired_state.read(scope, changed, lambda id_: tx.get("tls_container", id_))
            self.amphorae = tuple(tx.amphorae(scope_id))
            root = self.desired_state.records.get(scope_id)
            if root is not None:
                self._see_group(seats.read(tx, root.spec.get("amphora_group_id")))
            if root is not None and not root.deleting:
                self.flavor = flavor_data(tx, root.spec.get("flavor_id"))
                self.zone = zone_data(tx, root.spec.get("availability_zone"))
                self.addresses.read(tx, root)

        await self.ports.store.read(work)

    def _see_group(self, group: seats.Group | None) -> None:
        """Where its hosts are others than before, the cloud is asked anew which of them run."""
        if (self.group.hosts if self.group else ()) != (group.hosts if group else ()):
            self._look_again = True
        self.group = group

    async def _observe(self) -> None:
        scope_id = self.desired_state.scope.id
        if self.instances is None or self._look_again:
            self._look_again = False
            there = await self.look(scope_id)
            self._access = None
            self.unproven.update(self.in_force.keys() - there.keys())
            for amphora_id in self.in_force.keys() - {amphora.id for amphora in self.amphorae}:
                self.forget_in_force(amphora_id)
        if self._access is None:
            self._access = await self.ports.access.observe(scope_id)

    async def _carry_out(self, steps: tuple[planner.Step, ...]) -> None:
        lease = self.desired_state.scope
        if any(not isinstance(step, _FENCED) for step in steps):  # what a cloud is asked for, nobody fences there
            await self.ports.store.read(lambda tx: tx.require_lease(lease.id, lease.fence))
        self._note_losses(steps)
        await self.write_events()
        for kind, group in itertools.groupby(steps, type):
            alike = tuple(group)
            if kind is planner.Push:
                await self._push([step.amphora_id for step in alike if isinstance(step, planner.Push)])
                return  # which listeners clients get to depends on what was accepted: look again
            at_once = [step for step in alike if isinstance(step, planner.OfAmphora)]
            await (self._at_once(at_once) if at_once else self._in_turn(alike))
            if kind in (planner.Boot, planner.Discard):
                self._access = None
            if any(isinstance(step, CloudStep) and step.replugs for step in alike):
                self._look_again = True
                return  # what agents are told of their interfaces comes from the cloud

    def _note_losses(self, steps: Iterable[planner.Step]) -> None:
        """Of amphorae that did run and are booted again, or replaced."""
        running = {id_ for id_, instance in (self.instances or {}).items() if instance.alive}
        for step in steps:
            match step:
                case planner.Boot(amphora_id) if self.amphora(amphora_id).status == "ALLOCATED":
                    message = "The amphora does not run any more; it is made again"
                    self.events.note(Reason.AmphoraLost, message, amphora_id=amphora_id)
                case planner.Retire(amphora_id) if amphora_id not in running:
                    message = "The amphora does not run any more; another one takes its place"
                    self.events.note(Reason.AmphoraLost, message, amphora_id=amphora_id)
                case planner.Retire(amphora_id, reason):
                    self.events.note(
                        Reason.AmphoraRetired, f"Another one takes its place: {reason}", amphora_id=amphora_id
                    )

    async def _in_turn(self, steps: Iterable[planner.Step]) -> None:
        for step in steps:
            match step:
                case planner.AllocateVips():
                    root, lease = self.desired_state.records[self.desired_state.scope.id], self.desired_state.scope
                    before = self.addresses.vips
                    self.desired_state.fill(await self.addresses.allocate(self.ports.store, lease, root))
                    if before == self.addresses.vips:
                        continue  # found, or made again
                    allocated = [vip.address for vip in self.addresses.vips]
                    message = f"The cloud has allocated {', '.join(allocated)}"
                    self.events.note(Reason.VipAllocated, message, data={"addresses": allocated})
                case planner.ReleaseVips(keep):
                    await self.addresses.release(self.desired_state.scope.id, keep)
                case planner.AddAmphora(role):
                    await self.add_amphora(role)
                case planner.Recast(amphora_id, role):
                    await self.recast(amphora_id, role)
                case planner.Retire(amphora_id):
                    await self.retire(amphora_id)
                case planner.Discard(amphora_id):
                    await self.discard(amphora_id)
                    self._render_cache.forget(amphora_id)
                case CloudStep():
                    await self._take_cloud_step(step)

    async def _at_once(self, steps: Iterable[planner.OfAmphora]) -> None:
        """Steps of several amphorae, which take as long as one."""
        await self.leave_aside_what_fails({step.amphora_id: self._started(step) for step in steps})

    def _started(self, step: planner.OfAmphora) -> Awaitable[None]:
        match step:
            case planner.Boot(amphora_id):
                return self.boot(amphora_id)
            case planner.RecoverAgent(amphora_id):
                return self.recover_agent(amphora_id)
            case planner.RenewCertificate(amphora_id):
                return self.renew_certificate(amphora_id)
            case planner.Readdress(amphora_id, surplus):
                return self.readdress(amphora_id, keep=not surplus)
            case planner.HandOver(amphora_id):
                return self.hand_over(amphora_id)
            case planner.Drain(amphora_id):
                return self.drain(amphora_id)

    async def _push(self, amphora_ids: Sequence[str]) -> None:
        await self.have_peers()
        instances = [(self.instances or {})[amphora_id] for amphora_id in amphora_ids]

        def rendered(refused: set[str], dropped: set[str]) -> Mapping[str, Rendered]:
            working = (one for one in instances if one.amphora_id not in self.failing)
            return {one.amphora_id: self.rendered(one, refused, dropped) for one in working}

        outcome = await push_what_can_be(self.desired_state, rendered, self._push_to_each, before=self.last)
        self.last = outcome if outcome.errors else None

    async def _push_to_each(self, rendered: Mapping[str, Rendered]) -> Mapping[str, Refusal]:
        pushes = {amphora_id: self._push_one(amphora_id, what) for amphora_id, what in rendered.items()}
        refused = await self.leave_aside_what_fails(pushes)
        return {amphora_id: refusal for amphora_id, refusal in refused.items() if refusal is not None}

    async def _push_one(self, amphora_id: str, rendered: Rendered) -> Refusal | None:
        state, instance = self.desired_state, (self.instances or {})[amphora_id]
        ports = self.ports
        pusher = Pusher(ports.store, ports.agents, state.scope, state.generation, self.in_force, self._reserved)
        before = self.in_force.get(amphora_id)
        try:
            wanted, delta = self._render_cache.digest(rendered), self._render_cache.delta(rendered)
            whole = amphora_id in self.unproven
            await pusher.push(instance, rendered.configuration, wanted, whole=whole, delta=delta)
        except AgentRefused as error:
            refusal: Refusal = error.refusal
            return refusal
        self.unproven.discard(amphora_id)
        since = before.configuration if before and delta and delta.since == before.digest else None
        now = self.in_force[amphora_id].configuration
        self.ports.status_cache.applied(amphora_id, now, since=since, delta=delta if since else None)
        return None

    async def _take_cloud_step(self, step: CloudStep) -> None:
        try:
            await self.ports.access.carry_out(step)
        except Refused as error:
            if step.before:
                raise
            self.shut[step.object_id] = str(error)
        else:
            if not step.before:
                self.healed.add(step.object_id)
        self._access = None

    async def _settle(self) -> None:
        errors = {**(self.last.errors if self.last else {}), **self.shut}
        accepted = accepted_forms(self.desired_state, self.last, self.healed)
        scope = self.desired_state.scope
        nothing_new = not accepted and not errors and scope.applied >= self.desired_state.generation
        if nothing_new and not self.desired_state.gone:
            return
        settlement = Settlement(
            scope_id=scope.id, generation=self.desired_state.generation, accepted=accepted, errors=dict(errors)
        )
        self._show_what_stands_aside()
        self._note_refusals(errors)
        if self.desired_state.gone:
            await self.write(lambda tx: tx.free_addresses(scope.id))
            self.events.note(Reason.LoadBalancerDeleted, "The load balancer is gone")
            self.ports.status_cache.forget(scope.id)
        elif accepted or not errors:
            message = "What was accepted of what was written is in force"
            self.events.note(Reason.ConfigurationApplied, message, generation=settlement.generation)

        carried = self.carried()
        surplus = self.addresses.surplus(carried)
        reserved: list[int] = []

        def work(tx: Transaction) -> None:
            tx.settle(settlement)
            if surplus is not None:
                self.addresses.give_back(tx, scope.id, carried)
            if not self.desired_state.gone:
                reserved.extend(tx.next_revision(scope.id, scope.fence).revision for _ in self.amphorae)

        await self.write(work)
        self._reserved = reserved
        if surplus is not None:
            self.addresses.given_back(surplus)
        self.desired_state.settled(self.desired_state.generation, accepted, errors)

    def _show_what_stands_aside(self) -> None:
        graph = self.desired_state.graph(*self.standing_refusals())
        if graph is not None:
            for amphora_id, known in self.in_force.items():
                if amphora_id not in self.unproven:
                    self.ports.status_cache.stands_aside(graph, known.configuration)
