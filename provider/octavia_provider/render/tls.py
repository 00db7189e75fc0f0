# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides: what stands on ``bind`` and ``server`` lines, headers, and the files they name.

A file is named for the container that it is made of, so a new certificate changes a file and no line: that is told to
haproxy at run time. Where files lie is the agent's: see ``octavia_amphora.wire.config``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from octavia_amphora.wire.config import File, ProbeTls, crt_list, file
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import L7_PROTOCOLS, Listener, ends_tls, inserts
from octavia_provider.model.pool import HTTP2, Pool
from octavia_provider.model.tls import DEFAULT_ALPN, DEFAULT_CIPHERS, DEFAULT_VERSIONS, VERSIONS, split_ciphers
from octavia_provider.model.tls_container import TlsContainer

from . import sni
from .lines import Lines, quote

# haproxy 2.6, section 7.3.4; as in Octavia
_HEADERS: Mapping[str, str] = {
    "X-SSL-Client-Verify": "%[ssl_c_verify]",
    "X-SSL-Client-Has-Cert": "%[ssl_c_used]",
    "X-SSL-Client-DN": "%[ssl_c_s_dn]",
    "X-SSL-Client-CN": "%[ssl_c_s_dn(cn)]",
    "X-SSL-Issuer": "%[ssl_c_i_dn]",
    "X-SSL-Client-SHA1": "%[ssl_c_sha1,hex]",
    "X-SSL-Client-Not-Before": "%[ssl_c_notbefore]",
    "X-SSL-Client-Not-After": "%[ssl_c_notafter]",
}
_HAPROXY_VERSIONS = {"TLSv1": "TLSv1.0"}


def ends_here(listener: Listener) -> bool:
    """Whether TLS ends at the listener."""
    return ends_tls(listener.protocol, listener.default_tls_container_ref, listener.sni_container_refs)


def scheme(listener: Listener) -> str:
    """What the client spoke, for X-Forwarded-Proto."""
    return "https" if ends_here(listener) else "http"


def _asks_clients(listener: Listener) -> bool:
    return ends_here(listener) and listener.client_authentication != "NONE"


def base(listeners: Iterable[Listener]) -> str:
    """Lines of ``global``.

    A session that is resumed is not verified anew: a client whose certificate was revoked meanwhile would come in
    (seen with haproxy 2.6, by session id and by ticket). So there is no resumption where clients are asked for one.
    """
    return "    tune.ssl.cachesize 0\n" if any(map(_asks_clients, listeners)) else ""


def certificates(listener: Listener) -> tuple[str, ...]:
    """The files of the listener's ``crt-list``; the first is the default."""
    if not ends_here(listener):
        return ()
    refs = [*([listener.default_tls_container_ref] if listener.default_tls_container_ref else []),
            *listener.sni_container_refs]  # fmt: skip
    return tuple(f"{ref}.pem" for ref in dict.fromkeys(refs))


def names(graph: Graph, listener: Listener) -> dict[str, tuple[str, ...]]:
    """What its ``crt-list`` says of the names of its certificates, where their own do not tell enough."""
    listed = {file: graph.tls_containers[file.rpartition(".")[0]] for file in certificates(listener)}
    return sni.filters({file: container.certificate or "" for file, container in listed.items()})


def bind(listener: Listener) -> Iterator[str]:
    """The words of a ``bind`` line (section 5.1)."""
    if not ends_here(listener):
        return
    yield f'ssl crt-list "${{OCTAVIA_FILES}}/{crt_list(listener.id)}"'
    yield from _terms(listener)
    yield alpn(listener)
    if _asks_clients(listener):
        yield f"verify {'required' if listener.client_authentication == 'MANDATORY' else 'optional'}"
        yield f"ca-file {listener.client_ca_tls_container_ref}.ca"
        if listener.client_crl_container_ref:
            yield f"crl-file {listener.client_crl_container_ref}.crl"
        yield "no-tls-tickets"


def server(listener: Listener, pool: Pool) -> tuple[str, ...]:
    """The words of a ``server`` line (section 5.2). The name that a client asked for is asked of the member, as in
    Octavia; where members are verified, haproxy compares their certificates with it."""
    if not pool.tls_enabled:
        return ("proto h2",) if pool.protocol_version == HTTP2 and listener.protocol in L7_PROTOCOLS else ()
    words = ["ssl", *_terms(pool)]
    if (
        listener.protocol in L7_PROTOCOLS or pool.alpn_protocols or pool.protocol_version
    ):  # what mere bytes are, nobody knows
        words.append(alpn(pool))
    if ends_here(listener):
        words.append("sni ssl_fc_sni")
    words.append(
        f"verify required ca-file {pool.ca_tls_container_ref}.ca" if pool.ca_tls_container_ref else "verify none"
    )
    if pool.crl_container_ref:
        words.append(f"crl-file {pool.crl_container_ref}.crl")
    if pool.tls_container_ref:
        words.append(f"crt {pool.tls_container_ref}.pem")
    return tuple(words)


def _versions(of: Listener | Pool) -> tuple[str, str]:
    order = [choice.value for choice in VERSIONS]
    places = sorted(order.index(version) for version in of.tls_versions or DEFAULT_VERSIONS)
    return order[places[0]], order[places[-1]]


def _terms(of: Listener | Pool) -> Iterator[str]:
    """Ciphers and versions."""
    old, new = split_ciphers(of.tls_ciphers or DEFAULT_CIPHERS)
    oldest, newest = _versions(of)
    if old:
        yield f"ciphers {quote(old)}"
    if new:
        yield f"ciphersuites {quote(new)}"
    yield f"ssl-min-ver {_HAPROXY_VERSIONS.get(oldest, oldest)} ssl-max-ver {_HAPROXY_VERSIONS.get(newest, newest)}"


def alpn(of: Listener | Pool, word: str = "alpn") -> str:
    """What is offered by ALPN."""
    offered = of.offers if isinstance(of, Pool) else of.alpn_protocols or DEFAULT_ALPN
    return f"{word} {','.join(dict.fromkeys(offered))}"


def probed(listener: Listener, pool: Pool, name: str) -> ProbeTls | None:
    """How the agent speaks TLS with members where the traffic does; None in the clear. ``name``: who is asked for."""
    if pool.protocol == "HTTPS":
        return ProbeTls(name=name)
    if not pool.tls_enabled:
        return None
    oldest, newest = _versions(pool)
    return ProbeTls(
        ca=f"{pool.ca_tls_container_ref}.ca" if pool.ca_tls_container_ref else "",
        crl=f"{pool.crl_container_ref}.crl" if pool.crl_container_ref else "",
        certificate=f"{pool.tls_container_ref}.pem" if pool.tls_container_ref else "",
        name=name if ends_here(listener) else "",
        ciphers=split_ciphers(pool.tls_ciphers or DEFAULT_CIPHERS)[0],
        oldest=oldest,
        newest=newest,
    )


def headers(lines: Lines, listener: Listener) -> None:
    """The X-SSL headers, which replace what a client sends by these names, and HSTS."""
    for name, value in _HEADERS.items():
        if inserts(listener.insert_headers, name):
            lines.add(listener.id, "http-request set-header", name, value)
    if ends_here(listener) and listener.hsts_max_age is not None:
        parts = [f"max-age={listener.hsts_max_age}"]
        parts += ["includeSubDomains"] if listener.hsts_include_subdomains else []
        parts += ["preload"] if listener.hsts_preload else []
        # after-response: answers that haproxy makes itself have it too
        value = quote("; ".join(parts))
        lines.add(listener.id, "http-after-response set-header Strict-Transport-Security", value)


def files(graph: Graph, listeners: Sequence[Listener], pools: Iterable[Pool]) -> dict[str, File]:
    """All files that the lines name, each once, in the order of their names."""
    wanted = {name for listener in listeners for name in (*certificates(listener), *_authorities(listener))}
    wanted.update(name for pool in pools if pool.tls_enabled for name in _of_pool(pool))
    return {name: _file(name, graph.tls_containers[name.rpartition(".")[0]]) for name in sorted(wanted)}


def _authorities(listener: Listener) -> Iterator[str]:
    if _asks_clients(listener):
        yield f"{listener.client_ca_tls_container_ref}.ca"
        if listener.client_crl_container_ref:
            yield f"{listener.client_crl_container_ref}.crl"


def _of_pool(pool: Pool) -> Iterator[str]:
    for ref, suffix in (
        (pool.tls_container_ref, "pem"), (pool.ca_tls_container_ref, "ca"), (pool.crl_container_ref, "crl"),
    ):  # fmt: skip
        if ref:
            yield f"{ref}.{suffix}"


def _file(name: str, container: TlsContainer) -> File:
    match name.rpartition(".")[2]:
        case "ca":
            return file(name, "ca", container.ca_certificates or "")
        case "crl":
            return file(name, "crl", container.crl or "")
        case _:
            return file(name, "certificate", container.served())
