# SPDX-License-Identifier: Apache-2.0
"""One configuration to one amphora: as what changed since the last one, or whole where the agent has another base."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from octavia_amphora.wire.config import Configuration, Delta, apply, difference, digest, without_contents
from octavia_amphora.wire.messages import Applied, Push, VersionStamp
from octavia_provider.ports import AgentRefused, Agents, Instance, Scope, Store

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InForce:
    """A configuration that an amphora has put in force (without the contents of files), with its digest.

    ``heartbeat``: boot and sequence of the last heartbeat before the agent said so.
    """

    configuration: Configuration
    digest: str
    heartbeat: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Pusher:
    """Of one load balancer, whose ``lease`` is ours, at one generation. ``in_force``: by amphora, what it has put in force.

    ``reserved``: revisions that the settlement before has raised, each for one push: that spares a commit of its own. That the lease is
    still ours was seen as the generation was read; an agent that another one has pushed to refuses us by the fence.
    """

    store: Store
    agents: Agents
    lease: Scope
    generation: int
    in_force: dict[str, InForce]
    reserved: list[int]

    async def push(
        self, instance: Instance, new: Configuration, wanted: str, *, whole: bool, delta: Delta | None = None
    ) -> None:
        """Put it in force; ``wanted`` is its digest. ``whole``: not as a delta. ``AgentRefused`` where the agent says no.

        ``delta``: what leads to it from a configuration that may be the one in force.
        """
        known = None if whole else self.in_force.get(instance.amphora_id)
        if known is None or delta is None or delta.since != known.digest:
            delta = _delta(known, new, wanted) if known else None
        try:
            applied = await self._send(instance, new, wanted, delta)
        except AgentRefused as error:
            if error.refusal.kind != "base" or delta is None:
                raise
            applied = await self._send(instance, new, wanted, None)
        self.in_force[instance.amphora_id] = InForce(without_contents(new), wanted, applied.heartbeat)

    async def _send(self, instance: Instance, new: Configuration, wanted: str, delta: Delta | None) -> Applied:
        stamp = VersionStamp(self.lease.epoch, self.lease.fence, await self._revision(), self.generation, wanted)
        message = Push(stamp=stamp, delta=delta) if delta else Push(stamp=stamp, full=new)
        applied = await self.agents.push(instance, self.lease.id, message)
        log.info(
            "applied",
            load_balancer=self.lease.id,
            amphora=instance.amphora_id,
            generation=stamp.generation,
            revision=stamp.revision,
            outcome=applied.outcome,
            seconds=round(applied.seconds, 4),
            whole=delta is None,
        )
        return applied

    async def _revision(self) -> int:
        if self.reserved:
            return self.reserved.pop(0)
        return (await self.store.write(lambda tx: tx.next_revision(self.lease.id, self.lease.fence))).revision


def _delta(known: InForce, new: Configuration, wanted: str) -> Delta | None:
    delta = difference(known.configuration, new, since=known.digest)
    if digest(apply(known.configuration, delta)) != wanted:
        return None  # the order of names changed: that only the whole can say
    return delta
