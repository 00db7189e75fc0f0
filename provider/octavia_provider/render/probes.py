# SPDX-License-Identifier: Apache-2.0
"""Health monitors: what haproxy 2.6 checks itself, and what the agent checks (``wire.config.Probe``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from octavia_amphora.wire.config import Probe, ProbeType
from octavia_provider.model.health_monitor import HTTP_TYPES, HealthMonitor
from octavia_provider.model.listener import Listener
from octavia_provider.model.member import Member
from octavia_provider.model.pool import HTTP2, PROXY_VERSIONS, Pool

from . import tls
from .lines import Lines, bracketed, quote

_ADDRESS = re.compile(r"[0-9.]+")  # no name of TLS: RFC 6066, section 3
# The server that is checked as Host has it: an IPv6 address in brackets, then the port. Arguments in quotes (2.2).
_HOST = r'bc_dst,regsub("^(.*:.*)$","[\\1]"),concat(:,check.port),regsub(":{default}$","")'
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


def add_check(lines: Lines, pool: Pool, monitor: HealthMonitor) -> None:
    """The lines of a backend whose servers haproxy checks."""
    me = monitor.id
    lines.add(me, "timeout check", f"{monitor.timeout}s")
    if monitor.type not in HTTP_TYPES:
        return
    lines.add(me, "option httpchk")
    by_tls = monitor.type == "HTTPS" or pool.tls_enabled
    by_http2 = by_tls or pool.protocol_version == HTTP2  # or may be, if the member chooses so
    send = ["http-check send meth", monitor.http_method or "GET", "uri", quote(monitor.url_path or "/")]
    send += ["ver", f"HTTP/{monitor.http_version or '1.0'}"]
    if monitor.domain_name:
        send += ["hdr Host", quote(monitor.domain_name)]
    elif monitor.http_version == "1.1" or by_http2:
        lines.add(me, "http-check set-var(check.port) bc_dst_port")
        host = quote(_HOST.replace("{default}", "443" if by_tls else "80"))
        lines.add(me, "http-check set-var(check.host)", host)
        send += ["hdr Host %[var(check.host)]"]
    lines.add(me, *send)
    lines.add(me, "http-check expect status", monitor.expected_codes or "200")


def check_options(listener: Listener, pool: Pool, monitor: HealthMonitor, member: Member) -> list[str]:
    """The words of a ``server`` line by which haproxy checks it.

    A check of the member's own address and port is made as its traffic is. That is said in words: a server that is added
    at run time has it from nowhere else (2.6: it was asked in the clear, and without the PROXY protocol).
    ``verify`` of a line holds for traffic and checks alike: what the pool says of it is not said again.
    """
    words = [f"check inter {monitor.delay}s fall {monitor.max_retries_down} rise {monitor.max_retries}"]
    elsewhere = bool(member.monitor_address or member.monitor_port)
    if monitor.type == "HTTPS" or (pool.tls_enabled and not elsewhere):
        words += ["check-ssl"] if pool.tls_enabled else ["check-ssl verify none"]
        words += _https(listener, pool, monitor) if monitor.type in HTTP_TYPES else []
    if _unasked(pool) and monitor.type in HTTP_TYPES:
        words.append("check-proto h2" if monitor.type == "HTTP" and not elsewhere else "check-proto h1")
    if pool.protocol in PROXY_VERSIONS and not elsewhere:
        words.append("check-send-proxy")
    if member.monitor_address:
        words.append(f"addr {bracketed(member.monitor_address)}")
    if member.monitor_port:
        words.append(f"port {member.monitor_port}")
    return words


def _https(listener: Listener, pool: Pool, monitor: HealthMonitor) -> Iterator[str]:
    """Without ``check-alpn`` haproxy offers what the traffic does, and goes on in HTTP/1 whatever the member has chosen.

    The name is asked for where clients' names are: to a listener that does not end TLS they say none that would be known.
    """
    yield "check-alpn http/1.1" if _unasked(pool) else tls.alpn(pool, "check-alpn")
    if (name := _name(monitor)) and (tls.ends_here(listener) or not pool.tls_enabled):
        yield f"check-sni {quote(name)}"


def _unasked(pool: Pool) -> bool:
    """Whether members are spoken to by HTTP/2 in the clear; a line that says so says it for its checks, by TLS too."""
    return pool.protocol_version == HTTP2 and not pool.tls_enabled


def _name(monitor: HealthMonitor) -> str:
    """Who is asked for by TLS; empty where that has no name."""
    name = monitor.domain_name or ""
    return "" if _ADDRESS.fullmatch(name) else name
