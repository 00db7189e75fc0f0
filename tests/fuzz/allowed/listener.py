# SPDX-License-Identifier: Apache-2.0
"""What a listener means: the lines of a ``frontend``, and the words of its ``bind`` lines."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Mapping

from fuzz.parser import FILES, Section, Unmeant
from octavia_amphora.wire.config import Bind
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import Listener

from . import l7
from .encryption import terms
from .tables import Facts, Meant, Table, always, equal, filled, flat, host, same_lines, same_options

DEFAULT_LIMIT = 50_000
INSERTED: Mapping[str, str] = {
    "X-Forwarded-For": "option forwardfor",
    **{name: f"http-request set-header {name} %[src]" for name in ("X-Forwarded-IP", "X-Real-IP", "X-Client-IP")},
    "X-Forwarded-Port": "http-request set-header X-Forwarded-Port %[dst_port]",
    "X-Forwarded-Proto": "http-request set-header X-Forwarded-Proto {scheme}",
    "X-SSL-Client-Verify": "http-request set-header X-SSL-Client-Verify %[ssl_c_verify]",
    "X-SSL-Client-Has-Cert": "http-request set-header X-SSL-Client-Has-Cert %[ssl_c_used]",
    "X-SSL-Client-DN": "http-request set-header X-SSL-Client-DN %[ssl_c_s_dn]",
    "X-SSL-Client-CN": "http-request set-header X-SSL-Client-CN %[ssl_c_s_dn(cn)]",
    "X-SSL-Issuer": "http-request set-header X-SSL-Issuer %[ssl_c_i_dn]",
    "X-SSL-Client-SHA1": "http-request set-header X-SSL-Client-SHA1 %[ssl_c_sha1,hex]",
    "X-SSL-Client-Not-Before": "http-request set-header X-SSL-Client-Not-Before %[ssl_c_notbefore]",
    "X-SSL-Client-Not-After": "http-request set-header X-SSL-Client-Not-After %[ssl_c_notafter]",
}
"""Each header that can be inserted, and how it is said."""


def ends_tls(listener: Listener) -> bool:
    """Whether haproxy speaks TLS with the clients."""
    if is_metrics(listener):
        return bool(listener.default_tls_container_ref or listener.sni_container_refs)
    return listener.protocol == "TERMINATED_HTTPS"


def is_metrics(listener: Listener) -> bool:
    """Whether it tells metrics and nothing else."""
    return listener.protocol == "PROMETHEUS"


def sees_requests(listener: Listener) -> bool:
    """Whether haproxy speaks HTTP with the clients."""
    return listener.protocol in ("HTTP", "TERMINATED_HTTPS", "PROMETHEUS")


def sees_bytes(listener: Listener) -> bool:
    """Whether haproxy passes on what it does not understand."""
    return listener.protocol in ("TCP", "HTTPS")


def asks_clients(listener: Listener) -> bool:
    """Whether clients are asked for certificates."""
    return ends_tls(listener) and listener.client_authentication in ("OPTIONAL", "MANDATORY")


def _limits(listener: Listener) -> bool:
    return listener.rate_limit is not None


def _versions(listener: Listener) -> set[int]:
    return {ipaddress.ip_network(one).version for one in listener.allowed_cidrs}


def _inserts(name: str) -> object:
    return lambda listener: listener.insert_headers.get(name) == "true"


LISTENER = Table("listener", {
    "mode http": sees_requests, "mode tcp": sees_bytes, "maxconn {limit}": always, "timeout client {client_data}ms": always,
    "tcp-request inspect-delay {timeout_tcp_inspect}ms": lambda li: sees_bytes(li) and li.timeout_tcp_inspect,
    "acl from_ipv6 src -m sub :": lambda li: li.allowed_cidrs,
    "tcp-request session reject unless !from_ipv6 allowed_ipv4": lambda li: _versions(li) == {4},
    "tcp-request session reject unless from_ipv6 allowed_ipv6": lambda li: _versions(li) == {6},
    "tcp-request session reject unless !from_ipv6 allowed_ipv4 or from_ipv6 allowed_ipv6": lambda li: _versions(li) == {4, 6},
    "stick-table type ipv6 size 100k expire {expiry}s store gpc0_rate({rate_limit.period_seconds}s)": _limits,
    "http-request track-sc0 src": _limits,
    "http-request deny deny_status 429 hdr Retry-After {expiry} if { sc0_gpc0_rate ge {rate_limit.requests} }":
        _limits,
    "http-request sc-inc-gpc0(0)": _limits,
    **{directive: _inserts(name) for name, directive in INSERTED.items()},
    "http-request return status 404 content-type text/plain string {nothing} unless { path /metrics }": is_metrics,
    "http-request set-path /{loadbalancer_id}": is_metrics, "default_backend octavia-metrics": is_metrics,
    "http-after-response set-header Strict-Transport-Security {hsts}": lambda li: ends_tls(li) and li.hsts_max_age is not None,
}, {
    # a request is counted by the client that it comes from; what is refused is not
    "http-request track-sc0 src": 1,
    "http-request deny deny_status 429 hdr Retry-After {expiry} if { sc0_gpc0_rate ge {rate_limit.requests} }": 2,
    "http-request sc-inc-gpc0(0)": 3,
    # the path that is asked for, not the one that is put in its place
    "http-request return status 404 content-type text/plain string {nothing} unless { path /metrics }": 1,
    "http-request set-path /{loadbalancer_id}": 2,
    # what policies do to headers comes after what the listener says of them
    **dict.fromkeys(INSERTED.values(), 4), "http-after-response set-header Strict-Transport-Security {hsts}": 4,
})  # type: ignore[arg-type] # fmt: skip
CIDRS = "listener: acl allowed_ipv… src …"
DEFAULT_BACKEND = Table("listener", {"default_backend {pool.id}:{id}": always})
BIND = Table("bind", {
    "ssl crt-list {files}/{id}.list": ends_tls, "ciphers {tls.old}": lambda li: ends_tls(li) and terms(li)["tls.old"],
    "ciphersuites {tls.new}": lambda li: ends_tls(li) and terms(li)["tls.new"],
    "ssl-min-ver {tls.oldest} ssl-max-ver {tls.newest}": ends_tls, "alpn {tls.alpn}": ends_tls,
    "verify required": lambda li: asks_clients(li) and li.client_authentication == "MANDATORY",
    "verify optional": lambda li: asks_clients(li) and li.client_authentication == "OPTIONAL",
    "ca-file {client_ca_tls_container_ref}.ca": asks_clients,
    "crl-file {client_crl_container_ref}.crl": lambda li: asks_clients(li) and li.client_crl_container_ref,
    "no-tls-tickets": asks_clients,
})  # fmt: skip
PROXY = "bind: accept-proxy"
NAMES = LISTENER.names | DEFAULT_BACKEND.names | BIND.names | {CIDRS, PROXY}


def limit(listener: Listener) -> int:
    """How many connections it takes at once."""
    return DEFAULT_LIMIT if listener.connection_limit == -1 else listener.connection_limit


def frontend(section: Section, graph: Graph, binds: tuple[Bind, ...], met: Counter[str]) -> None:
    """The section says what the listener means."""
    listener = graph.listeners[section.name]
    where = f"frontend of {listener.protocol} listener {listener.id}"
    facts = _facts(listener)
    _binds([line for line in section.lines if line[0] == "bind"], listener, binds, facts, met)
    networks = [line for line in section.lines if line[0] == "acl" and line[1].startswith("allowed_ip")]
    for version in (4, 6):
        found = [one for line in networks if line[1:3] == (f"allowed_ipv{version}", "src") for one in line[3:]]
        wanted = [one for one in listener.allowed_cidrs if ipaddress.ip_network(one).version == version]
        equal(found, wanted, f"networks in {where}")
    met[CIDRS] += len(networks)
    rest = [line for line in section.lines if line[0] != "bind" and line not in networks]
    same_lines(
        rest, [*LISTENER.means(listener, facts), *_default(graph, listener), *l7.meant(graph, listener)], where, met
    )


def default_pool(graph: Graph, listener: Listener) -> str | None:
    """The id of the pool that gets what no policy takes."""
    pool = graph.default_pool(listener)
    return pool.id if pool is not None and pool.admin_state_up else None


def _default(graph: Graph, listener: Listener) -> Iterator[Meant]:
    if (pool := default_pool(graph, listener)) is not None:
        yield from DEFAULT_BACKEND.means(listener, {"pool.id": pool, "id": listener.id})


def _binds(
    lines: list[tuple[str, ...]], listener: Listener, binds: tuple[Bind, ...], facts: Facts, met: Counter[str]
) -> None:  # fmt: skip
    wanted = {f"{host(bind.address)}:{listener.protocol_port}": bind for bind in binds}
    equal(sorted(line[1] for line in lines), sorted(wanted), f"sockets of {listener.id}")
    for line in lines:
        meant = list(BIND.means(listener, facts))
        if wanted[line[1]].proxy:
            meant.append(Meant(PROXY, filled("accept-proxy", {})))
        same_options(line[2:], meant, f"bind of {listener.id}", met)


def _facts(listener: Listener) -> Facts:
    made = {
        "limit": str(limit(listener)), "client_data": str(listener.timeout_client_data), "files": FILES,
        "nothing": "metrics are at /metrics", "scheme": "https" if ends_tls(listener) else "http", "hsts": _hsts(listener),
    }  # fmt: skip
    if listener.rate_limit is not None:
        made["expiry"] = str(listener.rate_limit.period_seconds * 2)
    return {**flat(listener), **terms(listener), **made}


def _hsts(listener: Listener) -> str:
    more = ("; includeSubDomains" if listener.hsts_include_subdomains else "") + (
        "; preload" if listener.hsts_preload else ""
    )
    return f"max-age={listener.hsts_max_age}{more}"


__all__ = [
    "NAMES",
    "Unmeant",
    "asks_clients",
    "default_pool",
    "ends_tls",
    "frontend",
    "limit",
    "sees_bytes",
    "sees_requests",
]
