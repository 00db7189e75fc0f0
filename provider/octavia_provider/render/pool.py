# SPDX-License-Identifier: Apache-2.0
"""A pool as one listener uses it → a ``backend``. Its servers stay data: the words that follow their address are rendered."""

from __future__ import annotations

from dataclasses import dataclass

from octavia_amphora.wire.config import Backend
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import L7_PROTOCOLS, Listener
from octavia_provider.model.pool import HTTP2, Pool

from . import datagrams, health_monitor, member, tls
from .environment import Templates
from .listener import Placement, backend_name, mode
from .section import Section

HASHES = ("SOURCE_IP", "SOURCE_IP_PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendValues:
    """What ``pool.j2`` and ``member.j2`` are told beside pool and listener. ``tls``: how members are spoken to, None in the clear;
    ``client_tls``: clients are spoken to by TLS; ``http2``: members are spoken to by HTTP/2 in the clear."""

    mode: str
    tls: tls.Terms | None
    client_tls: bool
    http2: bool


def backend(
    graph: Graph, listener: Listener, pool: Pool, templates: Templates, placement: Placement
) -> tuple[Backend, Section, member.Servers | None]:
    """The section, and its lines but the servers'.

    Beside them what makes a server, where it needs to know its own member alone.
    """
    section, name = Section(templates), backend_name(pool.id, listener.id)
    monitor = graph.health_monitors.get(pool.id)
    monitor = monitor if monitor and monitor.admin_state_up else None
    members = graph.members.get(pool.id, {})
    if listener.protocol == "UDP":
        return datagrams.backend(name, listener, pool, monitor, members.values()), section, None
    values = _values(listener, pool)
    section.write(pool.id, "pool", "begin", pool, listener, values)
    section.write(listener.id, "listener", "timeouts", listener)
    _persistence(section, listener, pool, peers=bool(placement.peers))
    checker = None if monitor is None or health_monitor.is_by_agent(monitor) else monitor
    check = health_monitor.check(listener, pool, checker) if checker else None
    if checker:
        section.write(checker.id, "health_monitor", "check", checker, check)
    section.write(pool.id, "pool", "end", pool, listener, values)
    cookies = _sets_cookies(pool)
    hashes = pool.lb_algorithm in HASHES
    servers = member.Servers(
        member.Options(templates, pool, listener, values, checker, check), by_agent=checker is not monitor, cookies=cookies,
        numbers=member.numbers(members) if hashes else {}, sources=placement.sources,
    )  # fmt: skip
    made = Backend(
        name=name,
        pool_id=pool.id,
        text=section.text,
        servers={id_: servers.of(one) for id_, one in members.items()},
        dynamic=not cookies,  # `add server` refuses the keyword cookie
        probe=health_monitor.probe(monitor, listener, pool),
    )
    return made, section, None if hashes else servers


def _values(listener: Listener, pool: Pool) -> BackendValues:
    sees_requests, http2 = listener.protocol in L7_PROTOCOLS, pool.protocol_version == HTTP2
    offers = bool(sees_requests or pool.alpn_protocols or pool.protocol_version)
    return BackendValues(
        mode=mode(listener),
        tls=tls.terms(pool, alpn_too=offers) if pool.tls_enabled else None,
        client_tls=tls.ends_here(listener),
        http2=http2 and sees_requests and not pool.tls_enabled,
    )


def _sets_cookies(pool: Pool) -> bool:
    """Whether haproxy gives clients a cookie, which names their server."""
    return pool.session_persistence is not None and pool.session_persistence.type == "HTTP_COOKIE"


def _persistence(section: Section, listener: Listener, pool: Pool, *, peers: bool) -> None:
    """Cookies are secure where clients speak TLS; browsers take ``SameSite=None`` with Secure alone (RFC 6265, section 4.1.2)."""
    persistence = pool.session_persistence
    if persistence is None:
        return
    secure = persistence.cookie_secure
    if secure is None:
        secure = tls.ends_here(listener) or persistence.cookie_same_site == "NONE"
    section.write(pool.id, "session_persistence", "persistence", persistence, secure, peers)
