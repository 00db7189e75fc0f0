# SPDX-License-Identifier: Apache-2.0
"""What the amphorae see, in memory: operating statuses and statistics, made from heartbeats.

The roll-up is Octavia's (octavia/amphorae/drivers/health/heartbeat_udp.py): a full frontend is DEGRADED; a pool whose
members are all down is ERROR and one with some down is DEGRADED, and so is the load balancer above it; a member of
weight 0 is DRAINING, one that is switched off OFFLINE, one that nobody checks NO_MONITOR.

Where a load balancer has several amphorae, those that serve are believed: a member is as well as the one sees it that sees
it best (traffic reaches it by that one), a listener is full where it is full on any. The load balancer is in ERROR when none
serves. Counters are summed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from octavia_amphora.wire.config import Backend, BackendDelta, Configuration, Delta, Server
from octavia_amphora.wire.heartbeat import BalancerBeat
from octavia_amphora.wire.messages import Counters, ListenerState, ServerState, States
from octavia_provider.model import statuses
from octavia_provider.model.graph import Graph
from octavia_provider.ports import Record

_MEMBER: Mapping[ServerState, str] = {
    "up": statuses.ONLINE, "down": statuses.ERROR, "drain": statuses.DRAINING, "maint": statuses.OFFLINE,
    "no_check": statuses.NO_MONITOR, "unknown": statuses.OFFLINE,
}  # fmt: skip
_LISTENER = {"open": statuses.ONLINE, "full": statuses.DEGRADED, "stopped": statuses.OFFLINE}
_WORST = (statuses.ERROR, statuses.DEGRADED)


_BEST_FIRST = (
    statuses.ONLINE, statuses.DRAINING, statuses.NO_MONITOR, statuses.DEGRADED, statuses.ERROR, statuses.OFFLINE,
)  # fmt: skip


@dataclass(slots=True)
class AmphoraStatus:
    """What one amphora was last heard to say of a load balancer. ``members``: by pool. ``lost``: it says nothing now.

    ``heard``: the states in the heartbeat it was made of; None where it was made of something else. ``servers``: by backend, the
    states that ``members`` were made of, in ``configuration``.
    """

    serving: bool
    members: Mapping[str, Mapping[str, str]]
    listeners: Mapping[str, str]
    counters: Mapping[str, Counters]
    lost: bool = False
    heard: object = None
    configuration: Configuration | None = None
    servers: Mapping[str, Mapping[str, ServerState]] = field(default_factory=dict)


@dataclass(slots=True)
class OperatingStatus:
    """What was last seen of one load balancer: by each amphora, and all together."""

    amphorae: dict[str, AmphoraStatus] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    counters: Mapping[str, Counters] = field(default_factory=dict)


class StatusCache:
    """Operating statuses and statistics by object id. One loop writes, the API reads."""

    def __init__(self) -> None:
        self._sights: dict[str, OperatingStatus] = {}
        self._aside: dict[str, frozenset[str]] = {}
        self._resources: Mapping[str, bool] = {}
        self._troubles: dict[str, str] = {}
        self._vrrp: dict[str, str] = {}
        self._hosts: dict[str, dict[str, bool]] = {}

    def see(
        self, amphora_id: str, configuration: Configuration, states: States, *, beat: BalancerBeat | None = None
    ) -> None:
        """Take in what an amphora says of a load balancer whose configuration this is, by ``beat`` if by a heartbeat."""
        sight = self._sights.setdefault(configuration.load_balancer_id, OperatingStatus())
        known = sight.amphorae.get(amphora_id)
        same = known is not None and known.configuration is configuration and known.servers == states.servers
        members = known.members if known and same else _members(configuration, states.servers)
        listeners: dict[str, str] = {}
        for name in configuration.frontends:
            listener = states.listeners.get(name)
            listeners[name] = _LISTENER[listener.status] if listener and states.serving else statuses.OFFLINE
        counters = {name: listener.counters for name, listener in states.listeners.items()}
        heard = None if beat is None else _heard(beat)
        sight.amphorae[amphora_id] = AmphoraStatus(
            states.serving, members, listeners, counters, False, heard, configuration, states.servers
        )
        if known and same and (known.serving, known.lost, known.listeners) == (states.serving, False, listeners):
            sight.counters = _summed([one.counters for one in sight.amphorae.values()])
        else:
            _merge(configuration.load_balancer_id, sight)

    def counted(self, amphora_id: str, configuration: Configuration, beat: BalancerBeat) -> bool:
        """Take in a heartbeat that brings new counters and no new state, as nearly all do; False: ``see`` has to."""
        sight = self._sights.get(configuration.load_balancer_id)
        known = sight.amphorae.get(amphora_id) if sight else None
        if sight is None or known is None or known.lost or known.heard != _heard(beat):
            return False
        known.counters = dict(zip(configuration.frontends, (one.counters for one in beat.listeners), strict=True))
        sight.counters = _summed([one.counters for one in sight.amphorae.values()])
        return True

    def applied(
        self,
        amphora_id: str,
        configuration: Configuration,
        *,
        since: Configuration | None = None,
        delta: Delta | None = None,
    ) -> None:
        """Take in what an amphora has just put in force, until its next heartbeat: what was seen before is still so, and
        what is new begins as haproxy begins it (a server that is checked is up until a check fails).

        ``delta``: what leads to it from ``since``, where that is known.
        """
        sight = self._sights.get(configuration.load_balancer_id, OperatingStatus())
        known = sight.amphorae.get(amphora_id)
        if known and delta and known.configuration is since and known.serving and not known.lost and _of_servers(delta):
            _follow(known, configuration, delta)
            _merge(configuration.load_balancer_id, sight)
            return
        counters = known.counters if known else {}
        before = _flat(known) if known and not known.lost else sight.statuses
        listeners = {
            name: ListenerState(
                "full" if before.get(name) == statuses.DEGRADED else "open", counters.get(name, Counters())
            )
            for name in configuration.frontends
        }
        servers = {
            backend.name: {s.name: _begins(backend, s, before.get(s.name)) for s in backend.servers.values()}
            for backend in configuration.backends.values()
        }
        self.see(amphora_id, configuration, States(configuration.load_balancer_id, "", True, listeners, servers))

    def stands_aside(self, graph: Graph, configuration: Configuration) -> None:
        """Take in the pools that no listener in service sends to, of which no heartbeat tells: those that nobody checks."""
        served = {backend.pool_id for backend in configuration.backends.values()}
        watched = {pool_id for pool_id, monitor in graph.health_monitors.items() if monitor.admin_state_up}
        pools = (p.id for p in graph.pools.values() if p.admin_state_up and graph.load_balancer.admin_state_up)
        self._aside[graph.load_balancer.id] = frozenset(pools) - served - watched

    def lost(self, load_balancer_id: str, amphora_id: str) -> None:
        """Nothing is heard of it from this amphora any more."""
        self._vrrp.pop(amphora_id, None)
        sight = self._sights.get(load_balancer_id)
        if sight and amphora_id in sight.amphorae:
            sight.amphorae[amphora_id].lost = True
            _merge(load_balancer_id, sight)

    def unheard(self, load_balancer_id: str, amphora_id: str) -> None:
        """Who has not heard an amphora does not know how it is: it says nothing of it, until it hears it again."""
        sight = self._sights.get(load_balancer_id)
        if sight and sight.amphorae.pop(amphora_id, None):
            if sight.amphorae:
                _merge(load_balancer_id, sight)
            else:
                del self._sights[load_balancer_id]

    def unheard_all(self) -> None:
        """Nothing was heard for so long that all may be otherwise."""
        self._sights.clear()
        self._vrrp.clear()
        self._hosts.clear()

    def forget_amphora(self, load_balancer_id: str, amphora_id: str) -> None:
        """This amphora is gone, and what it counted with it."""
        self._vrrp.pop(amphora_id, None)
        sight = self._sights.get(load_balancer_id)
        if sight and sight.amphorae.pop(amphora_id, None):
            _merge(load_balancer_id, sight)

    def forget(self, load_balancer_id: str) -> None:
        """It is gone."""
        self._sights.pop(load_balancer_id, None)
        self._aside.pop(load_balancer_id, None)
        self._troubles.pop(load_balancer_id, None)

    def hear_vrrp(self, amphora_id: str, state: str) -> None:
        """What an amphora says of its part in VRRP; empty: it has none."""
        if state:
            self._vrrp[amphora_id] = state
        else:
            self._vrrp.pop(amphora_id, None)

    def vrrp_state(self, amphora_id: str) -> str | None:
        """MASTER, BACKUP or FAULT, as it was last heard; None: nothing is known, or it is alone."""
        return self._vrrp.get(amphora_id)

    def host_heard(self, group_id: str | None, amphora_id: str) -> None:
        """An amphora of a group is well."""
        if group_id is not None:
            self._hosts.setdefault(group_id, {})[amphora_id] = True

    def host_lost(self, group_id: str, amphora_id: str) -> None:
        """An amphora of a group is silent."""
        self._hosts.setdefault(group_id, {})[amphora_id] = False

    def forget_host(self, group_id: str, amphora_id: str) -> None:
        """It is gone."""
        self._hosts.get(group_id, {}).pop(amphora_id, None)

    def troubled(self, scope_id: str, reason: str | None) -> None:
        """What is in the way of bringing a scope about, and is tried again; None: nothing is any more."""
        if reason is None:
            self._troubles.pop(scope_id, None)
        else:
            self._troubles[scope_id] = reason

    def trouble(self, scope_id: str) -> str | None:
        """What is in the way now."""
        return self._troubles.get(scope_id)

    def resources_seen(self, running: Mapping[str, bool]) -> None:
        """What a cloud has for objects of its own kinds: id → whether it does its work."""
        self._resources = running

    def running(self, id: str) -> bool:  # noqa: A002
        """Whether what a cloud has for an object does its work."""
        return self._resources.get(id, False)

    def operating_status(self, record: Record) -> str:
        """The operating status of an object; OFFLINE until somebody has seen it."""
        if record.spec.get("admin_state_up") is False:
            return statuses.OFFLINE
        if record.kind == "amphora_group":
            return _group(self._hosts.get(record.id, {}).values(), record.spec["size"])
        sight = self._sights.get(record.scope_id)
        if record.kind in ("health_monitor", "l7_policy", "l7_rule"):  # no heartbeat tells of them
            return statuses.ONLINE if sight and record.scope_id in sight.statuses else statuses.OFFLINE
        if record.kind == "member" and record.spec["pool_id"] in self._aside.get(record.scope_id, ()):
            return statuses.NO_MONITOR
        return sight.statuses.get(record.id, statuses.OFFLINE) if sight else statuses.OFFLINE

    def statistics(self, load_balancer_id: str, listener_id: str, amphora_id: str | None = None) -> Counters:
        """A listener's counters, over all amphorae or of one; zeros until somebody has seen it."""
        sight = self._sights.get(load_balancer_id)
        seen = sight if sight is None or amphora_id is None else sight.amphorae.get(amphora_id)
        return seen.counters.get(listener_id, Counters()) if seen else Counters()


def _group(heard: Collection[bool], size: int) -> str:
    """The status of an amphora group: as many of its amphorae as are heard."""
    well = sum(heard)
    if not heard:
        return statuses.OFFLINE
    return statuses.ONLINE if well >= size else statuses.DEGRADED if well else statuses.ERROR


def _heard(beat: BalancerBeat) -> object:
    return beat.serving, beat.servers, [listener.status for listener in beat.listeners]


def _members(
    configuration: Configuration, servers: Mapping[str, Mapping[str, ServerState]]
) -> dict[str, dict[str, str]]:
    """The statuses of members by pool."""
    pools: dict[str, dict[str, str]] = {backend.pool_id: {} for backend in configuration.backends.values()}
    for backend in configuration.backends.values():
        seen = servers.get(backend.name, {})
        for server in backend.servers.values():
            status = _member(seen.get(server.name, "unknown"), server.weight, server.admin)
            pools[backend.pool_id][server.name] = status
    return pools


def _of_servers(delta: Delta) -> bool:
    """Whether only servers of backends that there were are otherwise; the checks of all others stay, too."""
    rest = Delta(delta.since, backends=tuple(
        BackendDelta(one.name, one.pool_id, set_servers=one.set_servers, remove_servers=one.remove_servers) for one in delta.backends
    ))  # fmt: skip
    return rest == delta


def _follow(known: AmphoraStatus, configuration: Configuration, delta: Delta) -> None:
    """Bring what was seen up to date with a delta of servers."""
    members, servers = dict(known.members), dict(known.servers)
    for change in delta.backends:
        backend = configuration.backends[change.name]
        seen, pool = dict(servers.get(change.name, {})), dict(members.get(backend.pool_id, {}))
        for name in change.remove_servers:
            seen.pop(name, None)
            pool.pop(name, None)
        for server in change.set_servers:
            seen[server.name] = _begins(backend, server, pool.get(server.name))
            pool[server.name] = _member(seen[server.name], server.weight, server.admin)
        members[backend.pool_id], servers[change.name] = pool, seen
    known.members, known.servers = members, servers
    known.configuration, known.heard = configuration, None


def _begins(backend: Backend, server: Server, before: str | None) -> ServerState:
    """What haproxy says first of a server; one known dead is known to what comes after a reload."""
    if backend.probe is None and " check " not in f" {server.options} ":
        return "no_check"
    return "down" if before == statuses.ERROR else "up"


def _member(state: ServerState, weight: int, admin: str) -> str:
    if admin == "maint":
        return statuses.OFFLINE
    if weight == 0 and state in ("up", "no_check"):
        return statuses.DRAINING
    return _MEMBER[state]


def _merge(load_balancer_id: str, sight: OperatingStatus) -> None:
    """Make of what each amphora says what is so."""
    sight.counters = _summed([one.counters for one in sight.amphorae.values()])
    heard = [one for one in sight.amphorae.values() if not one.lost]
    believed = [one for one in heard if one.serving] or heard
    if not believed:
        sight.statuses = {load_balancer_id: statuses.ERROR}
        return
    found: dict[str, str] = {}
    for one in believed:
        for status in (*one.members.values(), one.listeners):
            _take_best(found, status)
    found.update({name: statuses.DEGRADED for one in believed for name, s in one.listeners.items() if s in _WORST})
    pools = {pool_id: tuple(members) for one in believed for pool_id, members in one.members.items()}
    found.update({pool_id: roll_up(list(map(found.__getitem__, members))) for pool_id, members in pools.items()})
    parts = [found[name] for name in (*(name for one in believed for name in one.listeners), *pools)]
    found[load_balancer_id] = _balancer(parts) if believed[0].serving else statuses.ERROR
    sight.statuses = found


def _take_best(found: dict[str, str], more: Mapping[str, str]) -> None:
    if not found.keys() & more.keys():
        found.update(more)
        return
    for name, status in more.items():
        known = found.get(name)
        found[name] = status if known is None else min(known, status, key=_BEST_FIRST.index)


def _summed(counters: Sequence[Mapping[str, Counters]]) -> Mapping[str, Counters]:
    if len(counters) == 1:
        return counters[0]
    names = dict.fromkeys(name for one in counters for name in one)
    return {name: _sum([one[name] for one in counters if name in one]) for name in names}


def _sum(counters: Sequence[Counters]) -> Counters:
    totals = {name: sum(getattr(one, name) for one in counters) for name in Counters.__struct_fields__}
    return Counters(**totals)


def _flat(amphora: AmphoraStatus) -> Mapping[str, str]:
    """The statuses of members and listeners, by their names."""
    flat = dict(amphora.listeners)
    for members in amphora.members.values():
        flat.update(members)
    return flat


def roll_up(members: list[str]) -> str:
    """A pool's status from its members'."""
    down = members.count(statuses.ERROR)
    if down == 0:
        return statuses.ONLINE
    return statuses.ERROR if down == len(members) else statuses.DEGRADED


def _balancer(parts: list[str]) -> str:
    return next((status for status in _WORST if status in parts), statuses.ONLINE)
