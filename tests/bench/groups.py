# SPDX-License-Identifier: Apache-2.0
"""100 load balancers on one group of two amphorae, each a pair with a listener, a checked pool and a member.

What one costs: memory (PSS) and processor time of all processes of both amphorae, less what they cost without load balancers; and
how long it takes until one more answers.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from netns.clouds import inside
from netns.shared_hosts import Hosts

from .many import processor_seconds
from .memory import kibibytes
from .rows import Row, at_most, median
from .topics import NotHere, Say

MANY = 100
SETTLE_SECONDS, IDLE_SECONDS = 30.0, 60.0
PROGRAMS = ("haproxy", "keepalived", "flock")


def measure(say: Say) -> Iterator[Row]:
    """Memory, processor time, and the time of one more."""
    if os.geteuid() != 0 or shutil.which("haproxy") is None or shutil.which("keepalived") is None:
        raise NotHere("needs root, haproxy and keepalived: run make bench as root, after make setup")
    home = Path(tempfile.mkdtemp(prefix="octavia-"))
    try:
        yield from asyncio.run(_measured(Hosts(home), say))
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _measured(hosts: Hosts, say: Say) -> list[Row]:
    try:
        say("two amphorae")
        await hosts.start("one", "two", seats=MANY)
        without = sum(_pss(hosts).values())
        took = [await _one_more(hosts, say) for _ in range(MANY)]
        say(f"{MANY} load balancers that nobody uses")
        await asyncio.sleep(SETTLE_SECONDS)
        return [*_memory(hosts, without), *await _idle(hosts), *_times(took)]
    finally:
        await hosts.close()


async def _one_more(hosts: Hosts, say: Say) -> float:
    say(f"load balancer {len(hosts.balancers) + 1}")
    began = time.monotonic()
    one = await hosts.add()
    await inside(hosts.cloud, (one.vip, 80))
    return time.monotonic() - began


def _pss(hosts: Hosts) -> dict[str, float]:
    """MiB by program, of both amphorae."""
    found: dict[str, float] = {}
    for host in hosts.hosts:
        for pid in hosts.processes(host):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            name = name if name in PROGRAMS else "the rest"
            found[name] = found.get(name, 0.0) + kibibytes(pid)["Pss"]
    return found


def _memory(hosts: Hosts, without: float) -> Iterator[Row]:
    found = _pss(hosts)
    parts = ", ".join(f"{name} {found[name] / MANY / 2:.1f}" for name in sorted(found))
    each = (sum(found.values()) - without) / MANY
    note = f"PSS of all that it adds to an amphora, {MANY} on each of two; of each process: {parts}"
    yield Row("groups.memory_per_balancer", each / 2, "MiB", at_most(20), 1, note)
    yield Row("groups.memory_per_pair", each, "MiB", None, 1, "the same on both amphorae together")


async def _idle(hosts: Hosts) -> list[Row]:
    processes = [pid for host in hosts.hosts for pid in hosts.processes(host)]
    before = {pid: processor_seconds(pid) for pid in processes}
    began = time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    seconds = time.monotonic() - began
    spent = {pid: (processor_seconds(pid) - before[pid]) / seconds for pid in processes}
    agents = sum(spent[pid] for pid in processes if "octavia_amphora.main" in _words(pid))
    note = f"both amphorae of {MANY} balancers; of it {100 * agents / MANY:.2f} by the two agents"
    return [Row("groups.processor_per_balancer", 100 * sum(spent.values()) / MANY, "% of a core", None, 1, note)]


def _words(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def _times(took: list[float]) -> Iterator[Row]:
    for name, some in (("first", took[:10]), ("last", took[-10:])):
        note = "seats, configurations pushed to both amphorae, its VIP answers"
        yield Row(f"groups.seconds_for_one_more_{name}", median(some), "s", None, len(some), note)
