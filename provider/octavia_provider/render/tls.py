# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides: the values of ``bind`` and ``server`` lines, and the files they name.

A file is named for the container that it is made of, so a new certificate changes a file and no line: that is told to
haproxy at run time. Where files lie is the agent's: see ``octavia_amphora.wire.config``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from octavia_amphora.wire.config import File, ProbeTls, file
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import Listener, ends_tls
from octavia_provider.model.pool import Pool
from octavia_provider.model.tls import DEFAULT_ALPN, DEFAULT_CIPHERS, DEFAULT_VERSIONS, VERSIONS, split_ciphers
from octavia_provider.model.tls_container import TlsContainer

from . import sni

_HAPROXY_VERSIONS = {"TLSv1": "TLSv1.0"}


@dataclass(frozen=True, slots=True)
class Terms:
    """``ciphers``: up to TLS 1.2; ``ciphersuites``: those of TLS 1.3."""

    ciphers: str
    ciphersuites: str
    oldest: str
    newest: str
    alpn: tuple[str, ...]


def ends_here(listener: Listener) -> bool:
    """Whether TLS ends at the listener."""
    return ends_tls(listener.protocol, listener.default_tls_container_ref, listener.sni_container_refs)


def asks_clients(listener: Listener) -> bool:
    """Whether clients are asked for certificates."""
    return ends_here(listener) and listener.client_authentication != "NONE"


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


def _versions(of: Listener | Pool) -> tuple[str, str]:
    order = [choice.value for choice in VERSIONS]
    places = sorted(order.index(version) for version in of.tls_versions or DEFAULT_VERSIONS)
    return order[places[0]], order[places[-1]]


def terms(of: Listener | Pool, *, alpn_too: bool = True) -> Terms:
    """What ``bind`` and ``server`` lines say alike. ``alpn_too``: not where mere bytes are passed on: what they are, nobody knows."""
    old, new = split_ciphers(of.tls_ciphers or DEFAULT_CIPHERS)
    oldest, newest = (_HAPROXY_VERSIONS.get(version, version) for version in _versions(of))
    return Terms(old, new, oldest, newest, alpn(of) if alpn_too else ())


def alpn(of: Listener | Pool) -> tuple[str, ...]:
    """What is offered by ALPN."""
    offered = of.offers if isinstance(of, Pool) else of.alpn_protocols or DEFAULT_ALPN
    return tuple(dict.fromkeys(offered))


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


def files(graph: Graph, listeners: Sequence[Listener], pools: Iterable[Pool]) -> dict[str, File]:
    """All files that the lines name, each once, in the order of their names."""
    wanted = {name for listener in listeners for name in (*certificates(listener), *_authorities(listener))}
    wanted.update(name for pool in pools if pool.tls_enabled for name in _of_pool(pool))
    return {name: _file(name, graph.tls_containers[name.rpartition(".")[0]]) for name in sorted(wanted)}


def _authorities(listener: Listener) -> Iterator[str]:
    if asks_clients(listener):
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
