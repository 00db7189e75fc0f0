# SPDX-License-Identifier: Apache-2.0
"""Rendering beside Octavia's own templater, and what it costs us to put the same balancers in force.

Octavia comes from PyPI into a virtual environment of its own (``build/octavia``) and runs in a process of its own. Both
renderers are warm; they render the same balancer one right after the other, the first one first in every other round,
and what counts is the median of the rounds' ratios. Ours makes from the model's objects the configuration, its text and
its digest; theirs makes the text, as Octavia knows no digest.

Octavia's own way from there (upload, ``haproxy -c``, systemd's reload) needs an amphora with systemd: it is not measured.
``haproxy -c`` is run on both texts, as both ways hold it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netns.agents import Amphora
from netns.sandbox import Sandbox
from octavia_amphora.wire.config import Configuration, compose, digest
from octavia_amphora.wire.messages import Push, VersionStamp
from octavia_provider.model.graph import Graph
from octavia_provider.render.haproxy import Placement, render

from .balancers import CASES, VIP, Plain, graph
from .rows import Row, at_least, median, median_ratio
from .site import folder
from .topics import NotHere, Say

VERSION = "19.0.0"
PLACE = Path(__file__).resolve().parent.parent.parent / "build" / "octavia"
SCRIPT = Path(__file__).with_name("octavia_templater.py")
ROUNDS, CHECKS, PUSHES = 9, 5, 5
TIMES = 4
"""How many times as fast as Octavia's we want to be."""
HERE = Placement(vips=(VIP,))


def environment() -> Path:
    """The interpreter of a virtual environment with Octavia, made if it is not there."""
    python, mark = PLACE / "bin" / "python", PLACE / f"has-octavia-{VERSION}"
    if not mark.exists():
        shutil.rmtree(PLACE, ignore_errors=True)  # what a broken-off try has left
        for words in (
            (sys.executable, "-m", "venv", str(PLACE)),
            (str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", f"octavia=={VERSION}"),
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900)
            if done.returncode:
                why = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
                raise NotHere(f"octavia {VERSION} could not be installed into {PLACE.name}: {why[0]}")
        mark.touch()
    return python


class Templater:
    """Octavia's templater, ready for these balancers."""

    def __init__(self, process: subprocess.Popen[str], subjects: dict[str, Plain]) -> None:
        self._process = process
        self._ask(json.dumps(subjects))

    def milliseconds(self, name: str, path: Path | None = None) -> float:
        """How long it takes to render one of them; with a path, the text goes there."""
        return float(self._ask(f"{name} {path or ''}".strip())["ms"])

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "Octavia's templater ended"
        found: dict[str, Any] = json.loads(answer)
        return found


@contextlib.contextmanager
def templater(subjects: dict[str, Plain]) -> Iterator[Templater]:
    """Octavia's process."""
    # -I: nothing of ours is on its path, not even this module, which has the name of its package
    command = [str(environment()), "-I", "-W", "ignore", str(SCRIPT)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Templater(process, subjects)
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=10)
        process.kill()
        process.wait(10)


def ours(subject: Graph) -> float:
    """Milliseconds of one rendering: configuration, text, digest."""
    began = time.perf_counter()
    configuration = render(subject, HERE).configuration
    compose(configuration)
    digest(configuration)
    return (time.perf_counter() - began) * 1000


def rendering(subjects: dict[str, Plain], theirs: Templater, say: Say) -> Iterator[Row]:
    """For each balancer the ratio, and both times."""
    for name, plain in subjects.items():
        subject, pairs = graph(plain), []
        ours(subject)
        theirs.milliseconds(name)
        for turn in range(ROUNDS):
            say(f"{name}, round {turn + 1} of {ROUNDS}")
            if turn % 2:
                second = theirs.milliseconds(name)
                pairs.append((second, ours(subject)))
            else:
                first = ours(subject)
                pairs.append((theirs.milliseconds(name), first))
        note = "as fast as Octavia's templater, round by round"
        yield Row(f"render.x_octavia.{name}", median_ratio(pairs), "×", at_least(TIMES), ROUNDS, note)
        yield Row(f"render.ours.{name}", median(b for _, b in pairs), "ms", None, ROUNDS, "text and digest")
        yield Row(f"render.octavia.{name}", median(a for a, _ in pairs), "ms", None, ROUNDS, f"octavia {VERSION}; text")


def checking(subjects: dict[str, Plain], theirs: Templater, say: Say) -> Iterator[Row]:
    """``haproxy -c`` on both texts. haproxy must take both."""
    with folder() as base:
        for name, plain in subjects.items():
            say(f"haproxy -c, {name}")
            paths = base / f"{name}.ours", base / f"{name}.theirs"
            global_section = f"global\n    server-state-file {base}/states\n"  # theirs names one, too
            paths[0].write_text(compose(render(graph(plain), HERE).configuration, global_section=global_section))
            theirs.milliseconds(name, paths[1])
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(CHECKS):
                for path, times in zip(paths, taken, strict=True):
                    times.append(_check(path))
            note = "haproxy -c, which both ways hold"
            yield Row(f"check.ours.{name}", median(taken[0]), "ms", None, CHECKS, note)
            yield Row(f"check.octavia.{name}", median(taken[1]), "ms", None, CHECKS)


def _check(path: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(["haproxy", "-c", "-L", "peer", "-f", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (time.perf_counter() - began) * 1000


async def applying(name: str, plain: Plain, base: Path, walls: Sandbox) -> Row:
    """One balancer put in force by a real agent, again and again, each time by a reload."""
    graphs = [graph(_with_limit(plain, limit)) for limit in (40_000, 50_000)]
    amphora = Amphora(walls, base)
    amphora.load_balancer_id = plain["id"]
    await amphora.start()
    try:
        started = await _apply(amphora, graphs[1], "start")
        taken = [await _apply(amphora, graphs[turn % 2], "reload") for turn in range(PUSHES)]
    finally:
        await amphora.close()
    note = f"ours alone: render, push of the whole, haproxy -c, binds, reload until it serves; start {started:.2f} s"
    return Row(f"apply.{name}", median(taken), "s", None, PUSHES, note)


def _with_limit(plain: Plain, limit: int) -> Plain:
    """The balancer with another connection limit on its first listener: a line of the file, so a reload."""
    first, *others = plain["listeners"]
    return {**plain, "listeners": [{**first, "limit": limit}, *others]}


async def _apply(amphora: Amphora, subject: Graph, outcome: str) -> float:
    began = time.perf_counter()
    new: Configuration = render(subject, HERE).configuration
    amphora.revision += 1
    stamp = VersionStamp(0, 1, amphora.revision, amphora.revision, digest(new))
    applied = await amphora.client.push(amphora.host, amphora.load_balancer_id, Push(stamp, full=new))
    assert applied.outcome == outcome, applied
    return time.perf_counter() - began


def measure(say: Say) -> Iterator[Row]:
    """All rows."""
    if os.geteuid() != 0 or shutil.which("haproxy") is None:
        raise NotHere("needs root and haproxy: run make bench as root, after make setup")
    subjects = {name: make() for name, make in CASES.items()}
    say(f"installing octavia {VERSION} into a virtual environment of its own")
    with templater(subjects) as theirs:
        yield from rendering(subjects, theirs, say)
        yield from checking(subjects, theirs, say)
    for name, plain in subjects.items():
        say(f"applying {name}")
        walls = Sandbox()
        try:
            with folder() as base:
                yield asyncio.run(applying(name, plain, base, walls))
        finally:
            walls.close()
