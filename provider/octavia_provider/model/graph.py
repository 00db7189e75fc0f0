# SPDX-License-Identifier: Apache-2.0
"""One load balancer with all that belongs to it, and the rules across its objects.

The API asks these rules before anything is written; a violation's path is that of the object that is written.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .certificates import certificates, revocation_lists, revokes_for
from .common import Resource
from .errors import Path, Violation
from .health_monitor import HealthMonitor
from .kinds import KINDS
from .l7_policy import MAX_RULES, L7Policy
from .l7_rule import SSL_TYPES, L7Rule
from .listener import L7_PROTOCOLS, Listener
from .load_balancer import LoadBalancer
from .member import Member
from .pool import SEES_REQUESTS, Pool
from .tls_container import SORTS, TlsContainer

# octavia_lib.common.constants.VALID_LISTENER_POOL_PROTOCOL_MAP, for the protocols there are
LISTENER_POOL_PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "TCP": ("HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"), "HTTP": ("HTTP", "PROXY", "PROXYV2"),
    "HTTPS": ("HTTPS", "PROXY", "PROXYV2", "TCP"), "TERMINATED_HTTPS": ("HTTP", "PROXY", "PROXYV2"), "UDP": ("UDP",),
    "PROMETHEUS": (),
}  # fmt: skip
BOTH_CHANGE = "; where both are to change, make a new pool and give it to the listener as its protocol changes"
# Which monitors a pool can have, by what it speaks (octavia/api/v2/controllers/health_monitor.py).
DATAGRAM_MONITORS = ("UDP-CONNECT", "TCP", "HTTP")

# what each reference to a TLS container has to find in it (tls_container.SORTS)
_CONTAINER_SORTS: Mapping[str, str] = {
    "default_tls_container_ref": "certificate", "sni_container_refs": "certificate",
    "client_ca_tls_container_ref": "ca_certificates", "client_crl_container_ref": "crl",
    "tls_container_ref": "certificate", "ca_tls_container_ref": "ca_certificates", "crl_container_ref": "crl",
}  # fmt: skip
# The kinds that have such references. All others, members above all, are not even looked at.
_CONTAINER_REFS: Mapping[type[Resource], tuple[str, ...]] = {
    cls: names for cls in KINDS.values() if (names := tuple(n for n in _CONTAINER_SORTS if n in cls.model_fields))
}


def build(kind: str, values: Mapping[str, Any], **extra: Any) -> Resource:
    """An object from validated values; unknown names are ignored."""
    return KINDS[kind].trusted({**values, **extra})


# Where a graph has objects of a class: in which map, by what they are grouped, and by what they are known
_PLACES: Mapping[type[Resource], tuple[str, str, str]] = {
    Listener: ("listeners", "", "id"), Pool: ("pools", "", "id"), Member: ("members", "pool_id", "id"),
    HealthMonitor: ("health_monitors", "", "pool_id"), L7Policy: ("l7_policies", "", "id"),
    L7Rule: ("l7_rules", "l7policy_id", "id"), TlsContainer: ("tls_containers", "", "id"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lineage:
    """What a graph was made of: the ``identity`` of another one, and what was put into that and taken out of it."""

    identity: object
    added: tuple[Resource, ...]
    removed: tuple[Resource, ...]


@dataclass(slots=True)
class Graph:
    """The objects of one load balancer, by id. Dictionaries keep the order of creation.

    ``lineage``: of a graph that ``changed`` has made. Who knows what came of the other one need look at the difference alone.
    """

    load_balancer: LoadBalancer
    listeners: dict[str, Listener] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)
    members: dict[str, dict[str, Member]] = field(default_factory=dict)
    health_monitors: dict[str, HealthMonitor] = field(default_factory=dict)
    l7_policies: dict[str, L7Policy] = field(default_factory=dict)
    l7_rules: dict[str, dict[str, L7Rule]] = field(default_factory=dict)
    tls_containers: dict[str, TlsContainer] = field(default_factory=dict)
    identity: object = field(default_factory=object, compare=False, repr=False)
    lineage: Lineage | None = field(default=None, compare=False, repr=False)

    def changed(self, added: Iterable[Resource] = (), removed: Iterable[Resource] = ()) -> Graph:
        """Another graph: without ``removed``, then with ``added``, each in the place of the one of its id, or else last.

        Groups of members and rules in which nothing differs are shared: none of the two may be written to afterwards.
        """
        added, removed = tuple(added), tuple(removed)
        maps: dict[str, Any] = {name: dict(getattr(self, name)) for name, _, _ in _PLACES.values()}
        made = replace(self, **maps, identity=object(), lineage=Lineage(self.identity, added, removed))
        for name, group in {_group(one) for one in (*added, *removed)}:
            if group in maps[name]:
                maps[name][group] = dict(maps[name][group])
        for resource in removed:
            made.remove(resource)
        for resource in added:
            made.add(resource)
        return made

    def add(self, resource: Resource) -> None:
        """Put an object where it belongs (members and monitors by their pool, L7 rules by their policy)."""
        if isinstance(resource, LoadBalancer):
            self.load_balancer = resource
            return
        if type(resource) not in _PLACES:
            raise TypeError(f"{type(resource).__name__} is no part of a load balancer")
        name, group, key = _PLACES[type(resource)]
        found = getattr(self, name)
        if group:
            found = found.setdefault(getattr(resource, group), {})
        found[getattr(resource, key)] = resource

    def remove(self, resource: Resource) -> None:
        """Take out an object that is in it."""
        name, group, key = _PLACES[type(resource)]
        found = getattr(self, name)
        within = found[getattr(resource, group)] if group else found
        del within[getattr(resource, key)]
        if group and not within:
            del found[getattr(resource, group)]

    def default_pool(self, listener: Listener) -> Pool | None:
        """The pool a listener sends to: the one it names, else the one that names it, unless it was told to have none."""
        if listener.default_pool_id:
            return self.pools.get(listener.default_pool_id)
        if listener.without_pool:
            return None
        return next((p for p in self.pools.values() if p.listener_id == listener.id), None)

    def policies_of(self, listener_id: str) -> list[L7Policy]:
        """The L7 policies of a listener, in the order in which they are asked."""
        mine = [policy for policy in self.l7_policies.values() if policy.listener_id == listener_id]
        return sorted(mine, key=lambda policy: policy.position or 0)

    def listeners_of(self, pool_id: str) -> list[Listener]:
        """The listeners whose traffic a pool gets, by default or by an L7 policy."""
        redirecting = {policy.listener_id for policy in self.l7_policies.values() if policy.redirect_pool_id == pool_id}
        return [
            li for li in self.listeners.values()
            if li.id in redirecting or ((pool := self.default_pool(li)) and pool.id == pool_id)
        ]  # fmt: skip


def _group(resource: Resource) -> tuple[str, str]:
    """The map that has an object, and its group there."""
    name, group, _ = _PLACES.get(type(resource), ("listeners", "", ""))
    return name, getattr(resource, group) if group else ""


def container_refs(resource: Resource) -> Iterator[tuple[Path, str]]:
    """The TLS containers that a listener or a pool names, each with the path of the property that does."""
    for name in _CONTAINER_REFS.get(type(resource), ()):
        named = getattr(resource, name)
        if isinstance(named, str):
            yield (name,), named
        else:
            yield from (((name, place), one) for place, one in enumerate(named or ()))


def check_containers(graph: Graph, resource: Resource) -> list[Violation]:
    """Whether every TLS container that it names is there, and holds what it is named for."""
    found: list[Violation] = []
    for path, id_ in container_refs(resource):
        container, sort = graph.tls_containers.get(id_), _CONTAINER_SORTS[str(path[0])]
        if container is None:
            found.append(Violation(path, f"TLS container {id_} does not exist"))
        elif container.sort != sort:
            has = SORTS[container.sort]
            found.append(Violation(path, f"needs {SORTS[sort]}, and TLS container {container.name or id_} holds {has}"))
    return found or _revocation(graph, resource)


def _revocation(graph: Graph, resource: Resource) -> list[Violation]:
    """OpenSSL takes no certificate of an authority whose list it has not, once it has any list."""
    for crl_ref, ca_ref in (
        ("client_crl_container_ref", "client_ca_tls_container_ref"), ("crl_container_ref", "ca_tls_container_ref"),
    ):  # fmt: skip
        if not getattr(resource, crl_ref, None):
            continue
        lists = revocation_lists(graph.tls_containers[getattr(resource, crl_ref)].crl or "")
        for authority in certificates(graph.tls_containers[getattr(resource, ca_ref)].ca_certificates or ""):
            if not any(revokes_for(one, authority) for one in lists):
                name = authority.subject.rfc4514_string()
                message = f"has no list of the authority {name}: nothing that it signed would be accepted"
                return [Violation((crl_ref,), message)]
    return []


def check(graph: Graph, resource: Resource) -> list[Violation]:
    """The rules across objects for one object that is about to be written; ``graph`` holds the others.

    A monitor needs of the graph no others of its kind, and a member nothing at all: their uniqueness is a constraint of
    the store (``Resource.UNIQUE``), so writing one member costs the same whether the pool has three or three thousand.

    An allowed network whose family has lost its VIP hurts nobody and stays: what goes with it can go in any order.
    """
    found: list[Violation]
    match resource:
        case Listener():
            found = [*_listener(graph, resource), *check_containers(graph, resource)]
        case Pool():
            found = [*_pool(graph, resource), *check_containers(graph, resource)]
        case Member():
            found = _member(graph, resource)
        case HealthMonitor():
            found = _monitor(graph, resource)
        case L7Policy():
            found = _l7_policy(graph, resource)
        case L7Rule():
            found = _l7_rule(graph, resource)
        case _:
            found = []
    return list(dict.fromkeys(found))  # two listeners of one pool complain in the same words


def _listener(graph: Graph, listener: Listener) -> list[Violation]:
    found: list[Violation] = []
    if listener.default_pool_id and listener.default_pool_id not in graph.pools:
        message = f"pool {listener.default_pool_id} does not exist on load balancer {listener.loadbalancer_id}"
        return [Violation(("default_pool_id",), message)]
    pool = graph.default_pool(listener)
    if pool and (complaint := _speak(listener, pool)):
        if listener.id in graph.listeners:
            complaint += BOTH_CHANGE
        found.append(Violation(("default_pool_id",) if listener.default_pool_id else ("protocol",), complaint))
    for policy in graph.policies_of(listener.id):
        rules = graph.l7_rules.get(policy.id, {}).values()
        complaints = [_understands(listener, policy), *(_sees_certificates(listener, rule) for rule in rules)]
        target = graph.pools.get(policy.redirect_pool_id or "")
        complaints.append(_speak(listener, target) if target else None)
        found.extend(Violation(("protocol",), complaint) for complaint in complaints if complaint)
    return [*found, *_cidrs(graph, listener)]


def _families(graph: Graph) -> set[int]:
    """IP versions of the VIPs; empty while none is known."""
    balancer = graph.load_balancer
    addresses = (balancer.vip_address, *(vip.ip_address for vip in balancer.additional_vips))
    return {ipaddress.ip_address(address).version for address in addresses if address}


def _cidrs(graph: Graph, listener: Listener) -> Iterator[Violation]:
    if listener.allowed_cidrs and graph.load_balancer.vip_sg_ids:
        message = "does not go with vip_sg_ids of the load balancer: its security groups say who may come in"
        yield Violation(("allowed_cidrs",), message)
    families = _families(graph)
    before = graph.listeners.get(listener.id)
    kept = before.allowed_cidrs if before else ()
    for index, cidr in enumerate(listener.allowed_cidrs):
        version = ipaddress.ip_network(cidr).version
        if families and version not in families and cidr not in kept:
            message = f"{cidr} is of IPv{version}, and no VIP of the load balancer is: nobody could come from there"
            yield Violation(("allowed_cidrs", index), message)


def _member(graph: Graph, member: Member) -> list[Violation]:
    pool, monitor = graph.pools.get(member.pool_id), graph.health_monitors.get(member.pool_id)
    message = _asked_otherwise(monitor, pool, member) if pool and monitor else None
    return [Violation(("monitor_port",), message)] if message else []


def asks_otherwise(monitor: HealthMonitor, pool: Pool) -> bool:
    """Whether members are asked by HTTP/2 that get their requests by HTTP/1.1, unless they are asked elsewhere."""
    return monitor.type == "GRPC" and pool.protocol in SEES_REQUESTS and not pool.takes_http2


def _asked_otherwise(monitor: HealthMonitor, pool: Pool, member: Member) -> str | None:
    if not asks_otherwise(monitor, pool) or member.monitor_port or member.monitor_address:
        return None
    return (
        f"the GRPC monitor asks {member.name or member.address} by HTTP/2, where requests come by HTTP/1.1: give the pool "
        "protocol_version HTTP2 (or tls_enabled), or the member the monitor_port of a health server beside it"
    )


def _monitor(graph: Graph, monitor: HealthMonitor) -> list[Violation]:
    pool = graph.pools.get(monitor.pool_id)
    if pool is None:
        return []
    members = graph.members.get(pool.id, {}).values()
    messages = [_watches(monitor, pool), *(_asked_otherwise(monitor, pool, member) for member in members)]
    return [Violation(("type",), message) for message in messages if message][:1]


def _watches(monitor: HealthMonitor, pool: Pool) -> str | None:
    if pool.protocol == "UDP" and monitor.type not in DATAGRAM_MONITORS:
        return f"a UDP pool cannot have a {monitor.type} monitor; it can have {', '.join(DATAGRAM_MONITORS)}"
    if pool.protocol != "UDP" and monitor.type == "UDP-CONNECT":
        return f"UDP-CONNECT is for UDP pools, and {pool.name or pool.id} speaks {pool.protocol}"
    return None


def _understands(listener: Listener, policy: L7Policy) -> str | None:
    if listener.protocol in L7_PROTOCOLS:
        return None
    return (
        f"a {listener.protocol} listener sees no requests and cannot have an L7 policy ({policy.name or policy.id}); "
        f"{' and '.join(L7_PROTOCOLS)} listeners can"
    )


def _sees_certificates(listener: Listener, rule: L7Rule) -> str | None:
    if rule.type not in SSL_TYPES or listener.protocol == "TERMINATED_HTTPS":
        return None
    return f"{rule.type} rules need a TERMINATED_HTTPS listener, and this one is {listener.protocol}"


def _l7_policy(graph: Graph, policy: L7Policy) -> list[Violation]:
    listener = graph.listeners.get(policy.listener_id)
    if listener is None:
        return [Violation(("listener_id",), f"listener {policy.listener_id} does not exist")]
    found = []
    if complaint := _understands(listener, policy):
        found.append(Violation(("listener_id",), complaint))
    if policy.redirect_pool_id:
        pool = graph.pools.get(policy.redirect_pool_id)
        if pool is None:
            message = f"pool {policy.redirect_pool_id} does not exist on load balancer {listener.loadbalancer_id}"
            found.append(Violation(("redirect_pool_id",), message))
        elif complaint := _speak(listener, pool):
            found.append(Violation(("redirect_pool_id",), complaint))
    return found


def _l7_rule(graph: Graph, rule: L7Rule) -> list[Violation]:
    policy = graph.l7_policies.get(rule.l7policy_id)
    if policy is None:
        return [Violation(("l7policy_id",), f"L7 policy {rule.l7policy_id} does not exist")]
    others = graph.l7_rules.get(policy.id, {}).keys() - {rule.id}
    if len(others) >= MAX_RULES:
        message = f"L7 policy {policy.name or policy.id} has {len(others)} rules already; {MAX_RULES} are the most"
        return [Violation(("l7policy_id",), message)]
    listener = graph.listeners.get(policy.listener_id)
    complaint = _sees_certificates(listener, rule) if listener else None
    return [Violation(("type",), complaint)] if complaint else []


def _speak(listener: Listener, pool: Pool) -> str | None:
    allowed = LISTENER_POOL_PROTOCOLS[listener.protocol]
    if pool.protocol in allowed:
        return None
    if not allowed:
        return f"a {listener.protocol} listener answers by itself and sends to no pool ({pool.name or pool.id})"
    return (
        f"a {listener.protocol} listener cannot send to a {pool.protocol} pool ({pool.name or pool.id}); "
        f"it can to {' or '.join(allowed)}"
    )


def _pool(graph: Graph, pool: Pool) -> list[Violation]:
    found = []
    if pool.id in graph.pools:  # the listener that it was made for may have another pool since, or none
        complaints = [_speak(listener, pool) for listener in graph.listeners_of(pool.id)]
        complaints = [complaint and complaint + BOTH_CHANGE for complaint in complaints]
    elif pool.listener_id:
        listener = graph.listeners.get(pool.listener_id)
        if listener is None:
            return [Violation(("listener_id",), f"listener {pool.listener_id} does not exist")]
        complaints = [_speak(listener, pool)]
        if pool.loadbalancer_id and pool.loadbalancer_id != listener.loadbalancer_id:
            found.append(Violation(("loadbalancer_id",), f"listener {listener.id} is on another load balancer"))
        if other := graph.default_pool(listener):
            message = f"listener {listener.name or listener.id} has a default pool already: {other.name or other.id}"
            found.append(Violation(("listener_id",), message))
    else:
        complaints = [_speak(listener, pool) for listener in graph.listeners_of(pool.id)]
    monitor = graph.health_monitors.get(pool.id)
    if monitor and (complaint := _watches(monitor, pool)):
        found.append(Violation(("protocol",), complaint))
    if monitor:
        asked = (_asked_otherwise(monitor, pool, member) for member in graph.members.get(pool.id, {}).values())
        found += [Violation(("protocol_version",), complaint) for complaint in asked if complaint][:1]
    return [*found, *(Violation(("protocol",), complaint) for complaint in complaints if complaint)]
