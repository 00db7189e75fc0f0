# SPDX-License-Identifier: Apache-2.0
"""Comparing the haproxy that an agent finds with a configuration that it has on disk, or with what it was told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from octavia_amphora.haproxy import global_section, runtime, servers
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration, Frontend, without_udp

from . import binds

_MAXCONN = re.compile(r"^global\n(?:[ \t]+.*\n)*?[ \t]+maxconn (\d+)$", re.MULTILINE)

# haproxy 3.0 and newer answer to an address first, and give it to the server a moment later (server_atomic_sync).
MOVE_POLL_SECONDS = 0.002
MOVE_TIMEOUT = 5.0


async def has_loaded(paths: Paths, configuration: Configuration) -> bool:
    """Whether haproxy's worker has these lines, servers aside."""
    try:
        _, description = await runtime.current_worker(paths.stats_socket)
    except runtime.RuntimeApiError:
        return False
    return description.split(" ")[0] == global_section.structure(configuration)


async def find_pending_removals(paths: Paths, configuration: Configuration) -> frozenset[tuple[str, str]] | None:
    """None when haproxy has not what the configuration says; else the servers in maintenance beside it: they leave.

    haproxy does not tell its servers' options: see ``keeps_what_is_not_told``.
    """
    if not await has_loaded(paths, configuration):
        return None
    try:
        text = await runtime.execute(paths.stats_socket, "show servers state")
    except runtime.RuntimeApiError:
        return None
    expected = {(b.name, s.name): s for b in without_udp(configuration).backends.values() for s in b.servers.values()}
    found = set()
    for one in servers.parse_states(text):
        server = expected.pop((one.backend, one.name), None)
        if server is None and one.in_maintenance:
            found.add((one.backend, one.name))
        elif server is None or not one.matches(server):
            return None
    return None if expected else frozenset(found)


async def wait_located(paths: Paths, locations: AbstractSet[servers.Location]) -> None:
    """Wait until these servers are where they were told to be; ``RuntimeApiError`` when they are not in time.

    haproxy changes the address and drops idle connections to the former one while all its threads stand still: once one
    sees it, all do.
    """
    try:
        async with asyncio.timeout(MOVE_TIMEOUT):
            for backend in {location.backend for location in locations}:
                wanted = {location for location in locations if location.backend == backend}
                await _wait_located(paths, backend, wanted)
    except TimeoutError as error:
        raise runtime.RuntimeApiError(f"servers have not moved after {MOVE_TIMEOUT:.0f} s") from error


async def _wait_located(paths: Paths, backend: str, wanted: set[servers.Location]) -> None:
    while True:
        text = await runtime.execute(paths.stats_socket, f"show servers state {backend}")
        if wanted <= {row.location for row in servers.parse_states(text)}:
            return
        await asyncio.sleep(MOVE_POLL_SECONDS)


def running_ports(load_balancer_id: str, workers: Iterable[int]) -> Configuration:
    """Of a haproxy that runs, and whose configuration nobody knows any more (records are lost): its ports alone."""
    held = tuple(binds.listening_sockets(workers))
    return Configuration(load_balancer_id, "", {"found": Frontend("found", "", held)}, {})


def global_maxconn(configuration: Configuration) -> int | None:
    """The global ``maxconn``; None where none is set."""
    match = _MAXCONN.search(configuration.base)
    return int(match[1]) if match else None


def is_distinguishable(old: Configuration | None, new: Configuration) -> bool:
    """Whether one look tells which of both is in force: what is in both has the same options (servers), content (files)
    and list of certificates (frontends). What is in one alone is seen by the lines that name it."""
    if old is not None and not (
        _common_entries_equal(old.files, new.files) and _common_entries_equal(_certificates(old), _certificates(new))
    ):
        return False
    before = {(b.name, s.name): s.options for b in old.backends.values() for s in b.servers.values()} if old else {}
    return all(
        before.get((backend.name, server.name), server.options) == server.options
        for backend in new.backends.values()
        for server in backend.servers.values()
    )


def _common_entries_equal(old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    return all(old[name] == new[name] for name in old.keys() & new.keys())


def _certificates(configuration: Configuration) -> dict[str, tuple[str, ...]]:
    return {name: frontend.certificates for name, frontend in configuration.frontends.items()}
