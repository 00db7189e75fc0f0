# SPDX-License-Identifier: Apache-2.0
"""10 and 100 balancers, each with a listener, a checked pool and an amphora of its own, made by a program.

How ``up``, preview, ``status`` and ``destroy`` grow, and what balancers that nobody uses cost: processor time of every process over
``IDLE_SECONDS``, and memory (PSS). The members' addresses lead nowhere, so each pool is down and stays so.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from netns.installation import Installation
from netns.processes import all_processes, command

from .engines import Project
from .memory import kibibytes
from .rows import Row, at_most
from .site import descendants, folder
from .topics import NotHere, Say

FEW, MANY = 10, 100
IDLE_SECONDS = 60.0
SETTLE_SECONDS = 30.0
"""Until every check has failed as often as it takes, and what ``up`` has left behind is over."""
GROWTH = 1.5
"""How much more of the time one balancer of many may take than one of few: linear growth is 1."""
PROGRAM = """
import pulumi, pulumi_octavia as octavia
network = octavia.local.Network("net")
for n in range(pulumi.Config().require_int("count")):
    balancer = octavia.LoadBalancer(f"lb{n}", vip_network_id=network.id)
    listener = octavia.Listener(f"web{n}", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
    pool = octavia.Pool(f"pool{n}", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    octavia.HealthMonitor(f"check{n}", pool_id=pool.id, type="HTTP", delay=5, timeout=3, max_retries=3)
    octavia.Member(f"m{n}", pool_id=pool.id, address="10.77.0.1", protocol_port=80)
"""


def processor_seconds(pid: int) -> float:
    """What a process and its threads have computed so far (``proc(5)``, schedstat; 0 where it is gone)."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        return 0.0


def processes(home: Path) -> list[int]:
    """The control plane, and all that is in its cloud."""
    serving = [pid for pid in all_processes() if {"serve", str(home)} <= set(command(pid))]
    return serving + descendants(Installation(home).holder)


def idle(home: Path) -> tuple[float, float]:
    """What all of it costs while nobody uses it: cores that are busy, and PSS in MiB."""
    time.sleep(SETTLE_SECONDS)
    there = processes(home)
    before = {pid: processor_seconds(pid) for pid in there}
    began = time.monotonic()
    time.sleep(IDLE_SECONDS)
    busy = sum(processor_seconds(pid) - before[pid] for pid in there) / (time.monotonic() - began)
    return busy, sum(kibibytes(pid)["Pss"] for pid in there)


def _idle(home: Path, count: int) -> Iterator[Row]:
    busy, memory = idle(home)
    note = f"{count} balancers, each with a checked pool; all processes, the control plane's too"
    yield Row("idle.processor_per_balancer", 100 * busy / count, "% of a core", at_most(0.1), 1, note)
    yield Row("idle.memory_per_balancer", memory / count, "MiB", at_most(40), 1, f"PSS, {note}")


def _timed(project: Project) -> Iterator[tuple[str, float]]:
    yield "up", project.up()
    yield "preview", project.preview()
    yield "status", project.octaviactl("status", codes=(0, 4, 5))  # members that nobody hears are no news


def _measured(count: int, say: Say) -> Iterator[tuple[str, float] | Row]:
    with folder() as base:
        project = Project(base, "embedded", empty=False)
        project.make(count, program=PROGRAM)
        try:
            say(f"{count} balancers: up, preview, status")
            yield from _timed(project)
            if count == MANY:
                say(f"{count} balancers that nobody uses")
                yield from _idle(base / "home", count)
            say(f"{count} balancers: destroy")
            yield "destroy", project.run("destroy", "--stack", "dev", "--yes")
        finally:
            project.close()


def measure(say: Say) -> Iterator[Row]:
    """Seconds for both sizes, their growth, and what being idle costs."""
    if os.geteuid() != 0 or shutil.which("haproxy") is None:
        raise NotHere("needs root and haproxy: run make bench as root, after make setup")
    seconds: dict[str, list[float]] = {}
    for count in (FEW, MANY):
        for found in _measured(count, say):
            if isinstance(found, Row):
                yield found
                continue
            what, took = found
            seconds.setdefault(what, []).append(took)
            yield Row(f"balancers.{what}_{count}", took, "s")
    for what, (few, many) in seconds.items():
        growth = (many / MANY) / (few / FEW)
        yield Row(f"balancers.{what}_growth", growth, "×", at_most(GROWTH), 1, f"for one balancer, {FEW} → {MANY}")
