# SPDX-License-Identifier: Apache-2.0
"""Stick tables over a reload: which client is kept at which server (management guide, "show table", "set table").

A reload begins with empty tables. So they are read before it, kept in a file, and put back into the new worker, by the servers'
names, for their numbers may change. In a pair the old worker itself teaches the new one (it is its local peer) with the servers'
names, which "set table" cannot set: what has been taught is left alone, and what is missing alone put back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from octavia_amphora.wire.config import Configuration

from . import runtime, servers
from .paths import Paths

MAX_ENTRIES = 100_000
"""Entries that are carried over; a table holds about ten thousand, and ten thousand take a tenth of a second."""

ALL_TAUGHT = 0x3
"""What ``show peers`` says of a section: the old worker and another amphora have taught all that they had, or not in time."""
OLD_WORKER_SECONDS = 2.0
"""It teaches within milliseconds."""
PEERS_SECONDS = 12.0
"""haproxy waits 5 s for the old worker, where there may be one, and then 5 s for another amphora."""
POLL_SECONDS = 0.02
ROUNDS = 3
"""Entries are looked at after they were put back: a client may have come between the end of a wrong one and the right one."""

log = logging.getLogger("octavia_amphora.haproxy")

_DECLARED = re.compile(r"^\s*stick-table type (?P<type>\w+)", re.MULTILINE)
_HEADER = re.compile(r"# table: \S+, type: (?P<type>\w+)")
_ENTRY = re.compile(
    r"^0x[0-9a-f]+: key=(?P<key>\S*(?:\\ \S*)*) use=\d+ .*?\bserver_id=(?P<server>\d+)(?: server_key=(?P<name>\S+))?",
    re.MULTILINE,
)
_PEERS = re.compile(r"^0x[0-9a-f]+: .*\bflags=(?P<flags>0x[0-9a-f]+)", re.MULTILINE)
_ESCAPED = re.compile(r"\\(.)")


class Table(msgspec.Struct, frozen=True):
    """What one backend remembers: keys as the runtime API takes them, with the names of servers. ``type`` is the keys'."""

    type: str
    entries: dict[str, str]


class Saved(msgspec.Struct, frozen=True):
    """``taught``: the worker that has the tables teaches them to the next one too."""

    tables: dict[str, Table]
    taught: bool = False


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
    try:
        taught = new.vrrp is not None and bool(_PEERS.search(await runtime.execute(paths.stats_socket, "show peers")))
        found, _ = await _read(paths.stats_socket, wanted)
        paths.tables.write_bytes(msgspec.json.encode(Saved(found, taught)))
    except (runtime.RuntimeApiError, OSError) as error:
        log.warning("reloading without what the stick tables remember: %s", error)


async def restore(paths: Paths, configuration: Configuration) -> None:
    """Put back what was kept, once. Clients that were given another server meanwhile return to theirs."""
    try:
        saved = msgspec.json.decode(paths.tables.read_bytes(), type=Saved)
        declared = declared_tables(configuration)
        wanted = {backend: table for backend, table in saved.tables.items() if declared.get(backend) == table.type}
        if saved.taught:
            await _wait_old_worker(paths.stats_socket, wanted)
        for _ in range(ROUNDS):
            found, numbers = await _read(paths.stats_socket, wanted)
            commands = list(_commands(wanted, found, numbers, correct=not saved.taught))
            if not commands:
                break
            await runtime.execute_all(paths.stats_socket, commands)
    except FileNotFoundError:
        return
    except (runtime.RuntimeApiError, OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        log.warning("what the stick tables remembered is lost: %s", error)
    discard(paths.tables)


async def wait_taught(paths: Paths, configuration: Configuration) -> None:
    """Wait until this amphora knows what the others of its pair do, as long as haproxy itself would wait for them."""
    if configuration.vrrp is None or not declared_tables(configuration):
        return
    try:
        async with asyncio.timeout(PEERS_SECONDS):
            while True:
                found = list(_PEERS.finditer(await runtime.execute(paths.stats_socket, "show peers")))
                if all(int(section["flags"], 16) & ALL_TAUGHT == ALL_TAUGHT for section in found):
                    return
                await asyncio.sleep(POLL_SECONDS)
    except (runtime.RuntimeApiError, OSError) as error:  # TimeoutError is one
        log.warning("it is not known whether haproxy has learnt what others remember: %s", error)


async def _wait_old_worker(stats: Path, wanted: dict[str, Table]) -> None:
    """Wait until nothing is missing that the old worker knew."""
    pause = POLL_SECONDS
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OLD_WORKER_SECONDS):
            while True:
                found, numbers = await _read(stats, wanted)
                if not any(_commands(wanted, found, numbers, correct=False)):
                    return
                await asyncio.sleep(pause)
                pause *= 2


async def _read(stats: Path, backends: Iterable[str]) -> tuple[dict[str, Table], dict[tuple[str, str], int]]:
    """The tables, and the servers' numbers."""
    numbers = await _server_ids(stats)
    names = {(backend, number): name for (backend, name), number in numbers.items()}
    found: dict[str, Table] = {}
    for backend in backends:
        text = await runtime.execute(stats, f"show table {backend}")
        room = MAX_ENTRIES - sum(len(table.entries) for table in found.values())
        if header := _HEADER.match(text):  # or there is no such table yet
            found[backend] = Table(header["type"], dict(_entries(text, backend, names, room)))
    return found, numbers


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
    known = {name for (of, _), name in names.items() if of == backend}
    for found in _ENTRY.finditer(text):
        name = names.get((backend, int(found["server"])))
        if found["name"] in known:
            name = found["name"]  # haproxy goes by it first
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


def _commands(
    wanted: dict[str, Table], found: dict[str, Table], numbers: dict[tuple[str, str], int], *, correct: bool
) -> Iterator[str]:
    for backend, table in wanted.items():
        there = found[backend].entries if backend in found else {}
        for key, name in table.entries.items():
            number, now = numbers.get((backend, name)), there.get(key)
            if number is None or now == name or (now is not None and not correct):
                continue
            if now is not None:
                # haproxy goes by the server's name first, which only traffic sets: an entry made meanwhile has to go
                yield f"clear table {backend} key {key}"
            yield f"set table {backend} key {key} data.server_id {number}"
