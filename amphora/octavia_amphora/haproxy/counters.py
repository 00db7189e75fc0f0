# SPDX-License-Identifier: Apache-2.0
"""The listeners' counters, which go on when haproxy's own begin at nought again.

Every worker counts for itself: a reload starts a new one while the old one finishes its connections. So what each was
last seen to have counted is kept by process, and folded into the base when the process has gone. An old worker does not
end before it was looked at for the last time (:mod:`.old_worker`). Lost is what one counts between the last look, which
comes at each beat, and its end when it is killed, or when the agent that made the reload ends before it.
"""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec

from octavia_amphora.wire.messages import Counters, ListenerState

_FRONTEND = "FRONTEND"


class CounterTotals(msgspec.Struct):
    """All counters of one load balancer. ``workers`` goes by the process's id and start time."""

    base: dict[str, Counters] = {}
    workers: dict[str, dict[str, Counters]] = {}

    def update(self, worker: str, counted: dict[str, Counters]) -> None:
        """Write down what a worker has counted so far. Nothing is what the master answers for one that has just ended."""
        if counted:
            self.workers[worker] = counted

    def fold_ended(self, workers: set[str]) -> None:
        """Fold in those that have gone."""
        for gone in self.workers.keys() - workers:
            for name, counters in self.workers.pop(gone).items():
                self.base[name] = _sum(self.base.get(name, Counters()), _ended(counters))

    def drop_listeners(self, listeners: set[str]) -> None:
        """Counters of listeners that are no more take no room."""
        self.base = {name: counters for name, counters in self.base.items() if name in listeners}

    def total(self, listener: str) -> Counters:
        """The sum over all workers that ever were."""
        total = self.base.get(listener, Counters())
        for counted in self.workers.values():
            total = _sum(total, counted.get(listener, Counters()))
        return total


def _sum(a: Counters, b: Counters) -> Counters:
    return Counters(
        bytes_in=a.bytes_in + b.bytes_in,
        bytes_out=a.bytes_out + b.bytes_out,
        active_connections=a.active_connections + b.active_connections,
        total_connections=a.total_connections + b.total_connections,
        request_errors=a.request_errors + b.request_errors,
    )


def _ended(counters: Counters) -> Counters:
    return msgspec.structs.replace(counters, active_connections=0)


def parse(text: str) -> dict[str, ListenerState]:
    """``show stat -1 1 -1`` → frontend name → status and counters (management guide, section 9.1)."""
    found = {}
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        if row.get("svname") == _FRONTEND:
            found[row["pxname"]] = _state(row)
    return found


def _state(row: dict[str, str]) -> ListenerState:
    def number(column: str) -> int:
        return int(row.get(column) or 0)

    counters = Counters(
        bytes_in=number("bin"),
        bytes_out=number("bout"),
        active_connections=number("scur"),
        total_connections=number("stot"),
        request_errors=number("ereq"),
    )
    status = row.get("status", "")
    return ListenerState("open" if status == "OPEN" else "full" if status == "FULL" else "stopped", counters)


def worker_key(pid: int) -> str:
    """The process's id and start time: ids come again, both together do not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return str(pid)
    return f"{pid}:{stat.rpartition(')')[2].split()[19]}"
