# SPDX-License-Identifier: Apache-2.0
"""One load balancer → the configuration that is pushed to its amphorae.

A backend is made for each pair of pool and listener (``POOL:LISTENER``), as the timeouts and the mode are the
listener's; its servers stay data (``octavia_amphora.wire.config``). The text is that of ``templates/haproxy``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import msgspec

from octavia_amphora.wire.config import Backend, BackendDelta, Configuration, Delta, Frontend, apply, compose
from octavia_amphora.wire.vrrp import PEERS_PORT
from octavia_provider.model.graph import Graph
from octavia_provider.model.l7_policy import HEADER_ROOM
from octavia_provider.model.listener import METRICS, Listener
from octavia_provider.model.load_balancer import HEADER_SIZE, LoadBalancer
from octavia_provider.model.member import Member
from octavia_provider.model.pool import Pool

from . import tls
from .environment import Templates, shipped
from .listener import DEFAULT_CONNECTION_LIMIT, HEALTH_PORT, Peer, Placement, connection_limit, frontend
from .member import Servers
from .pool import backend

__all__ = ["Peer", "Placement", "Rendered", "render"]
BESIDE = {"octavia-exporter": "metrics", "octavia-metrics": "metrics", "octavia-health": "health"}
"""Sections that belong to no object, and their templates; ids are UUIDs: none is one of these."""
MAX_CONNECTIONS = 1_000_000
REWRITE_ROOM = HEADER_ROOM + 1024  # what policies put in, and what listeners insert


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, and for each section the owners of its body's lines (the servers' own ids follow them), and the templates
    that wrote them. ``servers``: what makes the servers of a backend, where each depends on its member alone."""

    configuration: Configuration
    owners: Mapping[str, list[str]] = field(default_factory=dict)
    sources: Mapping[str, list[str]] = field(default_factory=dict)
    servers: Mapping[str, Servers | None] = field(default_factory=dict)
    templates: Templates | None = None
    shipped: Callable[[], Rendered] | None = None
    """The same by our templates alone, where an operator's are in use."""

    def owner(self, *, line: int | None = None, proxy: str = "", server: str = "") -> str | None:
        """The object to blame: that of the line (counted from 1 in ``compose``), else the server, else the proxy."""
        if server and any(server in b.servers for b in self.configuration.backends.values()):
            return server
        if line is not None and (found := self._line_owner(line)):
            return found
        return self._section_owner(proxy)

    def template(self, line: int) -> str:
        """The template that wrote a line."""
        section, index = self._place(line)
        if section.name in self.owners:
            sources = self.sources[section.name]
            own = sources[0] if sources else ""
            return own if index < 0 else sources[index] if index < len(sources) else "member"
        if section.name in BESIDE:
            return BESIDE[section.name]
        if section.kind == "peers":
            return "peers"
        return "global" if section.kind == "global" else "defaults"  # an operator may add sections after "defaults"

    def laid_over(self, *, line: int | None = None, proxy: str = "") -> str | None:
        """The operator's template to blame for a line, or for a section; None where it says what ours would say."""
        if self.shipped is None or self.templates is None:
            return None
        ours = self.shipped()
        if line is not None:
            text = compose(self.configuration).split("\n")[line - 1]
            known = text in compose(ours.configuration).split("\n")
            return None if known else self.templates.file(self.template(line))
        frontend, backend = self.configuration.frontends.get(proxy), self.configuration.backends.get(proxy)
        if frontend and frontend != ours.configuration.frontends.get(proxy):
            return self.templates.file("listener")
        if backend and backend != ours.configuration.backends.get(proxy):
            return self.templates.file("pool")
        return None

    def _place(self, line: int) -> tuple[_Section, int]:
        """The section of a line, and its index in the section's body; -1: the section's own line."""
        section, start = _Section("", ""), 0
        for number, text in enumerate(compose(self.configuration).split("\n")[:line], start=1):
            if text and not text[0].isspace():
                kind, _, name = text.partition(" ")
                section, start = _Section(kind, name), number
        return section, line - start - 1

    def _line_owner(self, line: int) -> str | None:
        section, index = self._place(line)
        owners = self.owners.get(section.name)
        if owners is None or index < 0:
            return self._section_owner(section.name)
        if index < len(owners):
            return owners[index]
        backend = self.configuration.backends.get(section.name)
        servers = list(backend.servers) if backend else []
        return servers[index - len(owners)] if index - len(owners) < len(servers) else None

    def _section_owner(self, section: str) -> str | None:
        if section in self.configuration.frontends:
            return section
        backend = self.configuration.backends.get(section)
        return backend.pool_id if backend else None


class _Section(NamedTuple):
    kind: str
    name: str


def render(graph: Graph, placement: Placement, templates: Templates | None = None) -> Rendered:
    """The configuration of one load balancer on an amphora so placed. What is switched off is left out."""
    listeners = [li for li in graph.listeners.values() if li.admin_state_up and graph.load_balancer.admin_state_up]
    templates = templates or shipped()
    text, used = sections(graph, listeners, placement, templates)
    return replace(
        text,
        configuration=msgspec.structs.replace(text.configuration, files=tls.files(graph, listeners, used)),
        templates=templates,
        shipped=partial(render, graph, placement) if templates.folder else None,
    )


def sections(
    graph: Graph, listeners: list[Listener], placement: Placement, templates: Templates
) -> tuple[Rendered, list[Pool]]:
    """The same without the files that its lines name; and the pools that are used."""
    frontends: dict[str, Frontend] = {}
    backends: dict[str, Backend] = {}
    owners: dict[str, list[str]] = {}
    sources: dict[str, list[str]] = {}
    servers: dict[str, Servers | None] = {}
    used: list[Pool] = []
    for listener in listeners:
        name = listener.id
        frontends[name], section, pools = frontend(graph, listener, placement, templates)
        owners[name], sources[name] = section.owners, section.sources
        for pool in pools:
            made, section, maker = backend(graph, listener, pool, templates, placement)
            backends[made.name], servers[made.name] = made, maker
            owners[made.name], sources[made.name] = section.owners, section.sources
        used += pools
    base = _base(graph.load_balancer, listeners, placement, templates)
    return Rendered(Configuration(graph.load_balancer.id, base, frontends, backends), owners, sources, servers), used


def followed(before: Rendered, graph: Graph, placement: Placement, *, since: str) -> tuple[Rendered, Delta] | None:
    """The configuration of a graph made of the one that was rendered ``before``, and the difference between both.

    None where more than members is otherwise, or where servers depend on each other. ``since``: the digest of the one before.
    """
    lineage = graph.lineage
    if lineage is None or not all(isinstance(one, Member) for one in (*lineage.added, *lineage.removed)):
        return None
    changes: list[BackendDelta] = []
    for name, known in before.configuration.backends.items():
        added = [m for m in lineage.added if isinstance(m, Member) and m.pool_id == known.pool_id]
        removed = tuple(m.id for m in lineage.removed if isinstance(m, Member) and m.pool_id == known.pool_id)
        if not added and not removed:
            continue
        if (servers := before.servers.get(name)) is None:
            return None
        written = tuple(server for server in map(servers.of, added) if server != known.servers.get(server.name))
        if written or removed:
            changes.append(BackendDelta(name, known.pool_id, set_servers=written, remove_servers=removed))
    delta = Delta(since, backends=tuple(changes))
    made = replace(
        before,
        configuration=apply(before.configuration, delta),
        shipped=partial(render, graph, placement) if before.shipped else None,
    )
    return made, delta


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessValues:
    """What ``global.j2`` is told beside the load balancer. ``maxhdr``: None for haproxy's default."""

    maxconn: int
    bufsize: int
    maxhdr: int | None
    maxrewrite: int
    asks_clients: bool


def _base(load_balancer: LoadBalancer, listeners: list[Listener], placement: Placement, templates: Templates) -> str:
    values = _process(load_balancer, [li for li in listeners if li.protocol != "UDP"])
    me = load_balancer.id
    base = templates.call(me, "global", "global", load_balancer, values)
    base += templates.call(me, "defaults", "defaults", load_balancer)
    if any(listener.protocol == METRICS for listener in listeners):
        base += templates.call(me, "metrics", "sections", load_balancer)
    if placement.peers:
        base += templates.call(me, "peers", "section", load_balancer, placement.peers, PEERS_PORT)
    if placement.health_address:
        base += templates.call(me, "health", "section", load_balancer, placement.health_address, HEALTH_PORT)
    return base


def _process(load_balancer: LoadBalancer, listeners: list[Listener]) -> ProcessValues:
    """Buffers have room for the largest head of a message, of which a header costs haproxy 8 bytes beside its text, and for what
    is put into it."""
    largest = load_balancer.max_header_size
    larger = largest > HEADER_SIZE
    return ProcessValues(
        maxconn=min(MAX_CONNECTIONS, sum(map(connection_limit, listeners)) or DEFAULT_CONNECTION_LIMIT),
        bufsize=largest + (largest // 32 if larger else 0) + REWRITE_ROOM,
        maxhdr=largest // 128 if larger else None,
        maxrewrite=REWRITE_ROOM,
        asks_clients=any(map(tls.asks_clients, listeners)),
    )
