# SPDX-License-Identifier: Apache-2.0
"""The reconciler of one load balancer: look, plan, apply, settle, until there is nothing left to do.

While one apply runs, further writes gather; the next takes them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from octavia_amphora.wire.config import Configuration, Delta, apply, bare, difference, digest
from octavia_amphora.wire.messages import Push as PushMessage
from octavia_amphora.wire.messages import Stamp
from octavia_provider.model.errors import PermanentError, Refused
from octavia_provider.model.graph import Graph
from octavia_provider.planner import plan as planner
from octavia_provider.ports import (
    AgentRefused,
    Agents,
    Amphora,
    AmphoraSpec,
    Authority,
    CertificateExpired,
    CloudStep,
    Compute,
    Dialer,
    Instance,
    Inventory,
    ListenerAccess,
    Networks,
    Settlement,
    Store,
    Transaction,
    Vip,
    fenced,
)  # fmt: skip
from octavia_provider.render.environment import Templates, shipped
from octavia_provider.render.haproxy import Placement, Rendered, render

from . import agent_care, amphorae
from .deploy import Outcome, push_what_can_be
from .desired_state import DesiredState
from .render_cache import RenderCache
from .status_cache import StatusCache

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a reconciler works with."""

    store: Store
    compute: Compute
    dialer: Dialer
    agents: Agents
    authority: Authority
    status_cache: StatusCache
    access: ListenerAccess
    networks: Networks
    holder: str
    templates: Callable[[], Templates] = shipped


@dataclass(frozen=True, slots=True)
class InForce:
    """A configuration that an amphora has put in force (without the contents of files), with its digest."""

    configuration: Configuration
    digest: str


@dataclass(slots=True)
class BalancerReconciler:
    """Holds what it knows of one load balancer between cycles; ``forget`` makes it look again.

    ``shut``: listeners that the cloud lets nobody in to, and why; ``healed``: those to which it has just let clients in.
    """

    ports: Ports
    desired_state: DesiredState
    vips: tuple[Vip, ...] = ()
    amphorae: tuple[Amphora, ...] = ()
    hosts: dict[str, Instance] | None = None
    in_force: dict[str, InForce] = field(default_factory=dict)
    last: Outcome | None = None
    shut: dict[str, str] = field(default_factory=dict)
    healed: set[str] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    _access: Sequence[Any] | None = None
    _stale: bool = False
    _render_cache: RenderCache = field(default_factory=RenderCache)

    def forget(self) -> None:
        """Trust nothing that was seen: the next cycle asks the cloud and the agents (this one goes on as it is)."""
        self._stale = True

    def missing(self, inventory: Inventory) -> bool:
        """Whether an amphora does not run any more, or clients do not get to a listener as they did."""
        alive = {one.amphora_id for one in inventory.instances if one.alive}
        return not {a.id for a in self.amphorae} <= alive or self.ports.access.missing(self._access or (), inventory)

    async def reconcile(self) -> bool:
        """Bring about what is desired; False when the load balancer is gone and nothing is left of it."""
        if self._stale:
            self._stale, self.hosts, self._access = False, None, None
            self.in_force.clear()
        await self._read()
        self.last = None
        self.shut.clear()
        self.healed.clear()
        for _ in range(20):
            await self._observe()
            steps = planner.plan(self._wanted(), self._observed())
            if not steps:
                break
            log.info("plan", load_balancer=self.desired_state.scope.id, plan=planner.sentence(steps))
            try:
                await self._carry_out(steps)
            except CertificateExpired:  # sooner than the store says
                self.suspects.update(a.id for a in self.amphorae)
                raise
        else:
            raise PermanentError(
                "the plan does not come to an end; what is seen of it keeps changing",
                subject=f"load balancer {self.desired_state.scope.id}", hint="octaviactl logs",
            )  # fmt: skip
        errors = {**(self.last.errors if self.last else {}), **self.shut}
        await self._settle(errors)
        return not self.desired_state.gone

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
        await self._write(lambda tx: tx.settle(settlement))
        self.desired_state.settled(self.desired_state.generation, {}, errors)
        return True

    async def _write(self, work: Callable[[Transaction], object]) -> None:
        await self.ports.store.write(fenced(self.desired_state.scope, work))

    async def _read(self) -> None:
        scope_id, since = self.desired_state.scope.id, self.desired_state.generation

        def work(tx: Transaction) -> None:
            scope = tx.scope(scope_id)
            if scope is None:
                self.desired_state.clear()
                return
            changed = tx.find(scope_id=scope_id, since=since)
            self.desired_state.read(scope, changed, lambda id_: tx.get("tls_container", id_))
            self.amphorae = tuple(tx.amphorae(scope_id))
            root = self.desired_state.records.get(scope_id)
            if root is not None and not root.deleting:
                self.vips = self.ports.networks.vips(tx, root)

        await self.ports.store.read(work)

    async def _observe(self) -> None:
        if self.hosts is None:
            mine = self.desired_state.scope.id
            self.hosts = {h.amphora_id: h for h in await self.ports.compute.instances(mine)}
            self._access = None
        if self._access is None:
            self._access = await self.ports.access.observe(self.desired_state.scope.id)
        for amphora in self.amphorae:
            host = (self.hosts or {}).get(amphora.id)
            if host is not None and host.alive:
                await self._look_after(amphora, host)

    async def _look_after(self, amphora: Amphora, host: Instance) -> None:
        """Its agent answers, where that is in doubt, and has a certificate for some time to come."""
        ports, after = self.ports, amphora
        restart = partial(agent_care.restart, ports.compute, ports.agents, host, make=partial(self._order, amphora.id))
        if amphora.id in self.suspects:
            self.suspects.discard(amphora.id)
            after = await agent_care.recover(ports.agents, host, amphora, restart)
        if amphora.status == "ALLOCATED" and ports.authority.due(after.certificate_expires):
            after = await agent_care.renew_certificate(ports.agents, ports.authority, host, after, restart)
        if after != amphora:
            await self._keep(after)

    def _rendered(self, host: Instance, refused: set[str], dropped: set[str]) -> Rendered:
        graph = self.desired_state.graph(refused, dropped)
        if graph is None:
            graph = Graph(_root(self.desired_state))
        return self._render_cache.of(graph, host, self._addresses(), self.ports.templates())

    def _addresses(self) -> tuple[str, ...]:
        return tuple(vip.address for vip in self.vips if vip.served)

    def rendered_with(self, templates: Templates) -> Rendered | None:
        """What these templates would make of what is desired, for one amphora; None where there is none yet."""
        host = next(iter((self.hosts or {}).values()), None)
        graph = self.desired_state.graph(*self._standing_refusals())
        if host is None or graph is None:
            return None
        return render(graph, Placement(vips=self._addresses(), proxy_address=host.proxy_address), templates)

    def _wanted(self) -> planner.Desired:
        scope_id = self.desired_state.scope.id
        if self.desired_state.gone:
            close = self.ports.access.plan(None, (), (), self._access or ())
            return planner.Desired(load_balancer_id=scope_id, amphorae=0, cloud_steps=close)
        hosts = [self.hosts[a.id] for a in self.amphorae if self.hosts and a.id in self.hosts]
        refused, dropped = self._standing_refusals()
        rendered = {h.amphora_id: self._rendered(h, refused, dropped) for h in hosts}
        graph = self.desired_state.graph(refused, dropped)
        listeners = graph.listeners.values() if graph and graph.load_balancer.admin_state_up else ()
        let_in = [listener for listener in listeners if listener.id not in self.shut]
        access = self.ports.access.plan(graph.load_balancer if graph else None, let_in, hosts, self._access or ())
        return planner.Desired(
            load_balancer_id=scope_id,
            amphorae=1,
            vips=tuple(vip.address for vip in self.vips),
            digest={amphora: self._render_cache.digest(r) for amphora, r in rendered.items()},
            cloud_steps=access,
        )

    def _standing_refusals(self) -> tuple[set[str], set[str]]:
        """What the push of this very generation refused: it is not tried again until something is written."""
        if self.last is None:
            return set(), set()
        return self.last.refused, self.last.dropped

    def _observed(self) -> planner.Observed:
        return planner.Observed(
            amphorae=self.amphorae,
            hosts=self.hosts or {},
            digests={amphora: known.digest for amphora, known in self.in_force.items()},
        )

    async def _carry_out(self, steps: tuple[planner.Step, ...]) -> None:
        lease = (
            self.desired_state.scope
        )  # what a cloud is asked for nobody can fence: so ask whether it is for us to do
        await self.ports.store.read(lambda tx: tx.require_lease(lease.id, lease.fence))
        for step in steps:
            match step:
                case planner.AddAmphora():
                    await self._add_amphora()
                case planner.Boot(amphora_id):
                    await self._boot(amphora_id)
                case planner.Readdress(amphora_id, surplus):
                    await self._readdress(amphora_id, keep=not surplus)
                case planner.Push(amphora_id):
                    await self._push(amphora_id)
                    return  # which listeners clients get to depends on what was accepted: look again
                case CloudStep():
                    await self._take_cloud_step(step)
                case planner.Discard(amphora_id):
                    await self._discard(amphora_id)

    async def _add_amphora(self) -> None:
        amphora = amphorae.new(self.desired_state.scope.id)
        await self._write(lambda tx: tx.put_amphora(amphora))
        self.amphorae = (*self.amphorae, amphora)

    async def _boot(self, amphora_id: str) -> None:
        amphora = next(a for a in self.amphorae if a.id == amphora_id)
        issued: list[str] = []
        host = await self.ports.compute.boot(self._order(amphora_id, issued.append))
        await self.ports.agents.ready(host, agent_care.START_TIMEOUT)
        expires = issued[-1] if issued else amphora.certificate_expires
        ready = replace(amphora, status="ALLOCATED", management_address=host.agent[0], certificate_expires=expires)
        await self._keep(ready)
        self.hosts = {**(self.hosts or {}), amphora_id: host}
        self.in_force.pop(amphora_id, None)
        self._access = None

    async def _keep(self, changed: Amphora) -> None:
        await self._write(lambda tx: tx.put_amphora(changed))
        self.amphorae = tuple(changed if a.id == changed.id else a for a in self.amphorae)

    def _order(self, amphora_id: str, issued: Callable[[str], None]) -> AmphoraSpec:
        """``issued`` is told until when its new certificate is good."""
        amphora = next(a for a in self.amphorae if a.id == amphora_id)
        make = partial(amphorae.files, amphora, self.ports.authority, self.ports.dialer, issued=issued)
        return AmphoraSpec(id=amphora_id, load_balancer_id=self.desired_state.scope.id, vips=self.vips, files=make)

    async def _readdress(self, amphora_id: str, *, keep: bool) -> None:
        host = await self.ports.compute.readdress(amphora_id, self.vips, keep=keep)
        self.hosts = {**(self.hosts or {}), amphora_id: host}

    async def _discard(self, amphora_id: str) -> None:
        await self.ports.compute.delete(amphora_id)
        await self._write(lambda tx: tx.delete_amphora(amphora_id))
        self.amphorae = tuple(a for a in self.amphorae if a.id != amphora_id)
        self.hosts = {i: h for i, h in (self.hosts or {}).items() if i != amphora_id}
        self.in_force.pop(amphora_id, None)
        self._render_cache.forget(amphora_id)

    async def _push(self, amphora_id: str) -> None:
        host = (self.hosts or {})[amphora_id]
        outcome = await push_what_can_be(
            self.desired_state, partial(self._rendered, host), partial(self._push_one, host)
        )
        self.last = outcome if outcome.errors else None

    async def _push_one(self, host: Instance, rendered: Rendered) -> None:
        known, new = self.in_force.get(host.amphora_id), rendered.configuration
        wanted = self._render_cache.digest(rendered)
        delta = difference(known.configuration, new, since=known.digest) if known else None
        if known and delta and digest(apply(known.configuration, delta)) != wanted:
            delta = None  # the order of names changed: that only the whole can say
        try:
            await self._send(host, new, wanted, delta)
        except AgentRefused as error:
            if error.refusal.kind != "base" or delta is None:
                raise
            await self._send(host, new, wanted, None)
        self.in_force[host.amphora_id] = InForce(bare(new), wanted)
        self.ports.status_cache.applied(new)

    async def _send(self, host: Instance, new: Configuration, wanted: str, delta: Delta | None) -> None:
        scope_id, fence = self.desired_state.scope.id, self.desired_state.scope.fence
        scope = await self.ports.store.write(lambda tx: tx.next_revision(scope_id, fence))
        stamp = Stamp(scope.epoch, scope.fence, scope.revision, self.desired_state.generation, wanted)
        message = PushMessage(stamp=stamp, delta=delta) if delta else PushMessage(stamp=stamp, full=new)
        applied = await self.ports.agents.push(host, scope_id, message)
        log.info(
            "applied",
            load_balancer=scope_id,
            generation=stamp.generation,
            revision=stamp.revision,
            outcome=applied.outcome,
            seconds=round(applied.seconds, 4),
            whole=delta is None,
        )

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

    async def _settle(self, errors: dict[str, str]) -> None:
        accepted: dict[str, Mapping[str, Any] | None] = {}
        refused = self.last.refused | self.last.dropped if self.last else set()
        for id_, record in self.desired_state.changed().items():
            if id_ not in refused:
                accepted[id_] = record.spec
        for id_ in self.last.dropped if self.last else ():
            accepted[id_] = None
        for id_ in self.healed - accepted.keys():
            healed = self.desired_state.records.get(id_)
            if healed and healed.error and healed.accepted == healed.spec:
                accepted[id_] = healed.spec
        scope = self.desired_state.scope
        if (
            not accepted
            and not errors
            and scope.applied >= self.desired_state.generation
            and not self.desired_state.gone
        ):
            return
        settlement = Settlement(
            scope_id=scope.id, generation=self.desired_state.generation, accepted=accepted, errors=dict(errors)
        )
        self._show_what_stands_aside()
        if self.desired_state.gone:
            await self._write(lambda tx: tx.free_addresses(scope.id))
            self.ports.status_cache.forget(scope.id)
        carried = {address for host in (self.hosts or {}).values() for address in host.vips}

        def work(tx: Transaction) -> None:
            tx.settle(settlement)
            self.ports.networks.give_back(tx, scope.id, carried)

        await self._write(work)
        self.desired_state.settled(self.desired_state.generation, accepted, errors)

    def _show_what_stands_aside(self) -> None:
        graph = self.desired_state.graph(*self._standing_refusals())
        if graph is not None:
            for known in self.in_force.values():
                self.ports.status_cache.stands_aside(graph, known.configuration)


def _root(desired_state: DesiredState) -> Any:
    from octavia_provider.model.graph import build

    root = desired_state.records[desired_state.scope.id]
    return build("load_balancer", root.accepted or root.spec, id=root.id)
