# SPDX-License-Identifier: Apache-2.0
"""Whole load balancers, as the body of a single-call create: a new kind needs a place here."""

from __future__ import annotations

from octavia_provider.model import graph, kinds
from octavia_provider.model.l7_rule import SSL_TYPES, TYPES
from octavia_provider.model.listener import L7_PROTOCOLS
from octavia_provider.model.pool import SEES_REQUESTS

from .chance import Draw
from .strings import hostile
from .values import Body, values


def balancer(draw: Draw) -> Body:
    """A load balancer with all that is in it."""
    draw.lax = draw.happens(25)
    draw.families = (4, 6) if draw.lax else draw.choice(((4,), (6,), (4, 6), (4, 6)))
    body = values(draw, kinds.LoadBalancer)
    body.setdefault("vip_network_id", "00000000-0000-0000-0000-000000000001")
    if len(draw.families) == 2 and not draw.lax:
        body.pop("vip_address", None)  # what is of the other version would be refused
        for vip in body.get("additional_vips") or ():
            vip.pop("ip_address", None)
    body["pools"] = pools = [_pool(draw, f"pool {number}") for number in range(draw.randint(0, 2))]
    ports = draw.sample(range(1, 65536), draw.choice((1, 1, 2, 2, 3)))
    if draw.lax and draw.happens(10):
        ports = ports[:1] * len(ports)
    body["listeners"] = [_listener(draw, port, pools) for port in ports]
    return body


def _pool(draw: Draw, name: str = "", protocols: tuple[str, ...] = ()) -> Body:
    pool = values(draw, kinds.Pool, **({"protocol": draw.choice(protocols)} if protocols else {}))
    if name:
        pool["name"] = hostile(draw) if draw.lax and draw.happens(10) else name
    pool["members"] = draw.some(lambda draw: values(draw, kinds.Member), 3)
    if draw.happens(65):
        pool["healthmonitor"] = _monitor(draw, str(pool.get("protocol")))
        if pool["healthmonitor"].get("type") == "GRPC" and pool.get("protocol") in SEES_REQUESTS and draw.happens(90):
            pool["protocol_version"] = "HTTP2"
            pool.pop("alpn_protocols", None)
        if (
            pool["healthmonitor"].get("type") in ("HTTP", "HTTPS")
            and pool.get("protocol") in SEES_REQUESTS
            and draw.happens(25)
        ):
            _asked_unasked(pool, draw)
        elif pool["healthmonitor"].get("type") == "HTTP" and draw.happens(25):
            _asked_plainly(pool)
    return pool


def _asked_unasked(pool: Body, draw: Draw) -> None:
    """Members that are spoken to by HTTP/2 in the clear, and checked so too, most of them where they serve."""
    pool.update(protocol_version="HTTP2", tls_enabled=False)
    pool.pop("alpn_protocols", None)
    for member in pool["members"] if draw.happens(75) else ():
        for name in ("monitor_port", "monitor_address"):
            member.pop(name, None)


def _asked_plainly(pool: Body) -> None:
    """By HTTP/1.0 in the clear, whoever it is."""
    pool["tls_enabled"] = False
    for one, name in (
        (pool, "protocol_version"),
        (pool["healthmonitor"], "http_version"),
        (pool["healthmonitor"], "domain_name"),
    ):
        one.pop(name, None)


def _monitor(draw: Draw, protocol: str) -> Body:
    monitor = values(draw, kinds.HealthMonitor)
    unfit = (
        (monitor.get("type") not in graph.DATAGRAM_MONITORS)
        if protocol == "UDP"
        else monitor.get("type") == "UDP-CONNECT"
    )
    if unfit and not draw.lax:
        fitting = graph.DATAGRAM_MONITORS if protocol == "UDP" else ("TCP", "PING", "TLS-HELLO", "GRPC")
        monitor = values(draw, kinds.HealthMonitor, type=draw.choice(fitting))
    return monitor


def _listener(draw: Draw, port: int, pools: list[Body]) -> Body:
    listener = values(draw, kinds.Listener)
    listener["protocol_port"] = port if not (draw.lax and draw.happens(5)) else hostile(draw)
    protocol = str(listener.get("protocol"))
    spoken = graph.LISTENER_POOL_PROTOCOLS.get(protocol, ())
    fitting = [pool for pool in pools if pool.get("protocol") in spoken]
    if draw.happens(80) and (target := _target(draw, pools, fitting, spoken, f"pool of {port}")):
        listener["default_pool"] = target
    if protocol in L7_PROTOCOLS or (draw.lax and draw.happens(5)):
        listener["l7policies"] = draw.some(lambda draw: _policy(draw, protocol, pools, fitting), 4)
        for number, policy in enumerate(listener["l7policies"]):
            if len(policy.get("redirect_pool", ())) > 1:  # not a name alone
                policy["redirect_pool"]["name"] = f"pool of {port}, policy {number}"
    return listener


def _target(draw: Draw, pools: list[Body], fitting: list[Body], spoken: tuple[str, ...], name: str = "") -> Body | None:
    """A pool by its name, or a new one."""
    among = pools if draw.lax and draw.happens(10) else fitting
    if among and draw.happens(60):
        return {"name": draw.choice(among)["name"]}
    return _pool(draw, name, protocols=spoken) if spoken else None


def _policy(draw: Draw, protocol: str, pools: list[Body], fitting: list[Body]) -> Body:
    policy = values(draw, kinds.L7Policy)
    spoken = graph.LISTENER_POOL_PROTOCOLS.get(protocol, ())
    if policy.get("action") == "REDIRECT_TO_POOL" and (target := _target(draw, pools, fitting, spoken)):
        policy["redirect_pool"] = target
    most = 55 if draw.happens(1) else 3
    policy["rules"] = [_rule(draw, protocol) for _ in range(draw.randint(0 if draw.happens(10) else 1, most))]
    return policy


def _rule(draw: Draw, protocol: str) -> Body:
    if protocol == "TERMINATED_HTTPS" or draw.lax:
        return values(draw, kinds.L7Rule)
    seen = [choice.value for choice in TYPES if choice.value not in SSL_TYPES]
    return values(draw, kinds.L7Rule, type=draw.choice(seen))
