# SPDX-License-Identifier: Apache-2.0
"""One load balancer → the configuration that is pushed to its amphorae.

A backend is made for each pair of pool and listener (``POOL:LISTENER``), as the timeouts and the mode are the
listener's; its servers stay data (``octavia_amphora.wire.config``). Directives: haproxy 2.6 configuration manual.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from octavia_amphora.wire.config import Backend, Bind, Configuration, Frontend, Server, compose
from octavia_provider.model.graph import Graph
from octavia_provider.model.l7_policy import HEADER_ROOM
from octavia_provider.model.listener import CLIENT_HEADERS, L7_PROTOCOLS, METRICS, Listener, inserts
from octavia_provider.model.load_balancer import HEADER_SIZE, LoadBalancer
from octavia_provider.model.member import Member
from octavia_provider.model.pool import PROXY_VERSIONS, Pool

from . import datagrams, l7, metrics, persistence, probes, tls
from .lines import Lines, bracketed

DEFAULT_CONNECTION_LIMIT = 50_000  # octavia's [haproxy_amphora] default_connection_limit
MAX_CONNECTIONS = 1_000_000
REWRITE_ROOM = HEADER_ROOM + 1024  # what policies put in, and what listeners insert
RING = 1 << 20
CIDRS_A_LINE = 20  # haproxy takes 64 words and 2,048 characters a line
CLIENT_PORT = "sess.client_port"
HASHES = ("SOURCE_IP", "SOURCE_IP_PORT")
BALANCE: Mapping[str, tuple[str, ...]] = {
    "ROUND_ROBIN": ("balance roundrobin",),
    "LEAST_CONNECTIONS": ("balance leastconn",),
    # consistent: members come and go at run time, and few clients change their member when one does
    "SOURCE_IP": ("balance source", "hash-type consistent sdbm avalanche"),
    "SOURCE_IP_PORT": (
        f"tcp-request content set-var({CLIENT_PORT}) src_port",
        f"balance hash src,concat(:,{CLIENT_PORT})",
        "hash-type consistent sdbm avalanche",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an amphora's haproxy listens: the VIPs, and the address on which publishing comes in (PROXY protocol)."""

    vips: tuple[str, ...]
    proxy_address: str | None = None


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


def render(graph: Graph, placement: Placement) -> Rendered:
    """The configuration of one load balancer on an amphora so placed. What is switched off is left out."""
    frontends: dict[str, Frontend] = {}
    backends: dict[str, Backend] = {}
    owners: dict[str, list[str]] = {}
    listeners = [li for li in graph.listeners.values() if li.admin_state_up and graph.load_balancer.admin_state_up]
    for listener in listeners:
        frontends[listener.id], owners[listener.id] = _frontend(graph, listener, placement)
        for pool in _pools(graph, listener):
            name = backend_name(pool.id, listener.id)
            backends[name], owners[name] = _backend(graph, listener, pool)
    used = [pool for listener in listeners for pool in _pools(graph, listener)]
    files = tls.files(graph, listeners, used)
    base = _base(graph.load_balancer, [li for li in listeners if li.protocol != "UDP"]) + metrics.sections(listeners)
    return Rendered(Configuration(graph.load_balancer.id, base, frontends, backends, files), owners)


def backend_name(pool_id: str, listener_id: str) -> str:
    """``POOL:LISTENER``."""
    return f"{pool_id}:{listener_id}"


def _default_pool(graph: Graph, listener: Listener) -> Pool | None:
    pool = graph.default_pool(listener)
    return pool if pool and pool.admin_state_up else None


def _pools(graph: Graph, listener: Listener) -> list[Pool]:
    """The pools that get requests of a listener: the default one, and those that policies redirect to, each once."""
    default = _default_pool(graph, listener)
    found = {default.id: default} if default else {}
    for policy, _ in l7.policies(graph, listener):
        if policy.redirect_pool_id:
            found[policy.redirect_pool_id] = graph.pools[policy.redirect_pool_id]
    return list(found.values())


def connection_limit(listener: Listener) -> int:
    """The limit that is rendered; -1 means the default."""
    return DEFAULT_CONNECTION_LIMIT if listener.connection_limit < 0 else listener.connection_limit


def _buffers(largest: int) -> str:
    """Room for the largest head of a message, and for what is put into it. (A header costs haproxy 8 bytes beside its text.)"""
    size = f"    tune.bufsize {largest + REWRITE_ROOM}\n"
    if largest > HEADER_SIZE:
        size = f"    tune.bufsize {largest + largest // 32 + REWRITE_ROOM}\n    tune.http.maxhdr {largest // 128}\n"
    return f"{size}    tune.maxrewrite {REWRITE_ROOM}\n"


def _base(load_balancer: LoadBalancer, listeners: list[Listener]) -> str:
    connections = min(MAX_CONNECTIONS, sum(connection_limit(li) for li in listeners) or DEFAULT_CONNECTION_LIMIT)
    return (
        "global\n"
        f"    maxconn {connections}\n"
        f"{_buffers(load_balancer.max_header_size)}"
        "    no strict-limits\n"  # a host that allows fewer descriptors serves fewer connections, it does not fail
        f"{tls.base(listeners)}"
        "    spread-checks 4\n"
        "\ndefaults\n"
        "    retries 3\n"
        "    option redispatch\n"
        "    option splice-auto\n"
        "    option idle-close-on-response\n"  # a reload must not cut a request on a kept-alive connection
        "    load-server-state-from-file global\n"
    )


def mode(listener: Listener) -> str:
    """Whether haproxy sees requests or bytes."""
    return "http" if listener.protocol in (*L7_PROTOCOLS, METRICS) else "tcp"


def _binds(listener: Listener, placement: Placement) -> tuple[Bind, ...]:
    binds = [Bind(address, listener.protocol_port) for address in placement.vips]
    if placement.proxy_address:
        binds.append(Bind(placement.proxy_address, listener.protocol_port, proxy=True))
    return tuple(binds)


def _frontend(graph: Graph, listener: Listener, placement: Placement) -> tuple[Frontend, list[str]]:
    lines = Lines()
    me = listener.id
    binds = _binds(listener, placement)
    if listener.protocol == "UDP":
        pool = _default_pool(graph, listener)
        return datagrams.frontend(listener, pool, backend_name(pool.id, me) if pool else "", binds), []
    lines.add(me, "mode", mode(listener))
    for bind in binds:
        lines.add(
            me, "bind", _socket(bind.address, bind.port), *(["accept-proxy"] if bind.proxy else []), *tls.bind(listener)
        )
    lines.add(me, "maxconn", str(connection_limit(listener)))
    lines.add(me, "timeout client", f"{listener.timeout_client_data}ms")
    if listener.protocol == METRICS:
        metrics.frontend(lines, listener)
    if listener.timeout_tcp_inspect and mode(listener) == "tcp":
        lines.add(me, "tcp-request inspect-delay", f"{listener.timeout_tcp_inspect}ms")
    _allowed(lines, listener)
    l7.rate_limit(lines, listener)
    _insert_headers(lines, listener)
    tls.headers(lines, listener)
    deciding = l7.policies(graph, listener)
    l7.decide(lines, deciding)
    l7.use_backends(lines, deciding, {pool.id: backend_name(pool.id, me) for pool in _pools(graph, listener)})
    if pool := _default_pool(graph, listener):
        lines.add(me, "default_backend", backend_name(pool.id, me))
    frontend = Frontend(
        me, lines.text, binds, tls.certificates(listener), listener.allowed_cidrs, names=tls.names(graph, listener)
    )
    return frontend, lines.owners


def _allowed(lines: Lines, listener: Listener) -> None:
    """The packet filter of the VIP stands before haproxy, and while it is down; here comes in who is published.

    A published client's address is known from the PROXY header alone, and to ``session`` rules (4.2). haproxy compares
    a client with networks of the other family too, by mapping: ``::/0`` would let in all of IPv4.
    """
    let_in = []
    for version, mine in ((4, "!from_ipv6"), (6, "from_ipv6")):
        networks = [one for one in listener.allowed_cidrs if (":" in one) == (version == 6)]
        for start in range(0, len(networks), CIDRS_A_LINE):
            lines.add(listener.id, f"acl allowed_ipv{version} src", *networks[start : start + CIDRS_A_LINE])
        let_in += [f"{mine} allowed_ipv{version}"] if networks else []
    if let_in:
        lines.add(listener.id, "acl from_ipv6 src -m sub :")
        lines.add(listener.id, "tcp-request session reject unless", " or ".join(let_in))


def _socket(address: str, port: int) -> str:
    return f"{bracketed(address)}:{port}"


def _insert_headers(lines: Lines, listener: Listener) -> None:
    wanted = {name for name in listener.insert_headers if inserts(listener.insert_headers, name)}
    if "X-Forwarded-For" in wanted:
        lines.add(listener.id, "option forwardfor")
    for name in sorted(wanted.intersection(CLIENT_HEADERS)):
        lines.add(listener.id, "http-request set-header", name, "%[src]")
    if "X-Forwarded-Port" in wanted:
        lines.add(listener.id, "http-request set-header X-Forwarded-Port %[dst_port]")
    if "X-Forwarded-Proto" in wanted:
        lines.add(listener.id, "http-request set-header X-Forwarded-Proto", tls.scheme(listener))


def _backend(graph: Graph, listener: Listener, pool: Pool) -> tuple[Backend, list[str]]:
    lines = Lines()
    monitor = graph.health_monitors.get(pool.id)
    monitor = monitor if monitor and monitor.admin_state_up else None
    members = graph.members.get(pool.id, {})
    name = backend_name(pool.id, listener.id)
    if listener.protocol == "UDP":
        return datagrams.backend(name, listener, pool, monitor, members.values()), []
    lines.add(pool.id, "mode", mode(listener))
    for directive in BALANCE[pool.lb_algorithm]:
        lines.add(pool.id, directive)
    lines.add(listener.id, "timeout connect", f"{listener.timeout_member_connect}ms")
    lines.add(listener.id, "timeout server", f"{listener.timeout_member_data}ms")
    persistence.add(lines, listener, pool)
    by_agent = monitor is not None and probes.is_by_agent(monitor)
    checker = None if by_agent else monitor
    if checker:
        probes.add_check(lines, pool, checker)
    lines.add(pool.id, "option allbackups")
    cookies = persistence.sets_cookies(pool)
    spoken = [*_proxying(listener, pool), *tls.server(listener, pool)]
    numbers = server_numbers(members) if pool.lb_algorithm in HASHES else {}
    servers = (
        _server(
            member, spoken, probes.check_options(listener, pool, checker, member) if checker else (),
            by_agent=by_agent, cookies=cookies, number=numbers.get(member.id),
        )
        for member in members.values()
    )  # fmt: skip
    backend = Backend(
        name=name,
        pool_id=pool.id,
        text=lines.text,
        servers={server.name: server for server in servers},
        dynamic=not cookies,  # `add server` refuses the keyword cookie
        probe=probes.probe(monitor, listener, pool),
    )
    return backend, lines.owners


def server_numbers(members: Iterable[str]) -> dict[str, int]:
    """The ``id`` of each server of a consistent hash, by member: its place on the ring, so it must be told and lasting.

    haproxy 2.6 gives a server that is added at run time its number after it has put it on the ring: all of them would
    stand on the same place, and one would get all traffic. Numbers by position would move every client when a member
    before theirs goes. The ring knows 20 bits of a number (``puid * SRV_EWGHT_RANGE`` in 32 bits, lb_chash.c).
    """
    taken: dict[int, str] = {}
    for member in members:
        number = zlib.crc32(member.encode()) % RING
        while number in taken or number == 0:
            number = (number + 1) % RING
        taken[number] = member
    return {member: number for number, member in taken.items()}


def _proxying(listener: Listener, pool: Pool) -> tuple[str, ...]:
    """The words of a ``server`` line that begin each connection with who the client is (section 5.2).

    haproxy's own checks begin alike where they go to the member's own address and port.
    """
    match PROXY_VERSIONS.get(pool.protocol):
        case 1:
            return ("send-proxy",)
        case 2:
            return ("send-proxy-v2-ssl-cn" if tls.ends_here(listener) else "send-proxy-v2",)
        case _:
            return ()


def _server(
    member: Member, spoken: Iterable[str], checks: Iterable[str], *, by_agent: bool, cookies: bool, number: int | None
) -> Server:
    """``spoken``: how its traffic goes; ``checks``: how haproxy checks it."""
    options = [*spoken, *([f"id {number}"] if number else []), *checks]
    if cookies:
        options.append(f"cookie {member.id}")
    if member.backup:
        options.append("backup")
    return Server(
        name=member.id,
        address=member.address,
        port=member.protocol_port,
        weight=member.weight,
        admin="ready" if member.admin_state_up else "maint",
        options=" ".join(options),
        check_address=(member.monitor_address or "") if by_agent else "",
        check_port=(member.monitor_port or 0) if by_agent else 0,
    )
