# SPDX-License-Identifier: Apache-2.0
"""Several control planes of one home on one PostgreSQL, and what their database and their amphorae say of what they did."""

from __future__ import annotations

import contextlib
import re
import signal
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from .installation import Installation

APPLIED = re.compile(r"applied load_balancer=(\S+) revision=(\d+) outcome=")
LEASE_SECONDS = 3


@dataclass
class Fleet:
    """``planes`` by name."""

    home: Path
    url: str
    planes: dict[str, Installation]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def owners(self) -> dict[str, str]:
        """Load balancer → the name of the control plane that has its lease, where that has not run out."""
        query = "SELECT id, holder FROM scopes WHERE kind = 'load_balancer' AND lease_expires > extract(epoch FROM clock_timestamp())"
        return dict(self.rows(query))

    def settled(self) -> bool:
        return not self.rows("SELECT id FROM scopes WHERE applied < generation")

    def pause(self, name: str) -> None:
        process = self.planes[name].process
        assert process is not None
        process.send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        process = self.planes[name].process
        assert process is not None
        process.send_signal(signal.SIGCONT)

    def others(self, name: str) -> list[Installation]:
        return [plane for other, plane in self.planes.items() if other != name]

    def revisions(self) -> dict[str, list[int]]:
        """Load balancer → the revisions that agents have put in force, in that order."""
        found: dict[str, list[int]] = defaultdict(list)
        for log in sorted((self.home / "log").glob("amphora-*.log")):
            for load_balancer_id, revision in APPLIED.findall(log.read_text()):
                found[load_balancer_id].append(int(revision))
        return found

    def check(self, names: set[str]) -> None:
        """Nothing was lost, nothing was done twice: one load balancer of each name, each with one amphora that runs."""
        site = next(iter(self.planes.values()))
        shown = site.get_json("/v2/octavia/status")["status"]["load_balancers"]
        assert Counter(one["name"] for one in shown) == dict.fromkeys(names, 1)
        wanted = {amphora["id"] for one in shown for amphora in one["amphorae"]}
        assert len(wanted) == len(names)
        running = {path.name for path in (self.home / "cloud" / "amphorae").iterdir()}
        assert running == wanted, "no amphora is left of one that was paused"
        for load_balancer_id, revisions in self.revisions().items():
            assert revisions == sorted(set(revisions)), f"{load_balancer_id}: {revisions}"


@contextlib.contextmanager
def fleet(home: Path, url: str, *names: str, lease_seconds: float = LEASE_SECONDS) -> Iterator[Fleet]:
    """Control planes of these names, running."""
    options = ("--database", url, "--stay", "--lease-seconds", str(lease_seconds))
    made = Fleet(home, url, {name: Installation(home, options=options, name=name) for name in names})
    try:
        for plane in made.planes.values():
            plane.start()
        yield made
    finally:
        for name, plane in made.planes.items():
            if plane.process is not None:
                made.resume(name)
                plane.kill()
        if (home / "octavia.key").exists():
            next(iter(made.planes.values())).purge()
