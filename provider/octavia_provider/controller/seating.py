# SPDX-License-Identifier: Apache-2.0
"""Which amphora of a load balancer is meant where an amphora of a group, on which there are several, speaks of a load balancer."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from octavia_provider.planner.group import HOST
from octavia_provider.ports import Amphora


class Seating:
    """As the store has it. ``groups``: of which group an amphora of one is."""

    def __init__(self) -> None:
        self.groups: dict[str, str] = {}
        self._seats: dict[tuple[str, str], str] = {}

    def seat(self, amphora_id: str, load_balancer_id: str) -> str | None:
        """The amphora of the load balancer; None where it has none there any more. One that is nobody's but its own is itself."""
        if amphora_id not in self.groups:
            return amphora_id
        return self._seats.get((amphora_id, load_balancer_id))

    def learn(self, found: Iterable[Amphora], written: Collection[str] | None) -> list[tuple[str, str]]:
        """Take in the amphorae of these scopes, or of all. The (seat, load balancer) that are there no more."""
        before = {seat: lb for (_, lb), seat in self._seats.items() if written is None or lb in written}
        self._seats = {key: seat for key, seat in self._seats.items() if seat not in before}
        self.groups = {host: of for host, of in self.groups.items() if written is not None and of not in written}
        for amphora in found:
            if amphora.host_id is not None:
                self._seats[amphora.host_id, amphora.load_balancer_id] = amphora.id
            elif amphora.role == HOST:
                self.groups[amphora.id] = amphora.load_balancer_id
        there = set(self._seats.values())
        return [(seat, lb) for seat, lb in before.items() if seat not in there]
