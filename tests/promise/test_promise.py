# SPDX-License-Identifier: Apache-2.0
"""The promise: what the model accepts, haproxy accepts, and the file says nothing that the model did not mean.

``PROMISE_SEED`` repeats a run; ``make fuzz`` draws 100,000 balancers with a seed of its own each time.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from octavia_amphora.haproxy import prelude
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import compose
from octavia_provider.model.attributes import attributes, inputs
from octavia_provider.model.graph import Graph
from octavia_provider.render.haproxy import Placement, render
from promise import budget, meant
from promise.accepted import judge
from promise.found import FOUND
from promise.parser import Unmeant, sections
from promise.strategies import DRAWN_KINDS, FORMATS, NOT_DRAWN, Body, balancers

TOGETHER = 10
"""Balancers in one file: a check costs 76 ms, most of which is haproxy's start."""
PLACEMENTS = (
    Placement(vips=("127.0.0.1",)),
    Placement(vips=("::1",), proxy_address="127.0.0.2"),
    Placement(vips=("127.0.0.1", "::1"), proxy_address="127.0.0.2"),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A balancer that the model accepts, and its configuration."""

    body: Body
    text: str


def draw(body: Body, placement: Placement, tally: Counter[str]) -> Drawn | None:
    """Refused with a path, or rendered to what the model means."""
    verdict = judge(body)
    if verdict.graph is None:
        assert verdict.violations
        assert all(v.path and v.message for v in verdict.violations), verdict.violations
        tally["refused"] += 1
        return None
    text = compose(render(verdict.graph, placement).configuration)
    tally.update(meant.check(text, verdict.graph, sockets(verdict.graph, placement)))
    tally["accepted"] += 1
    return Drawn(body, text)


def sockets(graph: Graph, placement: Placement) -> dict[str, list[str]]:
    addresses = [*placement.vips, *([placement.proxy_address] if placement.proxy_address else [])]
    return {li.id: [f"{meant.host(a)}:{li.protocol_port}" for a in addresses] for li in graph.listeners.values()}


def haproxy_refuses(drawn: list[Drawn], path: Path) -> str:
    """haproxy's words against all of them in one file, empty when it takes it."""
    head = prelude.prelude(Paths.of(str(path.parent), str(path.parent), "promise"), mark="promise")
    path.write_text(head + "".join(one.text for one in drawn), encoding="utf-8")
    verdict = subprocess.run(
        ["haproxy", "-c", "-f", path], capture_output=True, text=True, check=False, errors="replace"
    )
    return "" if verdict.returncode == 0 else verdict.stderr or f"status {verdict.returncode}"


def refused_ones(drawn: list[Drawn], path: Path) -> list[tuple[Drawn, str]]:
    """Those that haproxy refuses, found by halves."""
    words = haproxy_refuses(drawn, path) if drawn else ""
    if not words:
        return []
    if len(drawn) == 1:
        return [(drawn[0], words)]
    half = len(drawn) // 2
    return refused_ones(drawn[:half], path) + refused_ones(drawn[half:], path)


@pytest.mark.timeout(7200)
def test_what_the_model_accepts_haproxy_accepts(tmp_path: Path) -> None:
    tally: Counter[str] = Counter()

    @seed(budget.SEED)
    @settings(
        max_examples=budget.BALANCERS // TOGETHER,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    @given(bodies=st.lists(balancers(), min_size=TOGETHER, max_size=TOGETHER), placement=st.sampled_from(PLACEMENTS))
    def each(bodies: list[Body], placement: Placement) -> None:
        note(f"PROMISE_SEED={budget.SEED}")
        drawn = [one for body in bodies if (one := draw(body, placement, tally))]
        for one, words in refused_ones(drawn, tmp_path / "promise.cfg"):
            raise AssertionError(f"haproxy refuses what the model accepts: {words}\n{one.body}\n{one.text}")

    each()
    drawn = tally["accepted"] + tally["refused"]
    assert drawn >= budget.BALANCERS
    assert tally["accepted"] >= drawn / 3, tally
    assert tally["refused"] >= drawn / 20, tally
    assert meant.DIRECTIVES - tally.keys() == set(), "the strategies do not reach these, or nobody means them any more"


@pytest.mark.parametrize("body", FOUND)
def test_what_was_found_once(body: Body, tmp_path: Path) -> None:
    one = draw(body, PLACEMENTS[2], Counter())
    assert one is None or not haproxy_refuses([one], tmp_path / "found.cfg")


def test_every_format_of_what_is_drawn_can_be_drawn() -> None:
    drawn = [*DRAWN_KINDS, *(a.nested for kind in DRAWN_KINDS for a in inputs(kind).values() if a.nested)]
    facts = [a for kind in drawn for a in attributes(kind).values() if a.name not in NOT_DRAWN]
    assert {a.format for a in facts if a.format and not a.output} <= FORMATS.keys()


def test_what_is_left_out_is_there() -> None:
    drawn = [*DRAWN_KINDS, *(a.nested for kind in DRAWN_KINDS for a in inputs(kind).values() if a.nested)]
    assert {name for kind in drawn for name in inputs(kind)} >= NOT_DRAWN


@pytest.mark.parametrize(
    "line",
    [
        "    bind a # b",
        '    bind "$HOME"',
        "    bind a\\",
        '    bind "a',
        "    bind 'a",
        "    bind a\tb",
        "bind a",
        "    backend x",
        ".if 1",
    ],
)
def test_the_parser_finds_what_got_out_of_its_word(line: str) -> None:
    with pytest.raises(Unmeant):
        sections(f"global\n{line}\n")


def test_the_parser_reads_quotes_as_haproxy_does() -> None:
    (section,) = sections('global\n    a\\ b "c d"e \'f\\g\' "h\\"i\\$j\\\\k" "" l\'#\'\n')
    assert section.lines == [("a b", "c de", "f\\g", 'h"i$j\\k', "", "l#")]
