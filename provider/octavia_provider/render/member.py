# SPDX-License-Identifier: Apache-2.0
"""A member → a server: data, and the words of its line that a running haproxy cannot change."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from octavia_amphora.wire.config import Server
from octavia_provider.model.member import Member

from .environment import Templates
from .quoting import joined

RING = 1 << 20
MOST = 1_024
"""Sets of words that a backend remembers."""


class ServerValues(NamedTuple):
    """What ``member.j2`` is told of a member. Many members of a pool have the same, and are rendered once."""

    number: int | None
    monitor_address: str | None
    monitor_port: int | None
    cookie: str
    backup: bool


class Options:
    """The words that follow a server's address, in one backend. ``things``: what else ``member.j2`` is told."""

    def __init__(self, templates: Templates, *things: object) -> None:
        self._templates = templates
        self._things = things
        self._known: dict[ServerValues, str] = {}

    def of(self, member_id: str, server: ServerValues) -> str:
        """In one line."""
        found = self._known.get(server)
        if found is None:
            if len(self._known) >= MOST:  # members come and go
                self._known.clear()
            found = joined(self._templates.call(member_id, "member", "options", server, *self._things))
            self._known[server] = found
        return found


@dataclass(frozen=True, slots=True)
class Servers:
    """Makes the servers of a backend, each of its member. ``by_agent``: who checks them; ``cookies``: clients are told their names.

    ``numbers``: the ``id`` of each; what is in it depends on all members. ``sources``: see ``Placement``.
    """

    options: Options
    by_agent: bool
    cookies: bool
    numbers: Mapping[str, int]
    sources: Sequence[str] = ()

    def of(self, member: Member) -> Server:
        """The server of a member."""
        cookie = member.id if self.cookies else ""
        number = self.numbers.get(member.id)
        values = ServerValues(number, member.monitor_address, member.monitor_port, cookie, member.backup)
        options = self.options.of(member.id, values)
        source = next((one for one in self.sources if (":" in one) == (":" in member.address)), "")
        return Server(
            name=member.id,
            address=member.address,
            port=member.protocol_port,
            weight=member.weight,
            admin="ready" if member.admin_state_up else "maint",
            options=" ".join(filter(None, (options, source and f"source {source}"))),
            check_address=(member.monitor_address or "") if self.by_agent else "",
            check_port=(member.monitor_port or 0) if self.by_agent else 0,
        )


def numbers(members: Iterable[str]) -> dict[str, int]:
    """The ``id`` of each server of a consistent hash, by member: its place on the ring, so it must be told and lasting.

    haproxy 2.6 gives a server that is added at run time its number after it has put it on the ring: all of them would
    stand on the same place, and one would get all traffic. Numbers by position would move every client when a member
    before theirs goes. The ring knows 20 bits of a number (``puid * SRV_EWGHT_RANGE`` in 32 bits, lb_chash.c).
    """
    taken: dict[int, str] = {}
    for member in members:
        number = zlib.crc32(member.encode()) % RING
        while number in taken or number == 0:
            number = (number + 1) % RING
        taken[number] = member
    return {member: number for number, member in taken.items()}
