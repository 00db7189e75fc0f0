# SPDX-License-Identifier: Apache-2.0
"""What the configuration of a load balancer may hold: for each kind of object a list of directives, and nothing else.

A directive is a line of words. ``{name}`` stands for that attribute of the object, in the very form in which the model has
it; ``{int}``, ``{ms}``, ``{s}``, ``{address}`` stand for a value of that shape. Each may come once in a section; those of
``MANY`` oftener.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from octavia_provider.model.graph import Graph
from octavia_provider.model.member import Member

from .parser import Section, Unmeant, sections

ADDRESS = r"(?:\d+(?:\.\d+){3}|[0-9a-f:]+)"
SHAPES = {
    "int": r"\d+", "ms": r"\d+ms", "s": r"\d+s", "address": ADDRESS, "socket": r"(?:\d+(?:\.\d+){3}|\[[0-9a-f:]+\]):\d+",
}  # fmt: skip

GLOBAL = ("maxconn {int}", "no strict-limits", "spread-checks 4")
DEFAULTS = (
    "retries 3", "option redispatch", "option splice-auto", "option idle-close-on-response", "load-server-state-from-file global",
)  # fmt: skip
LISTENER = (
    "mode http", "mode tcp", "bind {socket}", "bind {socket} accept-proxy", "maxconn {int}", "timeout client {ms}",
    "tcp-request inspect-delay {timeout_tcp_inspect}ms", "option forwardfor",
    "http-request set-header X-Forwarded-Port %[dst_port]", "http-request set-header X-Forwarded-Proto http",
    "default_backend {pool.id}:{id}",
)  # fmt: skip
LISTENER_BACKEND = ("mode http", "mode tcp", "timeout connect {ms}", "timeout server {ms}")
POOL = (
    "balance roundrobin", "balance leastconn", "balance source", "hash-type consistent sdbm avalanche",
    "stick-table type ipv6 size 10k", "stick on src", "cookie SRV insert indirect nocache",
    "stick-table type string len 64 size 10k", 'stick store-response res.cook("{session_persistence.cookie_name}")',
    'stick match req.cook("{session_persistence.cookie_name}")', "option allbackups",
)  # fmt: skip
HEALTH_MONITOR = (
    "timeout check {timeout}s", "option httpchk", "http-check expect status {expected_codes}",
    "http-check send meth {http_method} uri {url_path} ver HTTP/{http_version}",
    "http-check send meth {http_method} uri {url_path} ver HTTP/{http_version} hdr Host {domain_name}",
)  # fmt: skip
MEMBER_OPTIONS = (
    "weight {weight}", "disabled", "id {int}", "check", "inter {monitor.delay}s", "fall {monitor.max_retries_down}",
    "rise {monitor.max_retries}", "addr {monitor_host}", "port {monitor_port}", "cookie {id}", "backup",
)  # fmt: skip
MANY = frozenset({"bind {socket}", "bind {socket} accept-proxy"})
DEFAULT = {"http_method": "GET", "url_path": "/", "http_version": "1.0", "expected_codes": "200"}
"""What an attribute of a health monitor that is not given stands for."""


def check(text: str, graph: Graph, sockets: Mapping[str, list[str]]) -> Counter[str]:
    """Raise ``Unmeant`` unless the text holds what the graph means; how often each directive came.

    ``sockets``: listener id → where it should listen.
    """
    met: Counter[str] = Counter()
    found = sections(text)
    names = [(section.kind, section.name) for section in found]
    _equal(names[:2], [("global", ""), ("defaults", "")], "the first sections")
    alive = [li for li in graph.listeners.values() if li.admin_state_up and graph.load_balancer.admin_state_up]
    pools = {li.id: pool for li in alive if (pool := graph.default_pool(li)) and pool.admin_state_up}
    frontends = [("frontend", li.id) for li in alive]
    backends = [("backend", f"{pool.id}:{listener}") for listener, pool in pools.items()]
    _equal(sorted(names[2:]), sorted(frontends + backends), "the other sections")
    _section(found[0], {GLOBAL: {}}, met)
    _section(found[1], {DEFAULTS: {}}, met)
    for section in found[2:]:
        if section.kind == "frontend":
            listener = graph.listeners[section.name]
            _section(section, {LISTENER: {**_facts(listener), **_facts(pools.get(listener.id), "pool.")}}, met)
            binds = [line[1] for line in section.lines if line[0] == "bind"]
            _equal(sorted(binds), sorted(sockets[listener.id]), f"binds of {listener.id}")
        else:
            _backend(section, graph, met)
    return met


def _backend(section: Section, graph: Graph, met: Counter[str]) -> None:
    pool_id, _, listener_id = section.name.partition(":")
    monitor = graph.health_monitors.get(pool_id)
    members = graph.members.get(pool_id, {})
    servers = [line for line in section.lines if line[0] == "server"]
    section.lines = [line for line in section.lines if line[0] != "server"]
    allowed = {POOL: _facts(graph.pools[pool_id]), LISTENER_BACKEND: _facts(graph.listeners[listener_id])}
    if monitor is not None:
        allowed[HEALTH_MONITOR] = {name: value or DEFAULT.get(name, "") for name, value in _facts(monitor).items()}
    _section(section, allowed, met)
    _equal(sorted(line[1] for line in servers), sorted(members), f"servers of {section.name}")
    for line in servers:
        _server(line, members[line[1]], _facts(monitor, "monitor."), met)


def _server(line: tuple[str, ...], member: Member, monitor: Mapping[str, str], met: Counter[str]) -> None:
    _equal(line[2], f"{host(member.address)}:{member.protocol_port}", f"the address of {member.id}")
    facts, rest = {**_facts(member), **monitor, "monitor_host": host(member.monitor_address or "")}, list(line[3:])
    while rest:
        taken = next((d for d in MEMBER_OPTIONS if _matches(d, rest[: len(d.split())], facts)), None)
        if taken is None:
            raise Unmeant(f"an option of a server that no member means: {rest} in {line}")
        met[taken] += 1
        del rest[: len(taken.split())]


def host(address: str) -> str:
    """An address where haproxy may expect a port behind it."""
    return f"[{address}]" if ":" in address else address


def _section(section: Section, allowed: Mapping[tuple[str, ...], Mapping[str, str]], met: Counter[str]) -> None:
    here: Counter[str] = Counter()
    for line in section.lines:
        named = (d for directives, facts in allowed.items() for d in directives if _matches(d, line, facts))
        taken = next(named, None)
        if taken is None:
            raise Unmeant(f"a line that no object means: {line} in {section.kind} {section.name}")
        here[taken] += 1
        if here[taken] > 1 and taken not in MANY:
            raise Unmeant(f"a line that came before: {line} in {section.kind} {section.name}")
    met.update(here)


def _matches(directive: str, line: Any, facts: Mapping[str, str]) -> bool:
    patterns = directive.split(" ")
    return len(patterns) == len(line) and all(_word(p, w, facts) for p, w in zip(patterns, line, strict=True))


def _word(pattern: str, word: str, facts: Mapping[str, str]) -> bool:
    if "{" not in pattern:
        return pattern == word
    parts = re.split(r"\{([a-z_.]+)\}", pattern)
    made = (SHAPES.get(p) or re.escape(facts.get(p, "\0")) if i % 2 else re.escape(p) for i, p in enumerate(parts))
    return re.fullmatch("".join(made), word) is not None


def _facts(resource: Any, prefix: str = "") -> dict[str, str]:
    return dict(_flat(resource, prefix)) if resource is not None else {}


def _flat(resource: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(resource):
        value = getattr(resource, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", "" if value is None else str(value)


def _equal(one: Any, other: Any, what: str) -> None:
    if one != other:
        raise Unmeant(f"{what}: {one}, and the model means {other}")


DIRECTIVES = frozenset((*GLOBAL, *DEFAULTS, *LISTENER, *LISTENER_BACKEND, *POOL, *HEALTH_MONITOR, *MEMBER_OPTIONS))
