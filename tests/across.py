# SPDX-License-Identifier: Apache-2.0
"""Rules across objects: what is there, and one object or one change for each rule, which is to be refused.

``BASE`` makes two load balancers with objects of every kind; a row of ``ROWS`` breaks one rule on top of it. The rows are
asked of the model (does every refusal that it can utter have a row?), of the API and of a Pulumi program.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pem
from octavia_provider.model.errors import Path

NOWHERE = str(uuid.UUID(int=99))
AUTHORITY, STRANGER = pem.authority(), pem.authority("stranger")
PAIR = pem.make("a.test", AUTHORITY)
CLASSES = {
    "local_network": "local.Network", "load_balancer": "LoadBalancer", "listener": "Listener", "pool": "Pool",
    "member": "Member", "health_monitor": "HealthMonitor", "l7_policy": "L7Policy", "l7_rule": "L7Rule",
    "tls_container": "TlsContainer",
}  # fmt: skip


class Ref(str):
    """The id of the object of this name. In a program: an expression."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self}.id"


LB, OTHER = Ref("lb"), Ref("other")
HTTP = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "TCP", "delay": 3, "timeout": 1, "max_retries": 2}
RULE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/"}
HAS_CERTIFICATE = {"type": "SSL_CONN_HAS_CERT", "compare_type": "EQUAL_TO", "value": "true"}
TO_POOL = {"action": "REDIRECT_TO_POOL"}


def _listener(port: int, protocol: str = "HTTP", **more: Any) -> tuple[str, dict[str, Any]]:
    return "listener", {"loadbalancer_id": LB, "protocol": protocol, "protocol_port": port, **more}


def _tls(port: int, container: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return _listener(port, "TERMINATED_HTTPS", default_tls_container_ref=Ref(container), **more)


def _pool(**more: Any) -> tuple[str, dict[str, Any]]:
    return "pool", {**HTTP, **more}


BASE: Mapping[str, tuple[str, dict[str, Any]]] = {
    "net": ("local_network", {"cidr": "10.66.0.0/24"}),
    "lb": ("load_balancer", {"vip_network_id": Ref("net")}),
    "other": ("load_balancer", {"vip_network_id": Ref("net")}),
    "cert": ("tls_container", PAIR.container()),
    "turned": ("tls_container", PAIR.container()),
    "authorities": ("tls_container", {"ca_certificates": AUTHORITY.pem}),
    "lists": ("tls_container", {"crl": pem.crl(STRANGER)}),
    "web": _listener(80),
    "free": _listener(81),
    "stream": _listener(82, "TCP"),
    "metrics": _listener(83, "PROMETHEUS"),
    "servers": _pool(listener_id=Ref("web")),
    "streams": _pool(loadbalancer_id=LB, protocol="TCP"),
    "datagrams": _pool(loadbalancer_id=LB, protocol="UDP"),
    "foreign": _pool(loadbalancer_id=OTHER),
    "first": ("member", {"pool_id": Ref("servers"), "address": "10.66.0.90", "protocol_port": 80}),
    "watch": ("health_monitor", {"pool_id": Ref("servers"), **MONITOR}),
    "policy": ("l7_policy", {"listener_id": Ref("web"), "action": "REJECT"}),
    "full": ("l7_policy", {"listener_id": Ref("web"), "action": "REJECT"}),
    **{f"rule{n}": ("l7_rule", {"l7policy_id": Ref("full"), **RULE, "value": f"/{n}"}) for n in range(50)},
    # what is changed
    "heard": _listener(84),
    "hearing": _pool(listener_id=Ref("heard")),
    "switched": _listener(85),
    "switch": ("l7_policy", {"listener_id": Ref("switched"), "action": "REJECT"}),
    "ended": _tls(86, "cert"),
    "asks": ("l7_policy", {"listener_id": Ref("ended"), "action": "REJECT"}),
    "asked": ("l7_rule", {"l7policy_id": Ref("asks"), **HAS_CERTIFICATE}),
    "sends": _listener(87),
    "target": _pool(loadbalancer_id=LB),
    "sending": ("l7_policy", {"listener_id": Ref("sends"), **TO_POOL, "redirect_pool_id": Ref("target")}),
    "moved": _listener(88),
    "movable": _pool(loadbalancer_id=LB),
    "move": ("l7_policy", {"listener_id": Ref("moved"), **TO_POOL, "redirect_pool_id": Ref("movable")}),
    "idle": _listener(89),
    "greeted": _pool(loadbalancer_id=LB),
    "greeter": ("health_monitor", {"pool_id": Ref("greeted"), **MONITOR, "type": "TLS-HELLO"}),
    "called": _pool(loadbalancer_id=LB, protocol_version="HTTP2"),
    "caller": ("health_monitor", {"pool_id": Ref("called"), **MONITOR, "type": "GRPC"}),
    "callee": ("member", {"pool_id": Ref("called"), "address": "10.66.0.91", "protocol_port": 80}),
    "sidecar": _pool(loadbalancer_id=LB),
    "beside": ("member", {"pool_id": Ref("sidecar"), "address": "10.66.0.92", "protocol_port": 80, "monitor_port": 81}),
    "asker": ("health_monitor", {"pool_id": Ref("sidecar"), **MONITOR, "type": "GRPC"}),
    "turning": _tls(90, "turned"),
    "secure": _tls(91, "cert"),
    "serving": _listener(92),
    "served": _pool(listener_id=Ref("serving")),
    "quiet": _pool(loadbalancer_id=LB),
    "calm": ("health_monitor", {"pool_id": Ref("quiet"), **MONITOR}),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """An object ``name`` that is refused, or where ``BASE`` has it, a change of it: the property and words of the message."""

    name: str
    kind: str
    inputs: Mapping[str, Any] = field(hash=False)
    at: Path
    says: str
    status: int = 400
    by_program: bool = True  # False: a program makes a new object instead

    @property
    def changes(self) -> bool:
        return self.name in BASE

    def __str__(self) -> str:
        return self.name


def _add(name: str, what: tuple[str, dict[str, Any]], at: Any, says: str, status: int = 400) -> Row:
    return Row(name, *what, (at,) if isinstance(at, str) else at, says, status)


def _change(name: str, change: dict[str, Any], at: str | None, says: str, **more: Any) -> Row:
    return Row(name, BASE[name][0], change, () if at is None else (at,), says, **more)


ROWS = (
    _add(
        "g1", ("member", {"pool_id": Ref("sidecar"), "address": "10.66.0.93", "protocol_port": 80}), "monitor_port",
        "the GRPC monitor asks g1",
    ),
    # parents and what is named
    _add("p1", _listener(95, loadbalancer_id=NOWHERE), "loadbalancer_id", "does not exist"),
    _add("p2", _pool(loadbalancer_id=NOWHERE), "loadbalancer_id", "does not exist"),
    _add("p3", _pool(listener_id=NOWHERE), "listener_id", "does not exist"),
    _add("p4", ("health_monitor", {"pool_id": NOWHERE, **MONITOR}), "pool_id", "does not exist"),
    _add("p5", ("l7_policy", {"listener_id": NOWHERE, "action": "REJECT"}), "listener_id", "does not exist"),
    _add("p6", _listener(95, default_pool_id=NOWHERE), "default_pool_id", "does not exist on load balancer"),
    _add("p7", _listener(95, default_pool_id=Ref("foreign")), "default_pool_id", "does not exist on load balancer"),
    _add("p8", _pool(loadbalancer_id=OTHER, listener_id=Ref("free")), "loadbalancer_id", "is on another load balancer"),
    _add("p9", ("l7_policy", {"listener_id": Ref("free"), **TO_POOL, "redirect_pool_id": Ref("foreign")}),
         "redirect_pool_id", "does not exist on load balancer"),
    _add("p10", ("load_balancer", {"vip_network_id": NOWHERE}), "vip_network_id", "does not exist"),
    _add("p11", ("member", {"pool_id": NOWHERE, "address": "10.66.0.9", "protocol_port": 80}), "pool_id", "does not exist", 404),
    _add("p12", ("l7_rule", {"l7policy_id": NOWHERE, **RULE}), "l7policy_id", "does not exist", 404),
    # one of each
    _add("u1", _listener(80), "protocol_port", "taken on this load balancer by listener web", 409),
    _add("u2", _listener(80, "TCP"), "protocol_port", "taken on this load balancer by listener web", 409),
    _add("u3", _pool(listener_id=Ref("web")), "listener_id", "has a default pool already: servers"),
    _add("u4", ("member", BASE["first"][1]), "address", "in this pool already, as member first", 409),
    _add("u5", ("health_monitor", {"pool_id": Ref("servers"), **MONITOR}), "pool_id", "already: watch", 409),
    _add("u6", ("l7_rule", {"l7policy_id": Ref("full"), **RULE}), "l7policy_id", "has 50 rules already"),
    # who speaks with whom
    _add("s1", _listener(95, default_pool_id=Ref("streams")), "default_pool_id", "cannot send to a TCP pool"),
    _add("s2", _listener(95, "UDP", default_pool_id=Ref("quiet")), "default_pool_id", "cannot send to a HTTP pool"),
    _add("s3", _listener(95, "TCP", default_pool_id=Ref("datagrams")), "default_pool_id", "cannot send to a UDP pool"),
    _add("s4", _pool(listener_id=Ref("free"), protocol="TCP"), "protocol", "cannot send to a TCP pool"),
    _add("s5", _pool(listener_id=Ref("secure"), protocol="HTTPS"), "protocol",
         "a TERMINATED_HTTPS listener cannot send to a HTTPS pool"),
    _add("s6", _pool(listener_id=Ref("metrics")), "protocol", "sends to no pool"),
    _add("s7", ("l7_policy", {"listener_id": Ref("free"), **TO_POOL, "redirect_pool_id": Ref("streams")}),
         "redirect_pool_id", "cannot send to a TCP pool"),
    _add("s8", ("l7_policy", {"listener_id": Ref("stream"), "action": "REJECT"}), "listener_id", "sees no requests"),
    _add("s9", ("l7_policy", {"listener_id": Ref("metrics"), "action": "REJECT"}), "listener_id", "sees no requests"),
    _add("s10", ("l7_rule", {"l7policy_id": Ref("policy"), **HAS_CERTIFICATE}), "type",
         "SSL_CONN_HAS_CERT rules need a TERMINATED_HTTPS listener, and this one is HTTP"),
    # monitors and members
    _add("m1", ("health_monitor", {"pool_id": Ref("datagrams"), **MONITOR, "type": "PING"}), "type", "a UDP pool cannot"),
    _add("m2", ("health_monitor", {"pool_id": Ref("movable"), **MONITOR, "type": "UDP-CONNECT"}), "type", "is for UDP pools"),
    _add("m4", _listener(95, allowed_cidrs=["10.0.0.0/8", "fd00::/8"]), ("allowed_cidrs", 1), "is of IPv6, and no VIP"),
    # TLS containers
    _add("t1", _tls(95, "lb"), "default_tls_container_ref", "does not exist"),
    _add("t2", _tls(95, "authorities"), "default_tls_container_ref", "needs a certificate with its"),
    _add("t3", _tls(95, "cert", sni_container_refs=[Ref("cert"), Ref("lists")]), ("sni_container_refs", 1),
         "needs a certificate with its"),
    _add("t4", _tls(95, "cert", client_ca_tls_container_ref=Ref("cert"), client_authentication="MANDATORY"),
         "client_ca_tls_container_ref", "needs certificates of auth"),
    _add("t5", _tls(95, "cert", client_ca_tls_container_ref=Ref("authorities"), client_crl_container_ref=Ref("lists"),
                    client_authentication="MANDATORY"), "client_crl_container_ref", "has no list of the authority CN=authority"),
    _add("t6", _pool(loadbalancer_id=LB, tls_enabled=True, ca_tls_container_ref=Ref("cert")),
         "ca_tls_container_ref", "needs certificates of auth"),
    # changes
    _change("heard", {"protocol": "HTTPS"}, "protocol", "cannot send to a HTTP pool (hearing"),
    _change("switched", {"protocol": "TCP"}, "protocol", "cannot have an L7 policy (switch"),
    _change("ended", {"protocol": "HTTP", "default_tls_container_ref": None}, "protocol", "SSL_CONN_HAS_CERT rules need"),
    _change("target", {"protocol": "TCP"}, "protocol", "cannot send to a TCP pool"),
    _change("served", {"protocol": "TCP"}, "protocol", "cannot send to a TCP pool (served"),
    _change("moved", {"protocol": "HTTPS"}, "protocol", "cannot send to a HTTP pool (movable"),
    _change("idle", {"default_pool_id": Ref("streams")}, "default_pool_id", "cannot send to a TCP pool"),
    _change("greeted", {"protocol": "UDP"}, "protocol", "a UDP pool cannot have a TLS-HELLO monitor", by_program=False),
    _change("watch", {"type": "GRPC"}, "type", "the GRPC monitor asks first"),
    _change("called", {"protocol_version": "HTTP1"}, "protocol_version", "the GRPC monitor asks callee"),
    _change("called", {"protocol_version": None}, "protocol_version", "the GRPC monitor asks callee"),
    _change("beside", {"monitor_port": None}, "monitor_port", "the GRPC monitor asks beside"),
    _change("calm", {"type": "UDP-CONNECT"}, "type", "is for UDP pools"),
    _change("turned", {"certificate": None, "private_key": None, "ca_certificates": AUTHORITY.pem}, None,
            "uses it, and its default_tls_container_ref needs a certificate"),
)  # fmt: skip


def resolved(value: Any, ids: Mapping[str, str]) -> Any:
    """The inputs with ids instead of names."""
    if isinstance(value, Ref):
        return ids[value]
    if isinstance(value, Mapping):
        return {name: resolved(item, ids) for name, item in value.items()}
    return [resolved(item, ids) for item in value] if isinstance(value, list) else value


def program(rows: Sequence[Row] = ()) -> str:
    """A Pulumi program that makes ``BASE``, with what ``rows`` add and change."""
    changed = {row.name: row.inputs for row in rows if row.changes}
    made = {name: (kind, {**inputs, **changed.get(name, {})}) for name, (kind, inputs) in BASE.items()}
    added = {row.name: (row.kind, row.inputs) for row in rows if not row.changes}
    return "\n".join(_statements({**made, **added}))


def _statements(objects: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    for name, (kind, inputs) in objects.items():
        given = ", ".join(f"{n}={value!r}" for n, value in inputs.items() if value is not None)
        yield f"{name} = octavia.{CLASSES[kind]}({name!r}, {given})"
