# SPDX-License-Identifier: Apache-2.0
"""What an open-loop client's samples say of an outage."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .openloop import Sample

LATE = 0.1


@dataclass(frozen=True, slots=True)
class Report:
    """``gap``: the longest time, by when they were due and answered, in which clients had no answer: from one answer to the
    next one. ``late``: requests that took longer than a tenth of a second. ``outage``: from when the first one that failed was
    due to when the last one was. ``again``: requests that were sent twice, their kept connection having died. ``behind``: by
    how much the client itself began a request too late at most, which is the measuring machine's fault."""

    requests: int
    lost: int
    gap: float
    late: int
    median: float
    worst: float
    errors: dict[str, int] = field(default_factory=dict)
    outage: float = 0.0
    again: int = 0
    behind: float = 0.0

    @property
    def server_errors(self) -> int:
        """Answers of 500 and above."""
        return sum(number for error, number in self.errors.items() if error.startswith("status 5"))


def report(samples: Iterable[Sample], since: float = 0.0) -> Report:
    """What came of the requests that were due since then."""
    mine = sorted((one for one in samples if one.due >= since), key=lambda one: one.due)
    times = sorted(one.seconds for one in mine if not one.error)
    failed = [one for one in mine if one.error]
    return Report(
        requests=len(mine), lost=len(failed), gap=longest_gap(mine), late=sum(t > LATE for t in times),
        median=times[len(times) // 2] if times else 0.0, worst=times[-1] if times else 0.0,
        errors=dict(Counter(one.error for one in failed)), outage=failed[-1].due - failed[0].due if failed else 0.0,
        again=sum(one.again for one in mine), behind=max((one.behind for one in mine), default=0.0),
    )  # fmt: skip


def longest_gap(samples: Sequence[Sample]) -> float:
    """The longest time without an answer, while some were due; from the first that was due to the last."""
    if not samples:
        return 0.0
    answered = sorted(one.due + one.seconds for one in samples if not one.error)
    moments = [samples[0].due, *answered, max(samples[-1].due, answered[-1] if answered else 0.0)]
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


def owners(samples: Iterable[Sample]) -> list[tuple[str, float, float]]:
    """Who answered, from when, until when, by the moments at which requests were due; for members that answer with the
    address of who asks them, which is the amphora's."""
    found: list[tuple[str, float, float]] = []
    for one in sorted((one for one in samples if not one.error), key=lambda one: one.due):
        if found and found[-1][0] == one.body:
            found[-1] = (one.body, found[-1][1], one.due)
        else:
            found.append((one.body, one.due, one.due))
    return found


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest of the values that so great a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
