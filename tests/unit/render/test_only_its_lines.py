# SPDX-License-Identifier: Apache-2.0
"""A change of one attribute touches the lines of its object, and of others only where that is said here, with the reason."""

from __future__ import annotations

import copy
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from fuzz.accepted import judge
from fuzz.generators import values
from fuzz.generators.balancers import balancer
from fuzz.generators.chance import Draw
from fuzz.verify import placed
from octavia_provider.model import graph as graphs
from octavia_provider.model.common import Resource
from octavia_provider.model.graph import Graph
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.validation import plain, validate
from octavia_provider.render.haproxy import Placement, Rendered, render

BALANCERS = 200
TRIES = 6
OF_EACH = 7
"""Objects that are changed in each balancer, and attributes in each object."""

SILENT = frozenset({
    "name", "description", "tags", "subnet_id", "request_sriov", "additional_vips", "vip_address", "vip_network_id",
    "vip_subnet_id", "vip_qos_policy_id", "vip_sg_ids",
})  # fmt: skip
"""What haproxy is told nothing of (where it listens the cloud says)."""
SELF = "self"
CERTIFICATES = {"files"}  # contents of files that the listener or the pool names
CHECKS = {"member", "probe"}  # a check is words on each member's line, or the agent's
ON_SERVERS = {"member"}  # what is said to members is words on each member's line
GLOBAL = {"base"}  # the sum of all limits; what all TLS of the process needs
COMES_AND_GOES = frozenset({
    "base", "files", "listener", "pool", "member", "probe", "health_monitor", "l7_policy", "l7_rule",
})  # fmt: skip
ALSO: dict[str, frozenset[str] | set[str]] = {
    "load_balancer.admin_state_up": COMES_AND_GOES,
    "load_balancer.max_header_size": GLOBAL,
    "listener.admin_state_up": COMES_AND_GOES,
    "pool.admin_state_up": COMES_AND_GOES,
    "l7_policy.admin_state_up": COMES_AND_GOES,
    "l7_rule.admin_state_up": COMES_AND_GOES,  # a policy without a rule does nothing, and its pool is not needed
    "listener.protocol": GLOBAL | {"pool", "member", "probe"} | CERTIFICATES,  # the mode; PROXYV2 tells of TLS
    "listener.connection_limit": GLOBAL,
    "listener.client_authentication": GLOBAL | CERTIFICATES,
    "listener.client_ca_tls_container_ref": GLOBAL | CERTIFICATES,
    "listener.client_crl_container_ref": CERTIFICATES,
    "listener.default_tls_container_ref": CERTIFICATES,
    "listener.sni_container_refs": CERTIFICATES,
    "pool.protocol": CHECKS,  # PROXY
    "pool.lb_algorithm": ON_SERVERS | {"listener"},  # numbers on a hash's ring; UDP's is the listener's
    "pool.session_persistence": ON_SERVERS | {"listener"},  # a cookie a member; UDP's is the listener's
    "pool.alpn_protocols": ON_SERVERS,
    "pool.protocol_version": ON_SERVERS | {"health_monitor"},  # Host of a check that may be HTTP/2
    "pool.tls_ciphers": ON_SERVERS | {"probe"},  # gRPC's checks go as the traffic does
    "pool.tls_versions": ON_SERVERS | {"probe"},
    "pool.tls_enabled": ON_SERVERS | CERTIFICATES | {"probe", "health_monitor"},  # Host of a check that may be HTTP/2
    "pool.tls_container_ref": ON_SERVERS | CERTIFICATES | {"probe"},
    "pool.ca_tls_container_ref": ON_SERVERS | CERTIFICATES | {"probe"},
    "pool.crl_container_ref": ON_SERVERS | CERTIFICATES | {"probe"},
    "l7_policy.position": {"l7_policy", "listener"},  # the order, in which the first that matches wins
    "l7_rule.invert": {"l7_policy"},  # its name in the policy's condition, with or without "!"
    **{
        f"health_monitor.{name}": CHECKS
        for name in inputs(KINDS["health_monitor"])
        if name not in SILENT | values.STRUCTURE
    },
}
"""Attribute → the kinds of other objects whose lines it may change."""


def objects(graph: Graph) -> Iterator[Resource]:
    """All of them, those of a balancer's kinds."""
    yield graph.load_balancer
    for flat in (graph.listeners, graph.pools, graph.health_monitors, graph.l7_policies):
        yield from flat.values()
    for nested in (graph.members, graph.l7_rules):
        for inner in nested.values():
            yield from inner.values()


def said(rendered: Rendered) -> dict[str, list[Any]]:
    """What is said on behalf of each object, by its id; ``probe ID``: what the agent checks of a pool."""
    found: dict[str, list[Any]] = defaultdict(list)
    whole = rendered.configuration
    found["base"].append(whole.base)
    found["files"].extend(sorted(whole.files))
    for name, section in (*whole.frontends.items(), *whole.backends.items()):
        for owner, line in zip(rendered.owners[name], section.text.split("\n")[:-1], strict=True):
            found[owner].append((name, line))
    for name, front in whole.frontends.items():
        found[name].append((front.binds, front.certificates, front.allowed, front.datagrams))
    for name, back in whole.backends.items():
        found[back.pool_id].append((name, back.dynamic, back.datagrams))
        found[f"probe {back.pool_id}"].append((name, back.probe))
        for member, server in back.servers.items():
            found[member].append((name, server))
    return found


def changed(graph: Graph, one: Resource, name: str, draw: Draw) -> Graph | None:
    """The same with another value of an attribute; None where the model does not take it, or it means the same."""
    known = inputs(type(one))
    spec = plain(one)
    tries = (validate(type(one), {**spec, name: values.good(draw, one.KIND, known[name])}) for _ in range(TRIES))
    result = next((one for one in tries if not one.violations and one.values[name] != spec[name]), None)
    if result is None:
        return None
    new = graphs.build(one.KIND, result.values, id=one.id)
    if graphs.check(graph, new):
        return None
    other = copy.deepcopy(graph)
    other.add(new)
    return other


def touched(
    before: dict[str, list[Any]], after: dict[str, list[Any]], one: Resource, kinds: dict[str, str]
) -> set[str]:
    """The kinds of objects whose lines differ; ``self`` for the object's own."""
    ids = {id_ for id_ in before.keys() | after.keys() if before.get(id_) != after.get(id_)}
    return {SELF if id_ == one.id else kinds.get(id_) or id_.split()[0] for id_ in ids}


def trials() -> Iterator[tuple[str, set[str]]]:
    """Each attribute that was changed somewhere, and what that touched. Those that were tried least come first."""
    tried: Counter[str] = Counter()
    for number in range(BALANCERS):
        draw = Draw(f"only {number}")
        graph = judge(balancer(draw), random.Random(number)).graph
        if graph is None:
            continue
        placement: Placement = placed(graph, draw)
        before = said(render(graph, placement))
        all_ = list(objects(graph))
        kinds = {one.id: one.KIND for one in all_}
        for one in draw.sample(all_, min(len(all_), OF_EACH)):
            names = [name for name in inputs(type(one)) if name not in values.STRUCTURE | values.NOT_DRAWN]
            draw.shuffle(names)
            for name in sorted(names, key=lambda name: tried[f"{one.KIND}.{name}"])[:OF_EACH]:
                other = changed(graph, one, name, draw)
                if other is not None:
                    tried[f"{one.KIND}.{name}"] += 1
                    yield f"{one.KIND}.{name}", touched(before, said(render(other, placement)), one, kinds)


@pytest.mark.timeout(300)
def test_a_change_touches_the_lines_of_its_object__and_of_others_only_where_that_is_meant() -> None:
    met: Counter[str] = Counter()
    for attribute, lines in trials():
        met[attribute] += 1
        silent = attribute.split(".")[1] in SILENT
        allowed = set() if silent else {SELF, *ALSO.get(attribute, ())}
        assert lines <= allowed, f"{attribute} touches lines of {lines - allowed}"
    drawn = {
        f"{kind.KIND}.{name}"
        for kind in values.DRAWN_KINDS
        for name in inputs(kind)
        if name not in values.STRUCTURE | values.NOT_DRAWN
    }
    assert drawn - met.keys() == set(), "never changed"
    assert ALSO.keys() <= drawn
