# SPDX-License-Identifier: Apache-2.0
"""Stick tables over a reload: which client is kept at which server (management guide, "show table", "set table").

A reload begins with empty tables (haproxy's own peers do not fill them here: the old worker leaves too soon). So they are
read before it, kept in a file, and put back into the new worker, by the servers' names, for their numbers may change.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from octavia_amphora.wire.config import Configuration

from . import runtime, servers
from .paths import Paths

MAX_ENTRIES = 100_000
"""Entries that are carried over; a table holds about ten thousand, and ten thousand take a tenth of a second."""

log = logging.getLogger("octavia_amphora.haproxy")

_DECLARED = re.compile(r"^\s*stick-table type (?P<type>\w+)", re.MULTILINE)
_HEADER = re.compile(r"# table: \S+, type: (?P<type>\w+)")
_ENTRY = re.compile(r"^0x[0-9a-f]+: key=(?P<key>\S*(?:\\ \S*)*) use=\d+ .*?\bserver_id=(?P<server>\d+)", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")


class Table(msgspec.Struct, frozen=True):
    """What one backend remembers: keys as the runtime API takes them, with the names of servers. ``type`` is the keys'."""

    type: str
    entries: dict[str, str]


def declared_tables(configuration: Configuration) -> dict[str, str]:
    """The backends that have a table, with the type of its keys."""
    found = ((name, _DECLARED.search(backend.text)) for name, backend in configuration.backends.items())
    return {name: line["type"] for name, line in found if line}


async def save(paths: Paths, new: Configuration) -> None:
    """Keep the tables that the new configuration has too. What cannot be read is lost, and no reason not to reload."""
    discard(paths.tables)
    wanted = declared_tables(new)
    if not wanted:
        return
    found: dict[str, Table] = {}
    try:
        names = {(b, number): name for (b, name), number in (await _server_ids(paths.stats_socket)).items()}
        for backend in wanted:
            text = await runtime.execute(paths.stats_socket, f"show table {backend}")
            room = MAX_ENTRIES - sum(len(table.entries) for table in found.values())
            if header := _HEADER.match(text):  # or there is no such table yet
                found[backend] = Table(header["type"], dict(_entries(text, backend, names, room)))
        paths.tables.write_bytes(msgspec.json.encode(found))
    except (runtime.RuntimeApiError, OSError) as error:
        log.warning("reloading without what the stick tables remember: %s", error)


async def restore(paths: Paths, configuration: Configuration) -> None:
    """Put back what was kept, once. Clients that were given another server meanwhile return to theirs."""
    try:
        saved = msgspec.json.decode(paths.tables.read_bytes(), type=dict[str, Table])
        numbers, declared_now = await _server_ids(paths.stats_socket), declared_tables(configuration)
        restorable = {backend: table for backend, table in saved.items() if declared_now.get(backend) == table.type}
        await runtime.execute_all(paths.stats_socket, list(_commands(restorable, numbers)))
    except FileNotFoundError:
        return
    except (runtime.RuntimeApiError, OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        log.warning("what the stick tables remembered is lost: %s", error)
    discard(paths.tables)


def discard(path: Path) -> None:
    """Remove it, whatever is there; what cannot be removed is not read either."""
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed: %s", path, error)


async def _server_ids(stats: Path) -> dict[tuple[str, str], int]:
    """(backend, server) → its number in the worker that answers."""
    text = await runtime.execute(stats, "show servers state")
    return {(one.backend, one.name): one.number for one in servers.parse_states(text)}


def _entries(text: str, backend: str, names: dict[tuple[str, int], str], most: int) -> Iterator[tuple[str, str]]:
    for found in _ENTRY.finditer(text):
        name = names.get((backend, int(found["server"])))
        key = escape_key(found["key"])
        if name is None or key is None:
            continue
        if most == 0:
            log.warning("more than %d entries of stick tables: the rest is not carried over", MAX_ENTRIES)
            return
        most -= 1
        yield key, name


def escape_key(key: str) -> str | None:
    """A key as haproxy shows it → as it takes it; None for one that it shows in numbers (control characters, not ASCII).

    A key may be a cookie that a client made up: whatever could end a word or a command has a backslash before it.
    """
    if not key or any(not one[1].isascii() or one[1].isalnum() for one in _ESCAPED.finditer(key)):
        return None
    return re.sub(r"([^A-Za-z0-9])", r"\\\1", _ESCAPED.sub(r"\1", key))


def _commands(kept: dict[str, Table], numbers: dict[tuple[str, str], int]) -> Iterator[str]:
    for backend, table in kept.items():
        for key, name in table.entries.items():
            number = numbers.get((backend, name))
            if number is not None:
                # haproxy goes by the server's name first, which only traffic sets: an entry made meanwhile has to go
                yield f"clear table {backend} key {key}"
                yield f"set table {backend} key {key} data.server_id {number}"
