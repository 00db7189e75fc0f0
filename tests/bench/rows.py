# SPDX-License-Identifier: Apache-2.0
"""What a benchmark says: rows of a name, a value, its unit and, where there is one, the goal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """``at_most`` or ``at_least`` so much, in the unit of its row."""

    limit: float
    at_most: bool = True

    def met(self, value: float) -> bool:
        """Whether a value is within the goal; the limit itself is."""
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number. ``runs``: of how many runs it is the median; ``note``: what one has to know of it."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None
    runs: int = 1
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        return None if self.goal is None else self.goal.met(self.value)

    def plain(self) -> dict[str, Any]:
        """For ``build/bench.json``."""
        goal = None if self.goal is None else str(self.goal)
        return {
            "value": round(self.value, 3), "unit": self.unit, "goal": goal, "met": self.met,
            "runs": self.runs, "note": self.note,
        }  # fmt: skip


def at_most(limit: float) -> Goal:
    """The less the better."""
    return Goal(limit)


def at_least(limit: float) -> Goal:
    """The more the better."""
    return Goal(limit, at_most=False)


def median(values: Iterable[float]) -> float:
    """The middle one: one disturbed run does not move it."""
    return statistics.median(values)


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of first/second, each pair measured one right after the other, so that both met the same machine."""
    return median(first / second for first, second in pairs)


def missed(rows: Iterable[Row]) -> list[Row]:
    """Those whose goal is not met."""
    return [row for row in rows if row.met is False]
