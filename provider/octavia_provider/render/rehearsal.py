# SPDX-License-Identifier: Apache-2.0
"""Load balancers that are rendered to try an operator's templates: a name that is not there shows before anybody needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from octavia_provider.model.graph import Graph, build
from octavia_provider.model.listener import HEADERS, TLS_HEADERS

from .environment import Templates
from .haproxy import Peer, Placement, sections

_PLACEMENT = Placement(
    vips=("192.0.2.1", "2001:db8::1"),
    proxy_address="127.0.0.2",
    health_address="192.0.2.3",
    peers=(Peer(name="amphora", address="192.0.2.2"),),
)
_TERMINATED = {
    "protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "certificate", "client_authentication": "OPTIONAL",
    "client_ca_tls_container_ref": "authorities", "client_crl_container_ref": "revoked", "hsts_max_age": 1,
    "insert_headers": dict.fromkeys((*HEADERS, *TLS_HEADERS), "true"),
}  # fmt: skip
_LISTENERS: tuple[dict[str, Any], ...] = (
    {"protocol": "HTTP", "allowed_cidrs": ("192.0.2.0/24", "2001:db8::/32"), "rate_limit": {"requests": 1, "period_seconds": 1}},
    _TERMINATED,
    {"protocol": "TCP", "timeout_tcp_inspect": 1},
    {"protocol": "HTTPS"},
    {"protocol": "PROMETHEUS"},
)  # fmt: skip
_BY_TLS = {
    "tls_enabled": True, "tls_container_ref": "certificate", "ca_tls_container_ref": "authorities", "crl_container_ref": "revoked",
}  # fmt: skip
_POOLS: tuple[dict[str, Any], ...] = (
    {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "session_persistence": {"type": "APP_COOKIE", "cookie_name": "name"}},
    {"protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS", "session_persistence": {"type": "HTTP_COOKIE"}, **_BY_TLS},
    {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "session_persistence": {"type": "SOURCE_IP"}},
    {"protocol": "PROXYV2", "lb_algorithm": "SOURCE_IP_PORT"},
    {},
)  # fmt: skip
_MONITORS = ("HTTP", "HTTPS", "TCP", "TLS-HELLO")
_ACTIONS: tuple[dict[str, Any], ...] = (
    {"action": "REJECT"},
    {"action": "REDIRECT_TO_URL", "redirect_url": "http://192.0.2.1/"},
    {"action": "REDIRECT_PREFIX", "redirect_prefix": "http://192.0.2.1"},
    {"action": "REDIRECT_TO_POOL", "redirect_pool_id": "pool-0"},
)
_RULES: tuple[dict[str, Any], ...] = (
    {"type": "PATH", "compare_type": "REGEX", "value": "a"},
    {"type": "HEADER", "compare_type": "CONTAINS", "key": "name", "value": "a", "invert": True},
    {"type": "COOKIE", "compare_type": "EQUAL_TO", "key": "name", "value": "a"},
    {"type": "SOURCE_IP", "compare_type": "EQUAL_TO", "value": "192.0.2.0/24"},
)


def rehearse(templates: Templates) -> None:
    """Render a load balancer that has a bit of everything; ``TemplateFault`` where a template cannot."""
    graph = Graph(build("load_balancer", {"name": "rehearsal"}, id="load-balancer"))  # type: ignore[arg-type] # it is one
    for kind, values in _objects():
        graph.add(build(kind, values))
    sections(graph, list(graph.listeners.values()), _PLACEMENT, templates)


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "tls_container", {"id": "certificate", "certificate": "a", "private_key": "a"}
    yield "tls_container", {"id": "authorities", "ca_certificates": "a"}
    yield "tls_container", {"id": "revoked", "crl": "a"}
    for number, (listener, pool) in enumerate(zip(_LISTENERS, _POOLS, strict=True)):
        of = {"id": f"listener-{number}", "loadbalancer_id": "load-balancer", "protocol_port": 80 + number}
        yield "listener", {**of, **listener, "default_pool_id": f"pool-{number}" if pool else None}
        if pool:
            yield from _pool(f"pool-{number}", pool, _MONITORS[number])
    for number, action in enumerate(_ACTIONS):
        policy = f"policy-{number}"
        yield "l7_policy", {"id": policy, "listener_id": "listener-0", "position": number + 1, **action}
        for place, rule in enumerate(_RULES):
            yield "l7_rule", {"id": f"{policy}-rule-{place}", "l7policy_id": policy, **rule}


def _pool(id_: str, pool: dict[str, Any], monitor: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "pool", {"id": id_, "loadbalancer_id": "load-balancer", **pool}
    yield "health_monitor", {
        "id": f"{id_}-monitor", "pool_id": id_, "type": monitor, "delay": 1, "timeout": 1, "max_retries": 1,
    }  # fmt: skip
    for number, more in enumerate(({}, {"monitor_port": 1, "backup": True})):
        yield "member", {
            "id": f"{id_}-member-{number}", "pool_id": id_, "address": "192.0.2.9", "protocol_port": 80, **more,
        }  # fmt: skip
