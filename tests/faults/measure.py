# SPDX-License-Identifier: Apache-2.0
"""What happens to clients of a pair while something is done to it: two open-loop clients, and who had the VIP."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from netns.traffic import until

from .analysis import Report, owners, report
from .openloop import Client, Sample
from .ownership import Change, overlaps
from .pair import Pair

RATE, TIMEOUT = 1000.0, 0.2
BEFORE, AFTER = 0.2, 0.3
"""Seconds of traffic before it is done, and after it is over."""
LOOK = 0.05
Act = Callable[[Pair, str], None]


@dataclass(frozen=True, slots=True)
class Outage:
    """``new``: of clients that connect anew for each request; ``kept``: of those that keep connections. ``over``: seconds until
    the pair was as it shall be again (for the stock pair, which nobody repairs, until it served again). ``both``: seconds in
    which two had the VIP. ``load``: the machine's load average afterwards."""

    kind: str
    fault: str
    new: Report
    kept: Report
    over: float
    both: float
    samples: list[Sample] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)
    since: float = 0.0
    load: float = field(default_factory=lambda: os.getloadavg()[0])

    def plain(self) -> dict[str, object]:
        """For a file."""
        return {
            "kind": self.kind, "fault": self.fault, "gap": round(self.new.gap, 4), "lost": self.new.lost,
            "errors": self.new.errors, "requests": self.new.requests, "kept_gap": round(self.kept.gap, 4),
            "kept_lost": self.kept.lost, "kept_errors": self.kept.errors, "sent_again": self.kept.again,
            "over": round(self.over, 4), "both": round(self.both, 4),
            "behind": round(max(self.new.behind, self.kept.behind), 4), "owners": len(owners(self.samples)),
            "load": self.load,
        }  # fmt: skip


def measure_outage(
    pair: Pair, fault: str, act: Act, *, rate: float = RATE, timeout: float = TIMEOUT, patience: float = 60.0
) -> Outage:
    """Do it to the amphora that has the VIP, while there is traffic, and wait until it is over."""
    pair.watch()
    owner = pair.owner()
    options = {"rate": rate, "timeout": timeout, "seconds": 300.0, "inside": pair.inside}
    with contextlib.ExitStack() as stack:
        new = stack.enter_context(Client(pair.url, **options))  # type: ignore[arg-type]
        kept = stack.enter_context(Client(pair.url, keep=True, **options))  # type: ignore[arg-type]
        pass_by(BEFORE)
        since = time.monotonic()
        act(pair, owner)
        wait(lambda: pair.over(owner), what=f"{pair.kind}: {fault} to be over", seconds=patience)
        over = time.monotonic() - since
        wait(pair.serves, what=f"{pair.kind} to serve after {fault}", seconds=patience)
        pass_by(AFTER)
        end = time.monotonic()
    begun = since - timeout  # those under way at that moment count
    both = [one.until - max(one.since, since) for one in overlaps(pair.recorder.history, end) if one.until > since]
    return Outage(
        pair.kind, fault, report(new.samples, begun), report(kept.samples, begun), over, max(both, default=0.0),
        new.samples, [one for one in pair.recorder.history if one.time > since], since,
    )  # fmt: skip


def wait(condition: Callable[[], object], *, what: str, seconds: float) -> None:
    """Look now and then, and not as often as one can: looking takes time of the processors that serve."""

    def patiently() -> object:
        pass_by(LOOK)
        return condition()

    until(patiently, what=what, seconds=seconds)


def pass_by(seconds: float) -> None:
    """Let the clients ask for so long: what is measured is time."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, what="time")
