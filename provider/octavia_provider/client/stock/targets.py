# SPDX-License-Identifier: Apache-2.0
"""What a write is about, and the pauses of its waits."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from octavia_provider.client import collections
from octavia_provider.client.deadline import Deadline

FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.1, 1.5, 3.0
"""Seconds between two looks at a status: the first, by how much the next is longer, the longest."""
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a write is about: the kind, the parent in the URL, whose load balancer it is (None: of none), until when."""

    kind: str
    deadline: Deadline
    parent: str | None = None
    subject: str = ""
    balancer: str | None = None

    @property
    def key(self) -> str:
        """Of the object in a body."""
        return collections.object_key(self.kind)

    def path(self, id: str | None = None) -> str:  # noqa: A002
        """Of the collection, or of one object."""
        if id is None:
            return collections.collection(self.kind, self.parent)
        return collections.item(self.kind, id, self.parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How to know what a create made: its tag, else its name and values; never one of ``known``."""

    key: str
    known: Collection[str]
    values: Values


def pauses() -> Iterator[float]:
    """The pauses of one wait."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * GROWTH, LONGEST_PAUSE)
