# SPDX-License-Identifier: Apache-2.0
"""What the configuration of a load balancer may hold: what its objects mean (``allowed``), and nothing else.

The renderer is asked for a configuration and for nothing more: how it comes to its lines is unknown here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from octavia_amphora.nftables.ruleset import Ruleset
from octavia_amphora.wire.config import Bind, Configuration, compose
from octavia_provider.model.graph import Graph

from .allowed import data, l7, listener, packets, pool
from .allowed.tables import Table, always, equal, same_lines
from .parser import SOCKETS, Section, sections

GLOBAL = Table("global", {
    "maxconn {connections}": always, "no strict-limits": always, "tune.maxrewrite 5120": always, "spread-checks 4": always,
    "tune.ssl.cachesize 0": lambda listeners: any(map(listener.asks_clients, listeners)),
})  # fmt: skip
BUFFERS = Table("load balancer", {
    "tune.bufsize 20480": lambda lb: lb.max_header_size == 15_360,
    "tune.bufsize {buffer}": lambda lb: lb.max_header_size > 15_360,
    "tune.http.maxhdr {headers}": lambda lb: lb.max_header_size > 15_360,
})  # fmt: skip
DEFAULTS = Table("defaults", dict.fromkeys((
    "retries 3", "option redispatch", "option splice-auto", "option idle-close-on-response", "load-server-state-from-file global",
), always))  # fmt: skip
PEERS = "octavia-peers"
EXPORTER, METRICS = "octavia-exporter", "octavia-metrics"
BESIDE = {
    EXPORTER: Table(EXPORTER, dict.fromkeys((
        "mode http", f"bind unix@{SOCKETS['OCTAVIA_EXPORTER']} mode 600", "timeout client 30s",
        "http-request use-service prometheus-exporter",
    ), always)),
    METRICS: Table(METRICS, dict.fromkeys((
        "mode http", "timeout connect 5s", "timeout server 30s", f"server agent unix@{SOCKETS['OCTAVIA_METRICS']}",
    ), always)),
}  # fmt: skip
DIRECTIVES = (
    GLOBAL.names
    | BUFFERS.names
    | DEFAULTS.names
    | BESIDE[EXPORTER].names
    | BESIDE[METRICS].names
    | listener.NAMES
    | l7.NAMES
    | pool.NAMES
    | data.NAMES
    | packets.NAMES
)
MOST = 1_000_000


def check(
    configuration: Configuration, graph: Graph, binds: tuple[Bind, ...], peers: tuple[str, ...] = ()
) -> Counter[str]:
    """Raise ``Unmeant`` unless the configuration holds what the graph means; how often each directive came.

    ``binds``: where every listener should listen (their ports are not looked at). ``peers``: NAME ADDRESS:PORT of the
    amphorae of a pair, who share all stick tables.
    """
    met: Counter[str] = Counter()
    alive = [li for li in graph.listeners.values() if li.admin_state_up and graph.load_balancer.admin_state_up]
    streams = [li for li in alive if li.protocol != "UDP"]
    found = _unshared(sections(compose(configuration)), peers)
    names = [(section.kind, section.name) for section in found]
    backends = [("backend", f"{one}:{li.id}") for li in streams for one in _pools(graph, li.id)]
    beside = [("frontend", EXPORTER), ("backend", METRICS)] if any(map(listener.is_metrics, alive)) else []
    equal(names[: 2 + len(beside)], [("global", ""), ("defaults", ""), *beside], "the first sections")
    equal(
        sorted(names[2 + len(beside) :]),
        sorted([*(("frontend", li.id) for li in streams), *backends]),
        "the other sections",
    )
    equal(list(configuration.frontends), [li.id for li in alive], "listeners")
    equal(set(configuration.backends), {f"{one}:{li.id}" for li in alive for one in _pools(graph, li.id)}, "pools")
    limits = sum(map(listener.limit, streams)) or listener.DEFAULT_LIMIT
    size = graph.load_balancer.max_header_size
    room = {"buffer": str(size + int(size / 32) + 5120), "headers": str(int(size / 128))}
    general = GLOBAL.means(streams, {"connections": str(min(MOST, limits))})
    same_lines(found[0].lines, [*general, *BUFFERS.means(graph.load_balancer, room)], "global", met)
    same_lines(found[1].lines, DEFAULTS.means(None, {}), "defaults", met)
    for section in found[2 : 2 + len(beside)]:
        same_lines(section.lines, BESIDE[section.name].means(None, {}), section.name, met)
    for section in found[2 + len(beside) :]:
        if section.kind == "frontend":
            listener.frontend(section, graph, binds, met)
        else:
            pool.backend(section, graph, met)
    data.check(configuration, graph, binds, met)
    return met


def check_rules(rules: Ruleset, graph: Graph, binds: tuple[Bind, ...]) -> Counter[str]:
    """The same for the rules that the agent makes of it for nftables."""
    return packets.check(rules, graph, binds)


def _unshared(found: list[Section], peers: tuple[str, ...]) -> list[Section]:
    """The sections as they are without peers: every table is shared with those who are meant, and nothing else speaks of them."""
    sharing = [section for section in found if section.kind == "peers"]
    expected = [Section("peers", PEERS, [("peer", *peer.split(" ")) for peer in peers])] if peers else []
    equal(sharing, expected, "peers")
    alone = [section for section in found if section.kind != "peers"]
    for line in (line for section in alone for line in section.lines if peers and line[0] == "stick-table"):
        equal(line[-2:], ("peers", PEERS), f"who shares {line}")
    return [
        replace(section, lines=[line[:-2] if peers and line[0] == "stick-table" else line for line in section.lines])
        for section in alone
    ]


def _pools(graph: Graph, listener_id: str) -> list[str]:
    """The pools that get something of a listener, each once."""
    one = graph.listeners[listener_id]
    default = listener.default_pool(graph, one)
    redirected = [
        str(policy.redirect_pool_id) for policy, _ in l7.deciding(graph, one) if policy.action == "REDIRECT_TO_POOL"
    ]
    return list(dict.fromkeys([*([default] if default else []), *redirected]))
