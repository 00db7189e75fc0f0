# SPDX-License-Identifier: Apache-2.0
"""What one change of a large load balancer costs the control plane, and one page of its members: 100, 1,000 and 5,000 members.

A change is a request that waits until it is in force. Members are added, given another weight and deleted one after the
other; sizes take turns, so that all of them meet the same machine. It is the processor time of the control plane's process
that counts (``schedstat``), its heartbeats and housekeeping meanwhile included, not what the agent and the client use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from netns.installation import Installation
from octavia_provider.client.deadline import Deadline

from .many import processor_seconds
from .render import address
from .rows import Row, at_most, median
from .site import balancer, remove, site
from .topics import Say

SIZES = (100, 1000, 5000)
ROUNDS, CHANGES, PAGES = 7, 10, 10
PAGE = 100
GOAL, PAGE_GOAL, FLAT = 8, 30, 1.25
"""ms of processor time for one change, ms for a page, and how much more a change may cost among 5,000 than among 100."""
SPARE = max(SIZES)
"""Addresses from here on belong to members that come and go."""


class Subject:
    """A load balancer with so many members, of which some are changed."""

    def __init__(self, made: Installation, count: int) -> None:
        self.made = made
        self.found = balancer(made)
        self.pool = self.found["pool"]["id"]
        members = [{"address": address(i), "protocol_port": 80} for i in range(count)]
        told = {"json": {"members": members}, "wait": 250, "timeout": 250.0}
        made.client.request("PUT", f"/v2/lbaas/pools/{self.pool}/members", deadline=Deadline(300.0), **told)
        self.added: list[str] = []

    def add(self, number: int) -> None:
        """One member more."""
        values = {"name": f"m{number}", "address": address(SPARE + number), "protocol_port": 80}
        member = self.made.create("member", parent=self.pool, **values)
        assert member["provisioning_status"] == "ACTIVE", member
        self.added.append(member["id"])

    def change(self, number: int) -> None:
        """One of those has another weight."""
        member = self.made.update("member", self.added[number], parent=self.pool, weight=number + 2)
        assert member["provisioning_status"] == "ACTIVE", member

    def delete(self, _: int) -> None:
        """One of those goes."""
        self.made.delete("member", self.added.pop(), parent=self.pool)

    def page(self, _: int) -> None:
        """The first of the members, sorted."""
        path = f"/v2/lbaas/pools/{self.pool}/members?limit={PAGE}&sort=address"
        assert len(self.made.get_json(path)["members"]) == PAGE

    def turn(self) -> Iterator[tuple[str, float]]:
        """ms of processor time for one of each."""
        for name, work, times in (
            ("add", self.add, CHANGES), ("change", self.change, CHANGES), ("delete", self.delete, CHANGES), ("page", self.page, PAGES),
        ):  # fmt: skip
            yield name, self._spent(work, times)

    def _spent(self, work: Callable[[int], None], times: int) -> float:
        assert self.made.process is not None
        before = processor_seconds(self.made.process.pid)
        for number in range(times):
            work(number)
        return (processor_seconds(self.made.process.pid) - before) * 1000 / times


def measure(say: Say) -> Iterator[Row]:
    """A row for each kind of change and size, and how the cost grows."""
    taken: dict[tuple[str, int], list[float]] = defaultdict(list)
    with site() as made:
        subjects = {}
        for size in SIZES:
            say(f"making {size} members")
            subjects[size] = Subject(made, size)
        for turn in range(ROUNDS + 1):
            for size, subject in subjects.items():
                say(f"{size} members, round {turn} of {ROUNDS}")
                for name, spent in subject.turn():
                    if turn:  # the first warms up
                        taken[name, size].append(spent)
        for subject in subjects.values():
            remove(made, subject.found)
    yield from _rows({key: median(found) for key, found in taken.items()})


def _rows(middle: dict[tuple[str, int], float]) -> Iterator[Row]:
    note = "processor time of the control plane for one request that waits until it is in force"
    for name in ("add", "change", "delete"):
        for size in SIZES:
            yield Row(f"change.{name}_one_of_{size}", middle[name, size], "ms", at_most(GOAL), ROUNDS, note)
        growth = middle[name, SIZES[-1]] / middle[name, SIZES[0]]
        yield Row(f"change.{name}_growth", growth, "×", at_most(FLAT), ROUNDS, f"{SIZES[-1]} over {SIZES[0]} members")
    for size in SIZES:
        note = f"processor time for {PAGE} members, sorted by address"
        yield Row(f"change.page_of_{size}", middle["page", size], "ms", at_most(PAGE_GOAL), ROUNDS, note)
