# SPDX-License-Identifier: Apache-2.0
"""What is no text of haproxy's: files, networks, checks by the agent, and UDP, all of which is data for the agent."""

from __future__ import annotations

import hashlib
import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cryptography import x509

from octavia_amphora.wire.config import Backend, Bind, Configuration, Datagrams, File, Frontend, Probe, ProbeTls
from octavia_provider.model.graph import Graph
from octavia_provider.model.health_monitor import HealthMonitor
from octavia_provider.model.listener import Listener
from octavia_provider.model.pool import Pool
from octavia_provider.model.tls_container import TlsContainer

from .encryption import terms
from .listener import asks_clients, default_pool, ends_tls
from .pool import monitor_of
from .tables import equal

BY_AGENT = {"PING": "ping", "TLS-HELLO": "tls-hello", "GRPC": "grpc"}
OF_DATAGRAMS = {"UDP-CONNECT": "udp-connect", "TCP": "tcp", "HTTP": "http"}
SPREADING = {"ROUND_ROBIN": "round_robin", "SOURCE_IP": "source_ip", "SOURCE_IP_PORT": "source_ip_port"}
NAMES = frozenset(
    [f"agent: checks by {name}" for name in {*BY_AGENT.values(), *OF_DATAGRAMS.values()}]
    + [f"agent: spreads by {name}" for name in SPREADING.values()]
    + [
        f"agent: {what}"
        for what in ("a certificate", "a ca", "a crl", "names", "networks", "persistence", "nobody answers", "a limit")
    ]
)


def check(configuration: Configuration, graph: Graph, binds: tuple[Bind, ...], met: Counter[str]) -> None:
    """The data is what the model means."""
    _files(configuration, graph, met)
    for frontend in configuration.frontends.values():
        listener = graph.listeners[frontend.name]
        equal(frontend.allowed, listener.allowed_cidrs, f"networks of {listener.id}")
        met["agent: networks"] += bool(frontend.allowed)
        equal(frontend.binds, _at(binds, listener), f"where {listener.id} listens")
        equal(frontend.datagrams, _datagrams(graph, listener), f"datagrams of {listener.id}")
        _tally(frontend, met)
    for backend in configuration.backends.values():
        _backend(backend, graph, met)


def _at(binds: tuple[Bind, ...], listener: Listener) -> tuple[Bind, ...]:
    return tuple(Bind(bind.address, listener.protocol_port, proxy=bind.proxy) for bind in binds)


def _datagrams(graph: Graph, listener: Listener) -> Datagrams | None:
    if listener.protocol != "UDP":
        return None
    pool_id = default_pool(graph, listener)
    if pool_id is None:
        return Datagrams(limit=listener.connection_limit)
    pool = graph.pools[pool_id]
    more: dict[str, Any] = {}
    if pool.session_persistence is not None:
        more["persistence"] = pool.session_persistence.persistence_timeout or 360
        if mask := pool.session_persistence.persistence_granularity:
            length = int(ipaddress.ip_address(mask)).bit_count()
            more["prefix6" if ":" in mask else "prefix4"] = length
    spreading: Any = SPREADING[pool.lb_algorithm]
    return Datagrams(f"{pool_id}:{listener.id}", spreading, limit=listener.connection_limit, **more)


def _tally(frontend: Frontend, met: Counter[str]) -> None:
    if (datagrams := frontend.datagrams) is None:
        return
    met["agent: nobody answers"] += not datagrams.backend
    met["agent: persistence"] += bool(datagrams.persistence)
    met["agent: a limit"] += datagrams.limit >= 0
    met[f"agent: spreads by {datagrams.spreading}"] += bool(datagrams.backend)


def _backend(backend: Backend, graph: Graph, met: Counter[str]) -> None:
    pool_id, _, listener_id = backend.name.partition(":")
    udp = graph.listeners[listener_id].protocol == "UDP"
    monitor, members = monitor_of(graph, pool_id), graph.members.get(pool_id, {})
    equal(backend.datagrams, udp, f"whether {backend.name} is the kernel's")
    meant = _probe(monitor, graph.pools[pool_id], graph.listeners[listener_id], udp=udp)
    equal(backend.probe, meant, f"the agent's checks of {backend.name}")
    if backend.probe is not None:
        met[f"agent: checks by {backend.probe.type}"] += 1
    equal(list(backend.servers), list(members), f"servers of {backend.name}")
    for server in backend.servers.values():
        member = members[server.name]
        where = (server.name, server.address, server.port, server.weight, server.admin == "ready")
        meant = (member.id, member.address, member.protocol_port, member.weight, member.admin_state_up)
        equal(where, meant, f"server {member.id}")
        told = (server.check_address, server.check_port) if udp or backend.probe else ("", 0)
        wanted = (member.monitor_address or "", member.monitor_port or 0) if udp or backend.probe else ("", 0)
        equal(told, wanted, f"where {member.id} is checked")
        if udp:
            equal((server.backup, server.options), (member.backup, ""), f"server {member.id}")


def _probe(monitor: HealthMonitor | None, pool: Pool, listener: Listener, *, udp: bool) -> Probe | None:
    sort: Any = (OF_DATAGRAMS if udp else BY_AGENT).get(monitor.type) if monitor else None
    if monitor is None or sort is None:
        return None
    more: dict[str, Any] = {
        "service": monitor.grpc_service or "",
        "proxy": {"PROXY": 1, "PROXYV2": 2}.get(pool.protocol, 0),
    }
    if sort == "http":
        codes = [part.split("-") for part in (monitor.expected_codes or "200").split(",")]
        more = {
            "method": monitor.http_method or "GET", "path": monitor.url_path or "/", "version": monitor.http_version or "1.0",
            "host": monitor.domain_name or "", "codes": tuple((int(ends[0]), int(ends[-1])) for ends in codes),
        }  # fmt: skip
    if sort == "grpc":
        more |= {"host": monitor.domain_name or "", "tls": _by_tls(pool, listener, monitor.domain_name or "")}
    return Probe(sort, monitor.delay, monitor.timeout, monitor.max_retries, monitor.max_retries_down, **more)


def _by_tls(pool: Pool, listener: Listener, name: str) -> ProbeTls | None:
    """As the traffic of the pool; a name that is digits and dots is an address, and no name of TLS."""
    name = name if set(name) - set("0123456789.") else ""
    if pool.protocol == "HTTPS":
        return ProbeTls(name=name)
    if not pool.tls_enabled:
        return None
    said, ref = (
        terms(pool),
        {"ca": pool.ca_tls_container_ref, "crl": pool.crl_container_ref, "pem": pool.tls_container_ref},
    )
    files = {ending: f"{id_}.{ending}" if id_ else "" for ending, id_ in ref.items()}
    oldest, newest = (said[end].replace("TLSv1.0", "TLSv1") for end in ("tls.oldest", "tls.newest"))
    return ProbeTls(
        files["ca"], files["crl"], files["pem"], name if ends_tls(listener) else "", said["tls.old"], oldest, newest
    )


def _files(configuration: Configuration, graph: Graph, met: Counter[str]) -> None:
    wanted: dict[str, tuple[str, str]] = {}
    for frontend in configuration.frontends.values():
        listener = graph.listeners[frontend.name]
        certificates = _certificates(listener)
        equal(frontend.certificates, certificates, f"certificates of {listener.id}")
        equal(frontend.names, _names(graph, certificates), f"names of certificates of {listener.id}")
        met["agent: names"] += bool(frontend.names)
        wanted.update({name: _content(graph, name) for name in (*certificates, *_of_clients(listener))})
    for pool_id in {name.partition(":")[0] for name in configuration.backends}:
        wanted.update({name: _content(graph, name) for name in _of_members(graph.pools[pool_id])})
    found = {name: (one.kind, one.content) for name, one in configuration.files.items()}
    equal(found, wanted, "files")
    for name, one in configuration.files.items():
        equal((one.name, one.digest), (name, hashlib.sha256(one.content.encode()).hexdigest()), "a file")
        met[f"agent: a {one.kind}"] += 1


def _certificates(listener: Listener) -> tuple[str, ...]:
    if not ends_tls(listener):
        return ()
    refs = (listener.default_tls_container_ref, *listener.sni_container_refs)
    return tuple(dict.fromkeys(f"{ref}.pem" for ref in refs if ref))


def _names(graph: Graph, listed: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """A certificate with an elliptic key and a wildcard is not for what another, with an RSA key, has exactly."""
    found = {}
    for name in listed:
        container = graph.tls_containers[name.removesuffix(".pem")]
        (own,), size = container.subject_alternative_names or _read(container), _bits(container)
        found[name] = (own, size)
    others = [own for own, size in found.values() if size >= 2048]
    said = {}
    for name, (own, size) in found.items():
        if own.startswith("*.") and size < 2048 and (not_for := [one for one in others if one.endswith(own[1:])]):
            said[name] = (own, *(f"!{one}" for one in sorted(set(not_for))))
    return said


def _read(container: TlsContainer) -> tuple[str, ...]:
    names = x509.load_pem_x509_certificate(str(container.certificate).encode()).extensions
    return tuple(names.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName))


def _bits(container: TlsContainer) -> int:
    return int(x509.load_pem_x509_certificate(str(container.certificate).encode()).public_key().key_size)  # type: ignore[union-attr]


def _of_clients(listener: Listener) -> Iterator[str]:
    if asks_clients(listener):
        yield f"{listener.client_ca_tls_container_ref}.ca"
        if listener.client_crl_container_ref:
            yield f"{listener.client_crl_container_ref}.crl"


def _of_members(pool: Pool) -> Iterator[str]:
    if pool.tls_enabled:
        yield from (f"{ref}.pem" for ref in (pool.tls_container_ref,) if ref)
        yield from (f"{ref}.ca" for ref in (pool.ca_tls_container_ref,) if ref)
        yield from (f"{ref}.crl" for ref in (pool.crl_container_ref,) if ref)


def _content(graph: Graph, name: str) -> tuple[str, str]:
    id_, _, ending = name.rpartition(".")
    container = graph.tls_containers[id_]
    match ending:
        case "pem":
            return "certificate", container.served()
        case "ca":
            return "ca", str(container.ca_certificates)
        case _:
            return "crl", str(container.crl)


__all__ = ["NAMES", "File", "check"]
