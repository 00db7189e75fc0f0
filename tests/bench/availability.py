# SPDX-License-Identifier: Apache-2.0
"""What clients see while something happens to a pair of amphorae: ours, and one as stock Octavia configures it.

Two open-loop clients, 1,000 requests a second each with a timeout of 200 ms, one with a new connection for each request, one
with kept connections. Both pairs run side by side and take turns: while one is measured, the other is repaired or idle. The
longest gap is that of new connections. ``--runs`` says how often each fault is done, ``--minutes`` when no other round begins;
``--docs`` writes figures and picture into the documentation.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from faults.analysis import percentile
from faults.measure import RATE, Act, Outage, measure_outage
from faults.our_faults import DELIBERATE, HARMLESS
from faults.our_pair import OctaviaPair, member_host, site_of_pairs, small_disk
from faults.pair import FAULTS, Pair
from faults.stock import StockPair
from netns.traffic import until

from . import availability_docs, topics
from .picture import Panel, draw
from .rows import Row, at_most, median

RUNS, MINUTES = 30, 120.0
BUILD = Path(__file__).resolve().parent.parent.parent / "build"
GOALS = {"haproxy killed": 0.25, "haproxy hung": 1.5, "host gone": 0.6}
"""Seconds without an answer, at the 99th percentile."""
RESTORED = 5.0
"""Seconds after a loss until there are two again; what is done on purpose takes its time."""
LOSSES = FAULTS.keys() | HARMLESS.keys()
PICTURED = "host gone"
Figures = dict[tuple[str, str], list[Outage]]


def measure(say: topics.Say) -> Iterator[Row]:
    """All rounds, then a row for each fault of each pair."""
    if os.geteuid() != 0 or not all(shutil.which(name) for name in ("haproxy", "keepalived")):
        raise topics.NotHere("needs root, haproxy and keepalived: run make bench as root, after make setup")
    found: Figures = {}
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(made) for made in (stock(), ours())]
        ends = time.monotonic() + 60 * (topics.OPTIONS.minutes or MINUTES)
        for turn in range(topics.OPTIONS.runs or RUNS):
            if time.monotonic() > ends:
                break
            for fault, pair, act in in_turn(pairs):
                say(f"round {turn + 1}: {pair.kind}, {fault}")
                try:
                    found.setdefault((pair.kind, fault), []).append(one(pair, fault, act))
                except AssertionError as why:  # what was measured before is worth telling
                    yield Row(
                        f"availability.{pair.kind}.{fault.replace(' ', '_')}.failed", 1, "", at_most(0), 1, str(why)
                    )
                    ends = 0.0
                    break
            write(found)
    if topics.OPTIONS.docs and found:
        availability_docs.write()
    yield from rows(found)


@contextlib.contextmanager
def stock() -> Iterator[tuple[Pair, Mapping[str, Act]]]:
    """The stock pair, and what is done to it."""
    pair = StockPair()
    try:
        with pair.recorder:
            pair.watch()
            yield pair, FAULTS
    finally:
        pair.close()


@contextlib.contextmanager
def ours() -> Iterator[tuple[Pair, Mapping[str, Act]]]:
    """Our pair, on a disk that is small enough to be filled, and what is done to it."""
    with small_disk() as disk, site_of_pairs(disk / "home") as made:
        pair = OctaviaPair(made)
        with pair.recorder:
            pair.watch()
            pair.add_member(member_host(made, pair.network))
            yield pair, {**FAULTS, **HARMLESS, **DELIBERATE}


def in_turn(pairs: list[tuple[Pair, Mapping[str, Act]]]) -> Iterator[tuple[str, Pair, Act]]:
    """Each fault of each pair, the pairs in turn."""
    for fault in dict.fromkeys(fault for _, faults in pairs for fault in faults):
        for pair, faults in pairs:
            if fault in faults:
                yield fault, pair, faults[fault]


def one(pair: Pair, fault: str, act: Act) -> Outage:
    """One fault. The repair goes on while the other pair is measured."""
    until(pair.restored, what=f"{pair.kind} to be whole before {fault}", seconds=120)
    pair.watch()
    owner = pair.owner()
    found = measure_outage(pair, fault, act)
    pair.repair(owner)
    return found


# ── What is said of it ───────────────────────────────────────────────────────────────────────────────────────────────
def rows(found: Figures) -> Iterator[Row]:
    """A row for the gap of each; for what is done on purpose, one for the requests that it failed."""
    for (kind, fault), outages in found.items():
        if not outages:
            continue
        name = f"availability.{kind}.{fault.replace(' ', '_')}"
        gaps = [one.new.gap for one in outages]
        lost = [one.new.lost + one.kept.lost for one in outages]
        note = f"p99; median {median(gaps) * 1000:.0f}, worst {max(gaps) * 1000:.0f} ms; lost {median(lost):.0f} of 2 × 1,000/s"
        if fault not in FAULTS:
            yield Row(f"{name}.lost", max(lost), "requests", at_most(0), len(outages), "the most of a run")
        goal = at_most(GOALS[fault] * 1000) if kind == "ours" and fault in GOALS else None
        yield Row(f"{name}.gap", percentile(gaps, 0.99) * 1000, "ms", goal, len(outages), note)
        if kind == "ours":
            times = [one.over for one in outages]
            note = f"p99; median {median(times):.2f}, worst {max(times):.2f} s"
            restored = at_most(RESTORED) if fault in LOSSES else None
            yield Row(f"{name}.whole", percentile(times, 0.99), "s", restored, len(outages), note)


def write(found: Figures) -> None:
    """``build/availability.json`` and ``build/availability.svg``; after each round, so that a run may be ended."""
    BUILD.mkdir(exist_ok=True)
    plain = [one.plain() for outages in found.values() for one in outages]
    (BUILD / "availability.json").write_text(json.dumps(plain, indent=1) + "\n")
    panels = []
    for (kind, fault), outages in found.items():
        if fault == PICTURED and outages:
            shown = sorted(outages, key=lambda one: one.new.gap)[len(outages) // 2]
            title = {"stock": "as stock Octavia configures it", "ours": "this provider"}[kind]
            panels.append(Panel(f"{title}: {shown.new.lost:,} lost", shown.samples, shown.since, RATE))
    if panels:
        title = f"{RATE:,.0f} requests a second, a new connection each, while the host of the active amphora goes (the median run)"
        (BUILD / "availability.svg").write_text(draw(title, panels))
