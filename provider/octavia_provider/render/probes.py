# SPDX-License-Identifier: Apache-2.0
"""Health monitors: what haproxy 2.6 checks itself, and what the agent checks (``wire.config.Probe``)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from octavia_amphora.wire.config import Probe, ProbeType
from octavia_provider.model.health_monitor import HTTP_TYPES, HealthMonitor
from octavia_provider.model.member import Member
from octavia_provider.model.pool import PROXY_VERSIONS, Pool

from .lines import Lines, bracketed, quote

# What haproxy has no check for: no ICMP, no gRPC, and its ssl-hello-chk says SSLv3, which no server answers today.
_BY_AGENT: Mapping[str, ProbeType] = {"PING": "ping", "TLS-HELLO": "tls-hello", "GRPC": "grpc"}
# haproxy has no UDP: there the agent checks everything.
_OF_DATAGRAMS: Mapping[str, ProbeType] = {"UDP-CONNECT": "udp-connect", "TCP": "tcp", "HTTP": "http"}


def probe(monitor: HealthMonitor | None, pool: Pool, *, datagrams: bool) -> Probe | None:
    """What the agent checks for this monitor; None where haproxy does."""
    kind = (_OF_DATAGRAMS if datagrams else _BY_AGENT).get(monitor.type) if monitor else None
    if monitor is None or kind is None:
        return None
    common = Probe(
        kind,
        float(monitor.delay),
        float(monitor.timeout),
        monitor.max_retries,
        monitor.max_retries_down,
        proxy=PROXY_VERSIONS.get(pool.protocol, 0),
    )
    if monitor.type != "HTTP":
        return msgspec.structs.replace(common, service=monitor.grpc_service or "")
    return msgspec.structs.replace(
        common,
        method=monitor.http_method or "GET",
        path=monitor.url_path or "/",
        version=monitor.http_version or "1.0",
        host=monitor.domain_name or "",
        codes=_codes(monitor.expected_codes or "200"),
    )


def is_by_agent(monitor: HealthMonitor) -> bool:
    """Whether the agent checks what haproxy serves."""
    return monitor.type in _BY_AGENT


def _codes(text: str) -> tuple[tuple[int, int], ...]:
    """``200,202`` or ``200-204`` → inclusive ranges."""
    ends = [part.partition("-") for part in text.split(",")]
    return tuple((int(low), int(high or low)) for low, _, high in ends)


def add_check(lines: Lines, monitor: HealthMonitor) -> None:
    """The lines of a backend whose servers haproxy checks."""
    me = monitor.id
    lines.add(me, "timeout check", f"{monitor.timeout}s")
    if monitor.type not in HTTP_TYPES:
        return
    lines.add(me, "option httpchk")
    send = ["http-check send meth", monitor.http_method or "GET", "uri", quote(monitor.url_path or "/")]
    send += ["ver", f"HTTP/{monitor.http_version or '1.0'}"]
    if monitor.domain_name:
        send += ["hdr Host", quote(monitor.domain_name)]
    lines.add(me, *send)
    lines.add(me, "http-check expect status", monitor.expected_codes or "200")


def check_options(monitor: HealthMonitor, member: Member, *, encrypted: bool) -> list[str]:
    """The words of a ``server`` line by which haproxy checks it. ``encrypted``: the line has words of TLS already.

    ``verify`` of a line holds for traffic and checks alike: what the pool says of it is not said again.
    """
    words = [f"check inter {monitor.delay}s fall {monitor.max_retries_down} rise {monitor.max_retries}"]
    if monitor.type == "HTTPS":
        words.append("check-ssl" if encrypted else "check-ssl verify none")
    if member.monitor_address:
        words.append(f"addr {bracketed(member.monitor_address)}")
    if member.monitor_port:
        words.append(f"port {member.monitor_port}")
    return words
