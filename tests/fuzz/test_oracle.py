# SPDX-License-Identifier: Apache-2.0
"""The oracle sees a configuration that says the same in another order, where haproxy would do something else."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from fuzz import oracle
from fuzz.accepted import judge
from fuzz.allowed.tables import host
from fuzz.parser import Unmeant
from octavia_amphora.wire.config import Bind, Configuration
from octavia_provider.model.graph import Graph
from octavia_provider.render.haproxy import Placement, render
from unit.render.test_haproxy import CASES

NETWORK = "00000000-0000-0000-0000-000000000001"
MONITOR = {"type": "HTTP", "delay": 5, "timeout": 1, "max_retries": 1, "http_version": "1.1"}
COOKIE = {"type": "APP_COOKIE", "cookie_name": "session"}


def policy(position: int, path: str, *changes: dict[str, Any]) -> dict[str, Any]:
    rules = [{"type": "PATH", "compare_type": "STARTS_WITH", "value": path}]
    action = {"action": "CHANGE_HEADERS", "header_changes": list(changes)} if changes else {"action": "REJECT"}
    return {"position": position, "rules": rules, **action}


def change(operation: str, message: str = "REQUEST", name: str = "X-A") -> dict[str, Any]:
    return {"operation": operation, "name": name, "message": message, "value": "1"}


LISTENERS: dict[str, dict[str, Any]] = {
    "everything": {
        "protocol": "HTTP", "rate_limit": {"requests": 1, "period_seconds": 1}, "insert_headers": {"X-Real-IP": "true"},
        "default_pool": {"name": "pool", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "session_persistence": COOKIE, "healthmonitor": MONITOR},
        "l7policies": [
            policy(1, "/a", change("SET"), change("ADD"), change("SET", "RESPONSE"), change("ADD", "RESPONSE")), policy(2, "/b"),
        ],
    },
    "metrics": {"protocol": "PROMETHEUS"},
}  # fmt: skip
IN_ORDER = [
    ("everything", "http-request track-sc0", "http-request deny deny_status 429"),
    ("everything", "http-request deny deny_status 429", "http-request sc-inc-gpc0"),
    ("everything", "http-request replace-uri", "http-request set-var(txn.l7policy)"),
    ("everything", "http-request set-var(txn.l7host)", "http-request set-var(txn.l7policy)"),
    ("everything", "http-request set-var(txn.l7policy) str(1", "http-request set-var(txn.l7policy) str(2"),
    ("everything", "http-request set-header X-Real-IP", "http-request set-header X-A"),
    ("everything", "http-request set-header X-A", "http-request add-header X-A"),
    ("everything", "http-after-response set-header X-A", "http-after-response add-header X-A"),
    ("everything", "http-request set-var(txn.l7policy) str(2", "http-request deny deny_status 403"),
    ("everything", 'stick match "req.hdrs', 'stick match "req.cook'),
    ("everything", "http-check set-var(check.port)", "http-check set-var(check.host)"),
    ("everything", "http-check set-var(check.host)", "http-check send"),
    ("everything", "http-check send", "http-check expect"),
    ("metrics", "http-request return status 404", "http-request set-path"),
]  # fmt: skip
ANYWHERE = [
    ("everything", "timeout client", "maxconn"),
    ("everything", "acl l7-decided", "http-request set-var(txn.l7policy) str(1"),
    ("everything", "option httpchk", "stick store-response"),
]


def made(name: str) -> tuple[Graph, Configuration]:
    """The balancer; ids of policies are 1… and 2…"""
    body = {"vip_network_id": NETWORK, "listeners": [{"protocol_port": 80, **LISTENERS[name]}]}
    graph = judge(body, random.Random(name)).graph
    assert graph is not None
    configuration = render(graph, Placement(vips=("10.0.0.9",))).configuration
    return graph, configuration


def swapped(graph: Graph, configuration: Configuration, one: str, other: str) -> Configuration:
    """The configuration with two lines in each other's place."""
    for number, id_ in enumerate((policy.id for policy in graph.policies_of(next(iter(graph.listeners)))), start=1):
        one, other = one.replace(f"str({number}", f"str({id_}"), other.replace(f"str({number}", f"str({id_}")
    sections = [*configuration.frontends.values(), *configuration.backends.values()]
    for section in sections:
        lines = section.text.split("\n")
        places = [next((n for n, line in enumerate(lines) if line.strip().startswith(w)), None) for w in (one, other)]
        if None not in places:
            first, second = sorted(places)  # type: ignore[type-var] # neither is None
            assert places == [first, second], "in this order they come"
            lines[first], lines[second] = lines[second], lines[first]  # type: ignore[index]
            turned = msgspec.structs.replace(section, text="\n".join(lines))
            kind = "frontends" if section.name in configuration.frontends else "backends"
            return msgspec.structs.replace(
                configuration, **{kind: {**getattr(configuration, kind), section.name: turned}}
            )
    raise AssertionError(f"no section has both lines: {one}, {other}")


@pytest.mark.parametrize("name", LISTENERS)
def test_what_is_rendered_is_meant(name: str) -> None:
    graph, configuration = made(name)
    oracle.check(configuration, graph, (Bind("10.0.0.9", 0),))


@pytest.mark.parametrize(("name", "one", "other"), IN_ORDER)
def test_lines_whose_order_haproxy_heeds__turned_round__are_not_meant(name: str, one: str, other: str) -> None:
    graph, configuration = made(name)
    with pytest.raises(Unmeant, match="meant to stand before"):
        oracle.check(swapped(graph, configuration, one, other), graph, (Bind("10.0.0.9", 0),))


@pytest.mark.parametrize(("name", "one", "other"), ANYWHERE)
def test_lines_whose_order_means_nothing__may_stand_anywhere(name: str, one: str, other: str) -> None:
    graph, configuration = made(name)
    try:
        other_way_round = swapped(graph, configuration, one, other)
    except AssertionError:
        other_way_round = swapped(graph, configuration, other, one)
    oracle.check(other_way_round, graph, (Bind("10.0.0.9", 0),))


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_golden_file_says_what_its_objects_mean(name: str) -> None:
    graph, placement = CASES[name]
    binds = [Bind(address, 0) for address in placement.vips]
    binds += [Bind(placement.proxy_address, 0, proxy=True)] if placement.proxy_address else []
    peers = tuple(f"{one.name} {host(one.address)}:1025" for one in placement.peers)
    oracle.check(render(graph, placement).configuration, graph, tuple(binds), peers)
