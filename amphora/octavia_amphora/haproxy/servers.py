# SPDX-License-Identifier: Apache-2.0
"""Servers as haproxy knows them: ``show servers state`` (management guide, section 9.3; format version 1).

The same format is what haproxy reads back at a reload. Only *health* is to survive one: weights, addresses and
administrative states are the configuration's, which the runtime API may have overtaken long ago.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from octavia_amphora.wire.config import Backend, Configuration, Server
from octavia_amphora.wire.messages import ServerState

# include/haproxy/server-t.h: SRV_ADMF_FMAINT, IMAINT, RMAINT, HMAINT (0x04, CMAINT, only tells that the file said so)
MAINT = 0x01 | 0x02 | 0x20 | 0x40
DRAIN = 0x08 | 0x10
STOPPED, STARTING, RUNNING = 0, 1, 2
CHECK_ENABLED = 0x04

_COLUMNS = {"be_name": 1, "srv_id": 2, "srv_name": 3, "addr": 4, "op": 5, "admin": 6, "uweight": 7, "iweight": 8}
_CHECK_STATE, _PORT, _USE_SSL, _FIELDS = 13, 18, 20, 25


@dataclass(frozen=True, slots=True)
class Location:
    """Where connections to a server go."""

    backend: str
    server: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class StateRow:
    """One server at run time. ``op``: 0 stopped, 1 starting, 2 running, 3 stopping; ``number``: its ``id``."""

    backend: str
    name: str
    address: str
    port: int
    weight: int
    op: int
    admin: int
    checked: bool
    number: int = 0

    @property
    def location(self) -> Location:
        """Where it is."""
        return Location(self.backend, self.name, self.address, self.port)

    @property
    def in_maintenance(self) -> bool:
        """Out of rotation by decision, not by health."""
        return bool(self.admin & MAINT)

    def state(self) -> ServerState:
        """In the words of the wire; what was decided goes before what was found."""
        if self.in_maintenance:
            return "maint"
        if self.op == STOPPED:
            return "down"
        if self.weight == 0 or self.admin & DRAIN:
            return "drain"
        return "up" if self.checked else "no_check"

    def matches(self, server: Server) -> bool:
        """Whether haproxy has what the configuration says (less the options, which it does not tell)."""
        wanted = (server.address, server.port, server.weight, server.admin == "maint")
        return (self.address, self.port, self.weight, self.in_maintenance) == wanted


def parse_states(text: str) -> Iterator[StateRow]:
    """The lines of ``show servers state``."""
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) < _FIELDS or line.startswith("#"):
            continue
        yield StateRow(
            backend=words[_COLUMNS["be_name"]],
            name=words[_COLUMNS["srv_name"]],
            address=words[_COLUMNS["addr"]],
            port=int(words[_PORT]),
            weight=int(words[_COLUMNS["uweight"]]),
            op=int(words[_COLUMNS["op"]]),
            admin=int(words[_COLUMNS["admin"]]),
            checked=bool(int(words[_CHECK_STATE]) & CHECK_ENABLED),
            number=int(words[_COLUMNS["srv_id"]]),
        )


def is_checked(backend: Backend, server: Server) -> bool:
    """Whether the configuration has haproxy check this server."""
    if "check" in server.options.split():
        return True
    defaults = (line.split() for line in backend.text.splitlines())
    return any(words[:1] == ["default-server"] and "check" in words for words in defaults)


def has_checks(configuration: Configuration) -> bool:
    """Whether states can change by themselves: one server of a backend stands for all of it."""
    return any(
        backend.probe or is_checked(backend, server)
        for backend in configuration.backends.values()
        for server in list(backend.servers.values())[:1]
    )


def state_file(text: str, configuration: Configuration, down: AbstractSet[tuple[str, str]] = frozenset()) -> str:
    """``show servers state`` of the old worker → what the new one reads: health, and nothing but health.

    Left out are servers without checks (one that was down would stay so for ever) and those in maintenance (their
    "stopped" is a decision that the new configuration makes itself). Of servers that the agent checks, those in
    ``down`` begin as stopped, the others as running.
    """
    lines = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) < _FIELDS or line.startswith("#"):
            lines.append(line)
            continue
        backend = configuration.backends.get(words[_COLUMNS["be_name"]])
        server = backend.servers.get(words[_COLUMNS["srv_name"]]) if backend else None
        in_maintenance = int(words[_COLUMNS["admin"]]) & MAINT
        if backend is None or server is None or in_maintenance or server.admin == "maint":
            continue
        if (backend.name, server.name) in down:
            words[_COLUMNS["op"]] = str(STOPPED)
        elif not is_checked(backend, server):
            continue
        words[_COLUMNS["addr"]] = server.address
        words[_PORT] = str(server.port)
        words[_COLUMNS["admin"]] = "0"
        words[_COLUMNS["uweight"]] = words[_COLUMNS["iweight"]] = str(server.weight)
        # Whether TLS is spoken, and where checks go: haproxy would take that from here, too, and not from the new file.
        words[_USE_SSL : _USE_SSL + 5] = [str(int("ssl" in server.options.split())), "0", "-", "-", "0"]
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"
