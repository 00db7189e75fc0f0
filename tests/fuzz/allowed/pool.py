# SPDX-License-Identifier: Apache-2.0
"""What a pool, its monitor and its members mean for a listener: the lines of a ``backend``, and the words of ``server``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fuzz.parser import Section, Unmeant
from octavia_provider.model.graph import Graph
from octavia_provider.model.health_monitor import HealthMonitor
from octavia_provider.model.listener import Listener
from octavia_provider.model.member import Member
from octavia_provider.model.pool import Pool

from .encryption import terms
from .listener import ends_tls, sees_bytes, sees_requests
from .tables import Facts, Meant, Table, always, equal, flat, host, same_lines, same_options


def _persists(sort: str) -> object:
    return lambda pool: pool.session_persistence is not None and pool.session_persistence.type == sort


def _picks(algorithm: str) -> object:
    return lambda pool: pool.lb_algorithm == algorithm


HASHED = ("SOURCE_IP", "SOURCE_IP_PORT")
_NAME = "{session_persistence.cookie_name}"
_VALUE = rf"\\s*+\\Q{_NAME}\\E\\s*+=\\s*+([^;\\s]*+(?:\\h++[^;\\s]++)*+)[\\s\\S]*$"
_GIVEN = rf'res.hdrs,regsub("^(?:[\\s\\S]*\\n)?(?i:set-cookie):{_VALUE}","\\1"),sha2(256),hex'
_SHOWN = rf'req.hdrs,regsub("^(?:[\\s\\S]*?\\n)??(?i:cookie):(?:[^\\n]*?;)??{_VALUE}","\\1"),sha2(256),hex'
POOL = Table("pool", {
    "balance roundrobin": _picks("ROUND_ROBIN"), "balance leastconn": _picks("LEAST_CONNECTIONS"),
    "balance source": _picks("SOURCE_IP"), "balance hash src,concat(:,sess.client_port)": _picks("SOURCE_IP_PORT"),
    "tcp-request content set-var(sess.client_port) src_port": _picks("SOURCE_IP_PORT"),
    "hash-type consistent sdbm avalanche": lambda pool: pool.lb_algorithm in HASHED,
    "stick-table type ipv6 size 10k": _persists("SOURCE_IP"), "stick on src": _persists("SOURCE_IP"),
    "stick-table type string len 64 size 10k": _persists("APP_COOKIE"),
    f'stick store-response {_GIVEN} if {{ res.cook("{_NAME}") -m found }}': _persists("APP_COOKIE"),
    f'stick match {_SHOWN} if {{ req.cook("{_NAME}") -m found }}': _persists("APP_COOKIE"),
    f'stick match req.cook("{_NAME}")': _persists("APP_COOKIE"), "option allbackups": always,
}, {
    f'stick match {_SHOWN} if {{ req.cook("{_NAME}") -m found }}': 1, f'stick match req.cook("{_NAME}")': 2,
})  # type: ignore[arg-type] # fmt: skip
LISTENER = Table("listener of a pool", {
    "mode http": sees_requests, "mode tcp": sees_bytes, "timeout connect {connect}ms": always, "timeout server {data}ms": always,
})  # fmt: skip


def _asks(monitor: HealthMonitor) -> bool:
    return monitor.type in ("HTTP", "HTTPS")


def _checked_by_haproxy(monitor: HealthMonitor | None) -> bool:
    return monitor is not None and monitor.type in ("HTTP", "HTTPS", "TCP")


MONITOR = Table("health monitor", {
    "timeout check {timeout}s": _checked_by_haproxy, "option httpchk": _asks,
    "http-check expect status {expected_codes}": _asks,
    "http-check send meth {http_method} uri {url_path} ver HTTP/{http_version} hdr Host {domain_name}":
        lambda hm: _asks(hm) and hm.domain_name,
}, {
    "http-check send meth {http_method} uri {url_path} ver HTTP/{http_version} hdr Host {domain_name}": 3,
    "http-check expect status {expected_codes}": 4,
})  # fmt: skip
_SEND = "http-check send meth {monitor.http_method} uri {monitor.url_path} ver HTTP/{monitor.http_version}"
_HOST = r'http-check set-var(check.host) bc_dst,regsub("^(.*:.*)$","[\\1]"),concat(:,check.port),regsub(":{default_port}$","")'
NAMELESS = Table("health monitor without a name", {
    _SEND: lambda pair: not pair.has_host, f"{_SEND} hdr Host %[var(check.host)]": lambda pair: pair.has_host,
    "http-check set-var(check.port) bc_dst_port": lambda pair: pair.has_host, _HOST: lambda pair: pair.has_host,
}, {
    "http-check set-var(check.port) bc_dst_port": 1, _HOST: 2, _SEND: 3, f"{_SEND} hdr Host %[var(check.host)]": 3,
})  # fmt: skip
DEFAULT = {"http_method": "GET", "url_path": "/", "http_version": "1.0", "expected_codes": "200"}
"""What an attribute of a health monitor that is not given stands for."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A monitor that asks by HTTP, and its pool."""

    monitor: HealthMonitor
    pool: Pool

    @property
    def tls(self) -> bool:
        """Whether it asks by TLS, of members that are not asked elsewhere."""
        return self.pool.tls_enabled or self.monitor.type == "HTTPS"

    @property
    def has_host(self) -> bool:
        """Whether its requests have to say whom they ask: by HTTP/1.1, and where it may be HTTP/2 that is spoken."""
        return self.monitor.http_version == "1.1" or self.tls or self.pool.protocol_version == "HTTP2"


@dataclass(frozen=True, slots=True)
class Server:
    """A member as one listener reaches it; ``monitor`` where there is one in service."""

    member: Member
    pool: Pool
    listener: Listener
    monitor: HealthMonitor | None

    @property
    def tls(self) -> bool:
        """Whether it is spoken to by TLS."""
        return self.pool.tls_enabled

    @property
    def checked(self) -> bool:
        """Whether haproxy checks it."""
        return _checked_by_haproxy(self.monitor)

    @property
    def elsewhere(self) -> bool:
        """Whether it is checked elsewhere than where it serves."""
        return bool(self.member.monitor_address or self.member.monitor_port)

    @property
    def asked_by_tls(self) -> bool:
        """Whether haproxy checks it by TLS."""
        if self.monitor is None or not self.checked:
            return False
        return self.monitor.type == "HTTPS" or (self.tls and not self.elsewhere)

    @property
    def asked_by_https(self) -> bool:
        """Whether that is a request."""
        return self.asked_by_tls and self.monitor is not None and self.monitor.type != "TCP"

    @property
    def unasked(self) -> bool:
        """Whether it is spoken to by HTTP/2 without having been asked."""
        return self.pool.protocol_version == "HTTP2" and not self.tls

    @property
    def asked_alike(self) -> bool:
        """Whether requests are made of it by haproxy's checks in that way too."""
        return self.unasked and self.monitor is not None and self.monitor.type == "HTTP" and not self.elsewhere

    @property
    def asked_for_a_name(self) -> bool:
        """Whether the check names whom it wants, as clients do where that is passed on."""
        name = (self.monitor and self.monitor.domain_name) or ""
        a_name = bool(name) and bool(set(name) - set("0123456789."))
        return self.asked_by_https and a_name and (ends_tls(self.listener) or not self.tls)


SERVER = Table("member", {
    "weight {weight}": always, "disabled": lambda s: not s.member.admin_state_up, "backup": lambda s: s.member.backup,
    "id {int}": lambda s: s.pool.lb_algorithm in HASHED, "cookie {id}": lambda s: _persists("HTTP_COOKIE")(s.pool),  # type: ignore[operator]
    "send-proxy": lambda s: s.pool.protocol == "PROXY",
    "send-proxy-v2": lambda s: s.pool.protocol == "PROXYV2" and not ends_tls(s.listener),
    "send-proxy-v2-ssl-cn": lambda s: s.pool.protocol == "PROXYV2" and ends_tls(s.listener),
    "ssl": lambda s: s.tls, "ciphers {tls.old}": lambda s: s.tls and terms(s.pool)["tls.old"],
    "ciphersuites {tls.new}": lambda s: s.tls and terms(s.pool)["tls.new"],
    "ssl-min-ver {tls.oldest} ssl-max-ver {tls.newest}": lambda s: s.tls,
    "alpn {tls.alpn}": lambda s: s.tls and (sees_requests(s.listener) or s.pool.alpn_protocols or s.pool.protocol_version),
    "proto h2": lambda s: s.unasked and sees_requests(s.listener), "check-proto h2": lambda s: s.asked_alike,
    "check-proto h1": lambda s: s.unasked and s.monitor is not None and _asks(s.monitor) and not s.asked_alike,
    "check-alpn http/1.1": lambda s: s.asked_by_https and s.unasked,
    "sni ssl_fc_sni": lambda s: s.tls and ends_tls(s.listener),
    "verify required ca-file {pool.ca_tls_container_ref}.ca": lambda s: s.tls and s.pool.ca_tls_container_ref,
    "verify none": lambda s: (s.tls and not s.pool.ca_tls_container_ref) or (s.asked_by_tls and not s.tls),
    "crl-file {pool.crl_container_ref}.crl": lambda s: s.tls and s.pool.crl_container_ref,
    "crt {pool.tls_container_ref}.pem": lambda s: s.tls and s.pool.tls_container_ref,
    "check inter {monitor.delay}s fall {monitor.max_retries_down} rise {monitor.max_retries}": lambda s: s.checked,
    "check-ssl": lambda s: s.asked_by_tls, "check-alpn {tls.alpn}": lambda s: s.asked_by_https and not s.unasked,
    "check-sni {monitor.domain_name}": lambda s: s.asked_for_a_name,
    "check-send-proxy": lambda s: s.checked and s.pool.protocol in ("PROXY", "PROXYV2") and not s.elsewhere,
    "addr {monitor_host}": lambda s: s.checked and s.member.monitor_address,
    "port {monitor_port}": lambda s: s.checked and s.member.monitor_port,
})  # fmt: skip
COOKIE = "pool: cookie SRV …"
NAMES = {COOKIE} | POOL.names | LISTENER.names | MONITOR.names | NAMELESS.names | SERVER.names


def monitor_of(graph: Graph, pool_id: str) -> HealthMonitor | None:
    """The monitor in service."""
    monitor = graph.health_monitors.get(pool_id)
    return monitor if monitor is not None and monitor.admin_state_up else None


def backend(section: Section, graph: Graph, met: Counter[str]) -> None:
    """The section says what the pool means for the listener."""
    pool_id, _, listener_id = section.name.partition(":")
    pool, listener, monitor = graph.pools[pool_id], graph.listeners[listener_id], monitor_of(graph, pool_id)
    servers = [line for line in section.lines if line[0] == "server"]
    meant = [*POOL.means(pool, flat(pool)), *LISTENER.means(listener, _timeouts(listener)), *_cookie(pool, listener)]
    if monitor is not None:
        facts = {name: value or DEFAULT.get(name, "") for name, value in flat(monitor).items()}
        meant += MONITOR.means(monitor, facts)
        if _asks(monitor) and not monitor.domain_name:
            pair = Pair(monitor, pool)
            said = {f"monitor.{name}": value for name, value in facts.items()}
            meant += NAMELESS.means(pair, {**said, "default_port": "443" if pair.tls else "80"})
    same_lines([line for line in section.lines if line[0] != "server"], meant, f"backend {section.name}", met)
    members = graph.members.get(pool_id, {})
    equal([line[1] for line in servers], list(members), f"servers of {section.name}")
    for line in servers:
        _server(line, Server(members[line[1]], pool, listener, monitor), met)
    numbers = [line[line.index("id") + 1] for line in servers if "id" in line]
    if len(set(numbers)) != len(numbers) or "0" in numbers:
        raise Unmeant(f"servers share a number in {section.name}: {numbers}")


def _cookie(pool: Pool, listener: Listener) -> Iterator[Meant]:
    persistence = pool.session_persistence
    if persistence is None or persistence.type != "HTTP_COOKIE":
        return
    everywhere, safe = persistence.cookie_same_site == "NONE", persistence.cookie_secure
    words = ["httponly"] * (persistence.cookie_http_only is not False)
    words += ["secure"] * (safe is True or (safe is None and (everywhere or ends_tls(listener))))
    if persistence.cookie_same_site is not None:
        sites = {"STRICT": "Strict", "LAX": "Lax", "NONE": "None"}
        words += ["attr", f"SameSite={sites[persistence.cookie_same_site]}"]
    yield Meant(COOKIE, ("cookie", "SRV", "insert", "indirect", "nocache", *words))


def _timeouts(listener: Listener) -> Facts:
    return {"connect": str(listener.timeout_member_connect), "data": str(listener.timeout_member_data)}


def _server(line: tuple[str, ...], server: Server, met: Counter[str]) -> None:
    member = server.member
    equal(line[2], f"{host(member.address)}:{member.protocol_port}", f"the address of {member.id}")
    facts = {
        **flat(member), **flat(server.pool, "pool."), **flat(server.monitor, "monitor."), **terms(server.pool),
        "monitor_host": host(member.monitor_address or ""),
    }  # fmt: skip
    same_options(line[3:], SERVER.means(server, facts), f"server {member.id}", met)
