# SPDX-License-Identifier: Apache-2.0
"""The reconciler of an amphora group: it keeps so many amphorae for load balancers to be on, and tells those of changes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field

import structlog

from octavia_provider.model import flavor
from octavia_provider.model.errors import OctaviaError, PermanentError
from octavia_provider.model.events import EventFilter, Reason
from octavia_provider.planner import group as planner
from octavia_provider.planner import plan as steps_of
from octavia_provider.ports import (
    AgentRefused,
    Amphora,
    Incomplete,
    Inventory,
    Record,
    RemoteAllocation,
    Scope,
    Settlement,
    Transaction,
    Vip,
    flavor_data,
)  # fmt: skip

from . import agent_care, amphorae, seats
from .event_recorder import EventRecorder
from .scope_amphorae import ScopeAmphorae

log = structlog.get_logger(__name__)
PASSES = 60
FAILOVERS = 100
"""So many of a group may go on at once; of more the end is told sooner."""


@dataclass(slots=True)
class AmphoraGroupReconciler(ScopeAmphorae):
    """Holds what it knows of one group between passes; ``forget`` makes it look again."""

    scope: Scope
    _record: Record | None = None
    _now: Scope | None = None
    _seats: Counter[str | None] = field(default_factory=Counter)
    _stale: bool = False

    def __post_init__(self) -> None:
        """Its events are about the group."""
        self.events = EventRecorder(None, self.ports.holder, self.scope)

    @property
    def lease(self) -> Scope:
        """The group, with the fence of our lease."""
        return self.scope

    def bearing(self, amphora: Amphora) -> tuple[Vip, ...]:  # noqa: ARG002
        """Addresses come with load balancers."""
        return ()

    def apart_from(self, amphora_id: str) -> tuple[str, ...]:
        """The other ones: pairs are on two of them."""
        return tuple(one.id for one in self.amphorae if one.id != amphora_id and not one.retiring)

    @property
    def seats(self) -> int:
        """As many load balancers as may be on one."""
        return int(self._record.spec["capacity"]) if self._record else 0

    def forget(self) -> None:
        """Trust nothing that was seen: the next pass asks the cloud."""
        self._stale = True

    def retry_errors(self) -> bool:
        """What is refused is tried again like what fails."""
        return False

    def missing(self, inventory: Inventory) -> bool:
        """Whether one of its amphorae does not run any more."""
        alive = {one.amphora_id for one in inventory.instances if one.alive}
        tried = self.failing.keys() - (self.instances or {}).keys()  # later and later: what is not there is no news
        return not {host.id for host in self.amphorae if host.status == "ALLOCATED"} - tried <= alive

    async def answers(self, host_id: str, turns: asyncio.Semaphore, failure: Exception | None) -> bool:
        """Ask the agent of one that is silent, if it was not asked (``failure``); of one that does not answer the cloud is to be asked."""
        instance = (self.instances or {}).get(host_id)
        if instance is None or host_id in self.suspects:
            return False
        try:
            if failure is not None:
                raise failure
            async with turns:
                await self.ports.agents.ready(instance, agent_care.ANSWER_TIMEOUT)
        except (OctaviaError, AgentRefused, OSError) as error:
            log.warning("silence confirmed", amphora=host_id, amphora_group=self.scope.id, reason=str(error))
            self.suspect(host_id, str(error))
            message = "No heartbeat for a while, and its agent does not answer; the cloud is asked"
            self.events.note(Reason.AgentSilent, message, amphora_id=host_id)
        else:
            message = "Its agent answers; its heartbeats do not arrive"
            self.events.note(Reason.HeartbeatsLost, message, amphora_id=host_id)
        await self.write_events()
        return host_id not in self.suspects

    async def reconcile(self) -> bool:
        """Bring about what is desired; False when the group is gone and nothing is left of it."""
        if self._stale:
            self._stale, self.instances = False, None
        for found in (self.failing, self.renewed):
            found.clear()
        for _ in range(PASSES):
            if not await self._read():
                return False
            if self.instances is None:
                await self.look(self.scope.id)
            steps = planner.plan_group(self._desired(), self._observed())
            if not steps:
                break
            log.info("plan", amphora_group=self.scope.id, plan=steps_of.sentence(steps))
            await self._carry_out(steps)
        else:
            raise PermanentError(
                "the plan does not come to an end", subject=f"amphora group {self.scope.id}", hint="octaviactl logs"
            )
        await self.write_events()
        if self.failing:
            raise Incomplete(str(next(iter(self.failing.values()))))
        return await self._settle()

    async def fail(self, reason: str) -> bool:
        """Settle what was written with this reason; False when it is being deleted, which is tried again."""
        if self._record is None or self._now is None or self._record.deleting:
            return False
        settlement = Settlement(scope_id=self.scope.id, generation=self._now.generation, errors={self.scope.id: reason})
        await self.write(lambda tx: tx.settle(settlement))
        return True

    async def _read(self) -> bool:
        def work(tx: Transaction) -> None:
            self._now = tx.scope(self.scope.id)
            self._record = tx.get(seats.KIND, self.scope.id)
            self.events.name = self._record.spec["name"] if self._record else self.events.name
            self.amphorae = tuple(tx.amphorae(self.scope.id))
            self._seats = Counter(seat.host_id for seat in tx.seats(host.id for host in self.amphorae))
            if self._record is not None:
                self.flavor = flavor_data(tx, self._record.spec.get("flavor_id"))

        await self.ports.store.read(work)
        return self._record is not None

    def _desired(self) -> planner.DesiredGroup:
        gone = self._record is None or self._record.deleting
        size = 0 if gone or self._record is None else int(self._record.spec["size"])
        return planner.DesiredGroup(size=size, flavor=flavor.booted_by(self.flavor))

    def _observed(self) -> planner.ObservedGroup:
        return planner.ObservedGroup(
            hosts=self.amphorae,
            instances=self.instances or {},
            seats=self._seats,
            suspects=frozenset(self.suspects),
            unrecoverable=frozenset(self.unrecoverable),
            due=frozenset(host.id for host in self.amphorae if self.due(host)),
            failing=frozenset(self.failing),
        )

    async def _carry_out(self, steps: Iterable[steps_of.Step]) -> None:
        await self.ports.store.read(lambda tx: tx.require_lease(self.scope.id, self.scope.fence))
        at_once: dict[str, Awaitable[object]] = {}
        for step in steps:
            match step:
                case steps_of.AddAmphora(role):
                    await self.add_amphora(role)
                case steps_of.Retire(host_id, reason):
                    await self._retire(host_id, reason)
                case steps_of.Discard(host_id):
                    await self._discard(host_id)
                case steps_of.Boot(host_id):
                    at_once[host_id] = self._boot(host_id)
                case steps_of.RecoverAgent(host_id):
                    at_once[host_id] = self.recover_agent(host_id)
                case steps_of.RenewCertificate(host_id):
                    at_once[host_id] = self.renew_certificate(host_id)
        if at_once:
            await self.leave_aside_what_fails(at_once)

    async def add_amphora(self, role: str) -> None:
        """Write a new one down."""
        new = amphorae.new(self.scope.id, role)
        await self.write(lambda tx: tx.put_amphora(new))

    async def _boot(self, host_id: str) -> None:
        """It runs, and whoever waits for a place is told."""
        await self.make(host_id)
        await self.write(lambda tx: seats.wake(tx, self.scope.id, [host_id]))

    async def _retire(self, host_id: str, reason: str) -> None:
        lost = host_id not in {id_ for id_, one in (self.instances or {}).items() if one.alive}
        if reason in (planner.SMALLER, planner.DELETED):
            self.events.note(Reason.AmphoraRetired, f"It is to be taken away: {reason}", amphora_id=host_id)
        elif lost:
            message = "The amphora does not run any more; another one takes its place"
            self.events.note(Reason.AmphoraLost, message, amphora_id=host_id)
        else:
            self.events.note(Reason.AmphoraRetired, f"Another one takes its place: {reason}", amphora_id=host_id)

        def work(tx: Transaction) -> None:
            tx.retire([host_id])
            seats.wake(tx, self.scope.id, [host_id])

        await self.write(work)

    async def _discard(self, host_id: str) -> None:
        await self.ports.compute.delete(host_id)
        self.events.note(Reason.AmphoraDeleted, "An amphora was taken away", amphora_id=host_id)
        if await self._ends_failover(host_id):
            self.events.note(Reason.FailoverFinished, "All amphorae that were to be replaced are replaced")

        def work(tx: Transaction) -> None:
            seats.wake(tx, self.scope.id, [host_id])
            tx.delete_amphora(host_id)

        await self.write(work)
        self.forget_amphora(host_id)
        self.ports.status_cache.forget_host(self.scope.id, host_id)

    async def _ends_failover(self, host_id: str) -> bool:
        """Whether it is the last one that an operator asked to have replaced: others go because the group is smaller, or were lost, and
        all with the group."""
        if self._record is None or self._record.deleting:
            return False
        reasons = (Reason.FailoverStarted.name, Reason.FailoverFinished.name)
        wanted = EventFilter(object_ids=(self.scope.id,), reasons=reasons)
        asked: set[str] = set()
        for event in reversed(await self.ports.store.read(lambda tx: tx.events(wanted, limit=FAILOVERS, newest=True))):
            if event.reason == Reason.FailoverFinished.name:
                break
            asked.update(event.data["amphorae"])
        return host_id in asked and not asked & {host.id for host in self.amphorae if host.id != host_id}

    async def _settle(self) -> bool:
        record, now = self._record, self._now
        if record is None or now is None:
            return False
        if any(host.retiring for host in self.amphorae) or (record.deleting and self.amphorae):
            return True  # load balancers are still on them; who leaves last wakes us (``seats.left``)
        if record.deleting and isinstance(self.ports.networks, RemoteAllocation):
            await self.ports.store.read(lambda tx: tx.require_lease(self.scope.id, self.scope.fence))
            await self.ports.networks.release(self.scope.id, ())
        if now.applied < now.generation:
            accepted = {} if record.deleting else {record.id: record.spec}
            settlement = Settlement(scope_id=self.scope.id, generation=now.generation, accepted=accepted)
            await self.write(lambda tx: tx.settle(settlement))
        return not record.deleting
