# SPDX-License-Identifier: Apache-2.0
"""haproxy's metrics → Octavia's names (``octavia_listener_…``, ``octavia_pool_…``, ``octavia_member_…``). Pure.

haproxy's exporter writes the text; what it says is told by its own names (doc/internals or ``/metrics``). Octavia has names of
its own for the same numbers, by which dashboards know them, and identifies objects by their ids. A backend is made for
each pair of pool and listener: both are labels here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import States

CONTENT_TYPE = "text/plain; version=0.0.4"  # Prometheus' text format
_KINDS = {"process": "loadbalancer", "frontend": "listener", "backend": "pool", "server": "member"}
_NAMES = {
    "octavia_pool_active_servers": "octavia_pool_active_members",
    "octavia_pool_backup_servers": "octavia_pool_backup_members",
    "octavia_pool_server_aborts_total": "octavia_pool_member_aborts_total",
    "octavia_loadbalancer_pool_allocated_bytes": "octavia_memory_pool_allocated_bytes",
    "octavia_loadbalancer_pool_used_bytes": "octavia_memory_pool_used_bytes",
    "octavia_loadbalancer_pool_failures_total": "octavia_memory_pool_failures_total",
}
_NAME = re.compile(r"haproxy_(process|frontend|backend|server)_\w+")
_PROXY = re.compile(r'proxy="([^"]*)"')
# UDP is the kernel's: haproxy's families, with what the kernel counted
_UDP_COUNTERS: Mapping[str, str] = {
    "octavia_listener_bytes_in_total": "bytes_in",
    "octavia_listener_bytes_out_total": "bytes_out",
    "octavia_listener_current_sessions": "active_connections",
    "octavia_listener_sessions_total": "total_connections",
    "octavia_listener_connections_total": "total_connections",
}


def translate(text: str, configuration: Configuration, states: States | None) -> str:
    """What haproxy's exporter said, in Octavia's words; of frontends and backends that are objects alone."""
    return "".join(f"{line}\n" for line in _lines(text.splitlines(), configuration, states))


def gauges(values: Mapping[str, tuple[str, float]]) -> str:
    """``name → (help, value)`` as text."""
    return "".join(f"# HELP {n} {doc}\n# TYPE {n} gauge\n{n} {value:g}\n" for n, (doc, value) in values.items())


def _lines(lines: Iterable[str], configuration: Configuration, states: States | None) -> Iterator[str]:
    for line in lines:
        found = _NAME.search(line)
        if found is None:
            continue
        kind, name = found[1], _octavia_name(found[0])
        if line.startswith("#"):
            yield line.replace(found[0], name)
            if line.startswith("# TYPE"):
                yield from _udp_samples(name, configuration, states)
        elif (sample := _relabel(line.replace(found[0], name, 1), kind, configuration)) is not None:
            yield sample


def _octavia_name(haproxy_name: str) -> str:
    _, kind, rest = haproxy_name.split("_", 2)
    name = f"octavia_{_KINDS[kind]}_{rest}"
    return _NAMES.get(name, name)


def _relabel(line: str, kind: str, configuration: Configuration) -> str | None:
    """A sample with the ids of its objects; None where it is of no object."""
    proxy = _PROXY.search(line)
    if kind == "process" or proxy is None:
        return line
    if kind == "frontend":
        return line.replace(proxy[0], f'listener="{proxy[1]}"') if proxy[1] in configuration.frontends else None
    backend = configuration.backends.get(proxy[1])
    if backend is None:
        return None
    listener = backend.name.removeprefix(f"{backend.pool_id}:")
    line = line.replace(proxy[0], f'pool="{backend.pool_id}",listener="{listener}"')
    return line.replace(',server="', ',member="') if kind == "server" else line


def _udp_samples(name: str, configuration: Configuration, states: States | None) -> Iterator[str]:
    counter = _UDP_COUNTERS.get(name)
    if counter is None or states is None:
        return
    for listener, state in states.listeners.items():
        if configuration.frontends[listener].datagrams is not None:
            yield f'{name}{{listener="{listener}"}} {getattr(state.counters, counter)}'
