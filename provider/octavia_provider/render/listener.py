# SPDX-License-Identifier: Apache-2.0
"""A listener → a ``frontend``."""

from __future__ import annotations

from dataclasses import dataclass

from octavia_amphora.wire.config import Bind, Frontend
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import L7_PROTOCOLS, METRICS, Listener, inserts
from octavia_provider.model.pool import Pool

from . import datagrams, l7_policy, tls
from .environment import Templates
from .section import Section

DEFAULT_CONNECTION_LIMIT = 50_000  # octavia's [haproxy_amphora] default_connection_limit


HEALTH_PORT = 1026
"""Of a pair's amphorae, on the management network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An amphora of a pair: its id, and an address of its own."""

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an amphora's haproxy listens: the VIPs, and the address on which publishing comes in (PROXY protocol).

    ``health_address``: where haproxy says whether it works; None: nowhere. ``peers``: all amphorae of a pair, itself included, which share what stick tables remember; none where it is alone. ``sources``: one address a
    family that connections to members come from, where the kernel is not to choose one.
    """

    vips: tuple[str, ...]
    proxy_address: str | None = None
    health_address: str | None = None
    peers: tuple[Peer, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontendValues:
    """What ``listener.j2`` is told beside the listener. ``tls``: None where no TLS ends; ``default_backend``: empty for none;
    ``peers``: there are others who are told what tables remember."""

    mode: str
    binds: tuple[Bind, ...]
    maxconn: int
    tls: tls.Terms | None
    asks_clients: bool
    headers: frozenset[str]
    allowed_ipv4: tuple[str, ...]
    allowed_ipv6: tuple[str, ...]
    default_backend: str
    peers: bool


def mode(listener: Listener) -> str:
    """Whether haproxy sees requests or bytes."""
    return "http" if listener.protocol in (*L7_PROTOCOLS, METRICS) else "tcp"


def connection_limit(listener: Listener) -> int:
    """The limit that is rendered; -1 means the default."""
    return DEFAULT_CONNECTION_LIMIT if listener.connection_limit < 0 else listener.connection_limit


def backend_name(pool_id: str, listener_id: str) -> str:
    """``POOL:LISTENER``."""
    return f"{pool_id}:{listener_id}"


def default_pool(graph: Graph, listener: Listener) -> Pool | None:
    """Where requests go that no policy takes."""
    pool = graph.default_pool(listener)
    return pool if pool and pool.admin_state_up else None


def pools(default: Pool | None, deciding: l7_policy.Deciding, graph: Graph) -> list[Pool]:
    """The pools that get requests of a listener: the default one, and those that policies redirect to, each once."""
    found = {default.id: default} if default else {}
    for policy, _ in deciding:
        if policy.redirect_pool_id:
            found[policy.redirect_pool_id] = graph.pools[policy.redirect_pool_id]
    return list(found.values())


def frontend(
    graph: Graph, listener: Listener, placement: Placement, templates: Templates
) -> tuple[Frontend, Section, list[Pool]]:
    """The section, its lines, and the pools that it sends to."""
    me, section = listener.id, Section(templates)
    binds, default = _binds(listener, placement), default_pool(graph, listener)
    backend = backend_name(default.id, me) if default else ""
    if listener.protocol == "UDP":
        return (
            datagrams.frontend(listener, default, backend, binds, placement.sources),
            section,
            pools(default, [], graph),
        )
    deciding = l7_policy.policies(graph, listener)
    used = pools(default, deciding, graph)
    values = _values(listener, binds, backend, peers=bool(placement.peers))
    section.write(me, "listener", "begin", listener, values)
    l7_policy.write(section, deciding, {pool.id: backend_name(pool.id, me) for pool in used})
    section.write(me, "listener", "end", listener, values)
    made = Frontend(
        me, section.text, binds, tls.certificates(listener), listener.allowed_cidrs, names=tls.names(graph, listener)
    )
    return made, section, used


def _binds(listener: Listener, placement: Placement) -> tuple[Bind, ...]:
    binds = [Bind(address, listener.protocol_port) for address in placement.vips]
    if placement.proxy_address:
        binds.append(Bind(placement.proxy_address, listener.protocol_port, proxy=True))
    return tuple(binds)


def _values(listener: Listener, binds: tuple[Bind, ...], backend: str, *, peers: bool) -> FrontendValues:
    return FrontendValues(
        mode=mode(listener),
        binds=binds,
        maxconn=connection_limit(listener),
        tls=tls.terms(listener) if tls.ends_here(listener) else None,
        asks_clients=tls.asks_clients(listener),
        headers=frozenset(name for name in listener.insert_headers if inserts(listener.insert_headers, name)),
        allowed_ipv4=tuple(one for one in listener.allowed_cidrs if ":" not in one),
        allowed_ipv6=tuple(one for one in listener.allowed_cidrs if ":" in one),
        default_backend=backend,
        peers=peers,
    )
