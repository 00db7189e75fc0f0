# SPDX-License-Identifier: Apache-2.0
"""What a reconciler knows of its load balancer, and what that comes to: what should be, what is, each amphora's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from octavia_provider.model import flavor
from octavia_provider.model.graph import Graph, build
from octavia_provider.planner import plan as planner
from octavia_provider.planner.succession import ALONE, Succession, carrying, succession
from octavia_provider.ports import Amphora, Instance, Scope, Vip
from octavia_provider.render.environment import Templates
from octavia_provider.render.haproxy import Placement, Rendered, render

from . import pairs, seats
from .addresses import Addresses
from .deploy import Outcome
from .desired_state import DesiredState
from .event_recorder import EventRecorder
from .push import InForce
from .render_cache import Beside, RenderCache
from .scope_amphorae import ScopeAmphorae
from .seats import Group


@dataclass(slots=True)
class BalancerView(ScopeAmphorae):
    """``in_force``: what the agents of its amphorae have. ``unproven``: those of which it is what was last known, and is not relied on:
    the next push is whole. ``masters``: who says that it has the VIPs by VRRP, the latest last; ``drained``: who has stopped to serve.
    ``shut``: listeners that the cloud lets nobody in to, and why; ``healed``: those to which it has just let clients in. ``group``: the
    amphora group that it is in, if it is in one.
    """

    desired_state: DesiredState
    in_force: dict[str, InForce] = field(default_factory=dict)
    unproven: set[str] = field(default_factory=set)
    masters: dict[str, None] = field(default_factory=dict)
    told_owner: str | None = None
    drained: set[str] = field(default_factory=set)
    last: Outcome | None = None
    shut: dict[str, str] = field(default_factory=dict)
    healed: set[str] = field(default_factory=set)
    group: Group | None = None
    addresses: Addresses = field(init=False)
    _access: Sequence[Any] | None = None
    _render_cache: RenderCache = field(default_factory=RenderCache)

    def __post_init__(self) -> None:
        """Its addresses come from the cloud's networks."""
        self.addresses = Addresses(self.ports.networks)
        self.events = EventRecorder(self.desired_state.scope.id, self.ports.holder)

    @property
    def lease(self) -> Scope:
        """The load balancer, with the fence of our lease."""
        return self.desired_state.scope

    def apart_from(self, amphora_id: str) -> tuple[str, ...]:
        """Its other amphorae that stay."""
        return tuple(one.id for one in self.succession().kept if one.id != amphora_id)

    # ── VRRP ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    def hear_vrrp(self, amphora_id: str, state: str) -> None:
        """An amphora tells whether it has the VIPs."""
        if state != "MASTER":
            self.masters.pop(amphora_id, None)
        else:
            self.masters.setdefault(amphora_id)

    @property
    def owner(self) -> str | None:
        """Who has the VIPs. Where two say so (one may not have heard of a takeover yet), who has said so for longer, if it is there."""
        there = self.instances or {}
        heard = [id_ for id_ in self.masters if id_ in there and there[id_].alive and id_ not in self.suspects]
        return heard[0] if heard else None

    # ── what should be, and what is ──────────────────────────────────────────────────────────────────────────────────
    def wanted(self) -> planner.Desired:
        """With the configuration of each amphora that has an instance."""
        goal = self._goal()
        if self.desired_state.gone:
            return replace(goal, cloud_steps=self.ports.access.plan(None, (), (), self._access or ()))
        found = succession(goal, self.observed())
        refused, dropped = self.standing_refusals()
        instances = [self.instances[a.id] for a in self.amphorae if self.instances and a.id in self.instances]
        rendered = {one.amphora_id: self.rendered(one, refused, dropped, found) for one in instances}
        graph = self.desired_state.graph(refused, dropped)
        listeners = graph.listeners.values() if graph and graph.load_balancer.admin_state_up else ()
        let_in = [listener for listener in listeners if listener.id not in self.shut]
        access = self.ports.access.plan(
            graph.load_balancer if graph else None, let_in, self._entrances(found, instances), self._access or (),
            lambda: _member_subnets(graph),
        )  # fmt: skip
        digests = {amphora: self._render_cache.digest(one) for amphora, one in rendered.items()}
        return replace(goal, digest=digests, cloud_steps=access)

    def observed(self) -> planner.Observed:
        """As it was seen last."""
        return planner.Observed(
            amphorae=self.amphorae,
            instances=self.instances or {},
            digests={a: known.digest for a, known in self.in_force.items() if a not in self.unproven},
            owner=self.owner,
            suspects=frozenset(self.suspects),
            unrecoverable=frozenset(self.unrecoverable),
            due=frozenset(a.id for a in self.amphorae if a.host_id is None and self.due(a)),
            failing=frozenset(self.failing),
            drained=frozenset(self.drained),
            misplaced=seats.misplaced(self.amphorae, self.group),
            places=None if self.group is None else len(self.group.places(self.lease.id, self.amphorae)),
            allocated=self.addresses.allocated,
            release=self.addresses.to_release(self.carried(), gone=self.desired_state.gone),
        )

    def succession(self) -> Succession:
        """Who stays and who leaves."""
        return succession(self._goal(), self.observed())

    def bearing(self, amphora: Amphora) -> tuple[Vip, ...]:
        """What an amphora is to carry now."""
        goal, observed = self._goal(), self.observed()
        chosen = carrying(goal, observed, amphora)
        vips = (*amphora.own, *self.addresses.vips)
        return tuple(replace(vip, shared=how) for how in (False, True) for vip in vips if (vip.address, how) in chosen)

    def carried(self) -> set[str]:
        """Addresses that any of its instances carries, or is about to."""
        there = {address for one in (self.instances or {}).values() for address in (*one.vips, *one.shared)}
        return there | {vip.address for amphora in self.amphorae for vip in amphora.own}

    def standing_refusals(self) -> tuple[set[str], set[str]]:
        """What the push of this very generation refused: it is not tried again until something is written."""
        if self.last is None:
            return set(), set()
        return self.last.refused, self.last.dropped

    def _goal(self) -> planner.Desired:
        gone = self.desired_state.gone
        vips = self.addresses.vips
        return planner.Desired(
            load_balancer_id=self.desired_state.scope.id,
            roles=() if gone else flavor.roles(self.flavor),
            vips=tuple(vip.address for vip in vips if vip.served),
            reach=tuple(vip.address for vip in vips if not vip.served),
            flavor=flavor.booted_by(self.flavor),
        )

    def _entrances(self, found: Succession, instances: Sequence[Instance]) -> Sequence[Instance]:
        """Where clients get in, who has the VIPs first: by those that stay, once they have a configuration."""
        ready = {a.id for a in found.kept if a.id in self.in_force and a.id not in self.failing}
        staying = {a.id for a in found.kept} if not self.in_force else ready
        chosen = [one for one in instances if one.alive and one.amphora_id in staying] or instances
        return sorted(chosen, key=lambda one: one.amphora_id != self.owner)

    # ── configurations ───────────────────────────────────────────────────────────────────────────────────────────────
    def rendered(
        self, instance: Instance, refused: set[str], dropped: set[str], found: Succession | None = None
    ) -> Rendered:
        """The configuration of one amphora."""
        graph = self.desired_state.graph(refused, dropped) or Graph(_root(self.desired_state))
        found = found or self.succession()
        amphora = self.amphora(instance.amphora_id)
        vrrp = None
        if amphora.role != ALONE:
            vrrp = pairs.vrrp(
                amphora, self.amphorae, self.addresses.vips, preferred=found.preferred == amphora.id,
                advert_interval=self.flavor["vrrp_advertisement_interval"],
            )  # fmt: skip
        placement = self._placement(instance, amphora)
        beside = Beside(vrrp, instance.interfaces)
        return self._render_cache.of(graph, amphora.id, placement, beside, self.ports.templates())

    def shown_amphora(self) -> Amphora | None:
        """The one whose configuration is shown: each has another, with addresses of its own."""
        known = [one for one in self.amphorae if one.id in (self.instances or {})]
        return min(known, key=lambda one: (one.id not in self.in_force, one.id in self.unproven), default=None)

    def rendered_with(self, templates: Templates) -> Rendered | None:
        """What these templates would make of what is desired, for that amphora; None where there is none yet."""
        shown, graph = self.shown_amphora(), self.desired_state.graph(*self.standing_refusals())
        if shown is None or graph is None:
            return None
        return render(graph, self._placement((self.instances or {})[shown.id], shown), templates)

    def _placement(self, instance: Instance, amphora: Amphora) -> Placement:
        served = tuple(vip.address for vip in self.addresses.vips if vip.served)
        proxy, sources = instance.proxy_address, self._sources(instance, amphora)
        if amphora.role == ALONE:
            return Placement(vips=served, proxy_address=proxy, sources=sources)
        peers, health = pairs.peers(self.amphorae, served), instance.health_address if proxy else None
        return Placement(vips=served, proxy_address=proxy, health_address=health, peers=peers, sources=sources)

    def _sources(self, instance: Instance, amphora: Amphora) -> tuple[str, ...]:
        """Where the interface has other load balancers' addresses too, one of ours is named to reach members by."""
        if instance.host is None:
            return ()
        ours = self.addresses.vips if amphora.role == ALONE else amphora.own
        return tuple({4 + 2 * (":" in vip.address): vip.address for vip in reversed(ours)}.values())


def _member_subnets(graph: Graph | None) -> set[str]:
    """Those that members say they are in."""
    groups = graph.members.values() if graph else ()
    return {member.subnet_id for group in groups for member in group.values() if member.subnet_id}


def _root(desired_state: DesiredState) -> Any:
    root = desired_state.records[desired_state.scope.id]
    return build("load_balancer", root.accepted or root.spec, id=root.id)
