# SPDX-License-Identifier: Apache-2.0
"""One load balancer → the configuration that is pushed to its amphorae.

A backend is made for each pair of pool and listener (``POOL:LISTENER``), as the timeouts and the mode are the
listener's; its servers stay data (``octavia_amphora.wire.config``). The text is that of ``templates/haproxy``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from octavia_amphora.wire.config import Backend, Configuration, Frontend, compose
from octavia_provider.model.graph import Graph
from octavia_provider.model.l7_policy import HEADER_ROOM
from octavia_provider.model.listener import METRICS, Listener
from octavia_provider.model.load_balancer import HEADER_SIZE, LoadBalancer
from octavia_provider.model.pool import Pool

from . import tls
from .environment import Templates, shipped
from .listener import DEFAULT_CONNECTION_LIMIT, Placement, connection_limit, frontend
from .pool import backend

__all__ = ["Placement", "Rendered", "render"]
MAX_CONNECTIONS = 1_000_000
REWRITE_ROOM = HEADER_ROOM + 1024  # what policies put in, and what listeners insert


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, and for each section the owners of its body's lines (the servers' own ids follow them)."""

    configuration: Configuration
    owners: Mapping[str, list[str]] = field(default_factory=dict)

    def owner(self, *, line: int | None = None, proxy: str = "", server: str = "") -> str | None:
        """The object to blame: that of the line (counted from 1 in ``compose``), else the server, else the proxy."""
        if server and any(server in b.servers for b in self.configuration.backends.values()):
            return server
        if line is not None and (found := self._line_owner(line)):
            return found
        if proxy in self.configuration.frontends:
            return proxy
        backend = self.configuration.backends.get(proxy)
        return backend.pool_id if backend else None

    def _line_owner(self, line: int) -> str | None:
        lines = compose(self.configuration).split("\n")
        section, start = "", 0
        for number, text in enumerate(lines[:line], start=1):
            if text and not text[0].isspace():
                section, start = text.partition(" ")[2], number
        owners = self.owners.get(section)
        if owners is None or line == start:
            return self._section_owner(section)
        index = line - start - 1
        if index < len(owners):
            return owners[index]
        servers = list(self.configuration.backends[section].servers) if section in self.configuration.backends else []
        return servers[index - len(owners)] if index - len(owners) < len(servers) else None

    def _section_owner(self, section: str) -> str | None:
        if section in self.configuration.frontends:
            return section
        backend = self.configuration.backends.get(section)
        return backend.pool_id if backend else None


def render(graph: Graph, placement: Placement, templates: Templates | None = None) -> Rendered:
    """The configuration of one load balancer on an amphora so placed. What is switched off is left out."""
    templates = templates or shipped()
    frontends: dict[str, Frontend] = {}
    backends: dict[str, Backend] = {}
    owners: dict[str, list[str]] = {}
    used: list[Pool] = []
    listeners = [li for li in graph.listeners.values() if li.admin_state_up and graph.load_balancer.admin_state_up]
    for listener in listeners:
        frontends[listener.id], section, pools = frontend(graph, listener, placement, templates)
        owners[listener.id] = section.owners
        for pool in pools:
            made, section = backend(graph, listener, pool, templates)
            backends[made.name], owners[made.name] = made, section.owners
        used += pools
    files = tls.files(graph, listeners, used)
    base = _base(graph.load_balancer, listeners, templates)
    return Rendered(Configuration(graph.load_balancer.id, base, frontends, backends, files), owners)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessValues:
    """What ``global.j2`` is told beside the load balancer. ``maxhdr``: None for haproxy's default."""

    maxconn: int
    bufsize: int
    maxhdr: int | None
    maxrewrite: int
    asks_clients: bool


def _base(load_balancer: LoadBalancer, listeners: list[Listener], templates: Templates) -> str:
    values = _process(load_balancer, [li for li in listeners if li.protocol != "UDP"])
    parts = [
        templates.macro("global", "global")(load_balancer, values),
        templates.macro("defaults", "defaults")(load_balancer),
    ]
    if any(listener.protocol == METRICS for listener in listeners):
        parts.append(templates.macro("metrics", "sections")(load_balancer))
    return "".join(parts)


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
