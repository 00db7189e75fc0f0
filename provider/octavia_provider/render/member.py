# SPDX-License-Identifier: Apache-2.0
"""A member → a server: data, and the words of its line that a running haproxy cannot change."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

from octavia_amphora.wire.config import Server
from octavia_provider.model.member import Member

from .environment import Templates
from .quoting import joined

RING = 1 << 20


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
            found = joined(self._templates.call(member_id, "member", "options", server, *self._things))
            self._known[server] = found
        return found


def server(member: Member, options: Options, *, by_agent: bool, cookies: bool, number: int | None) -> Server:
    """``by_agent``: who checks it; ``cookies``: clients are told its name."""
    cookie = member.id if cookies else ""
    values = ServerValues(number, member.monitor_address, member.monitor_port, cookie, member.backup)
    return Server(
        name=member.id,
        address=member.address,
        port=member.protocol_port,
        weight=member.weight,
        admin="ready" if member.admin_state_up else "maint",
        options=options.of(member.id, values),
        check_address=(member.monitor_address or "") if by_agent else "",
        check_port=(member.monitor_port or 0) if by_agent else 0,
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
