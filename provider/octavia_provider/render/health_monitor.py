# SPDX-License-Identifier: Apache-2.0
"""Health monitors: what haproxy 2.6 checks itself, and what the agent checks (``wire.config.Probe``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from octavia_amphora.wire.config import Probe, ProbeType
from octavia_provider.model.health_monitor import HTTP_TYPES, HealthMonitor
from octavia_provider.model.listener import Listener
from octavia_provider.model.pool import HTTP2, PROXY_VERSIONS, Pool

from . import tls

_ADDRESS = re.compile(r"[0-9.]+")  # no name of TLS: RFC 6066, section 3
# What haproxy has no check for: no ICMP, no gRPC, and its ssl-hello-chk says SSLv3, which no server answers today.
_BY_AGENT: Mapping[str, ProbeType] = {"PING": "ping", "TLS-HELLO": "tls-hello", "GRPC": "grpc"}
# haproxy has no UDP: there the agent checks everything.
_OF_DATAGRAMS: Mapping[str, ProbeType] = {"UDP-CONNECT": "udp-connect", "TCP": "tcp", "HTTP": "http"}


def probe(monitor: HealthMonitor | None, listener: Listener, pool: Pool) -> Probe | None:
    """What the agent checks for this monitor; None where haproxy does."""
    kind = (_OF_DATAGRAMS if listener.protocol == "UDP" else _BY_AGENT).get(monitor.type) if monitor else None
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
    if monitor.type == "GRPC":
        speaks, name = tls.probed(listener, pool, _name(monitor)), monitor.domain_name or ""
        return msgspec.structs.replace(common, service=monitor.grpc_service or "", host=name, tls=speaks)
    if monitor.type != "HTTP":
        return common
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


@dataclass(frozen=True, slots=True)
class Check:
    """What haproxy's checks need beside the monitor. ``by_http``: they are requests. ``default_port``: of a Host header that is
    made of the server's address, where one is needed. ``alpn``, ``sni``: what is said by TLS. ``http2``: the servers are spoken to
    by HTTP/2 in the clear, and a line that says so says it for its checks, by TLS too."""

    by_http: bool
    default_port: int | None
    alpn: tuple[str, ...]
    sni: str
    http2: bool


def check(listener: Listener, pool: Pool, monitor: HealthMonitor) -> Check:
    """How haproxy checks this pool's servers.

    A name is asked for where clients' names are: to a listener that does not end TLS they say none that would be known.
    """
    by_tls = monitor.type == "HTTPS" or pool.tls_enabled
    http2 = pool.protocol_version == HTTP2
    has_host = monitor.http_version == "1.1" or by_tls or http2  # HTTP/2, or may be, if the member chooses so
    in_clear = http2 and not pool.tls_enabled
    named = tls.ends_here(listener) or not pool.tls_enabled
    return Check(
        by_http=monitor.type in HTTP_TYPES,
        default_port=(443 if by_tls else 80) if has_host else None,
        alpn=("http/1.1",) if in_clear else tls.alpn(pool),
        sni=_name(monitor) if named else "",
        http2=in_clear,
    )


def _name(monitor: HealthMonitor) -> str:
    """Who is asked for by TLS; empty where that has no name."""
    name = monitor.domain_name or ""
    return "" if _ADDRESS.fullmatch(name) else name
