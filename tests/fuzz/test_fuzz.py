# SPDX-License-Identifier: Apache-2.0
"""Fuzzing: what the model accepts, haproxy and nft accept, and it says nothing that the model did not mean.

``FUZZ_SEED`` repeats a run; ``make fuzz`` draws 100,000 balancers with a seed of its own each time.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

import hash_seeds
from fuzz import budget, oracle
from fuzz.accepted import judge
from fuzz.generators.balancers import balancer
from fuzz.generators.chance import Draw
from fuzz.generators.containers import SORTS
from fuzz.generators.strings import FORMATS
from fuzz.generators.values import DRAWN_KINDS, NOT_DRAWN, STRUCTURE, Body
from fuzz.parser import Unmeant, sections
from fuzz.regressions import FOUND
from fuzz.shrink import shrunk
from fuzz.verify import Accepted, Proof, made
from octavia_provider.model.metadata import attributes, inputs

TOGETHER = 25
"""Balancers in one file: a check costs 76 ms, most of which is haproxy's start."""


def draw_of(number: int) -> Draw:
    """All that is drawn for one balancer comes from the seed and its number."""
    return Draw(f"{budget.SEED} {number}")


def accepted(name: str, body: Body, tally: dict[str, int]) -> Accepted | None:
    """Refused with a path, or rendered to what the model means. The same body gives the same, whatever it was drawn from."""
    verdict = judge(body, random.Random(name))
    if verdict.graph is None:
        assert verdict.violations
        assert all(v.path and v.message for v in verdict.violations), verdict.violations
        tally["refused"] = tally.get("refused", 0) + 1
        return None
    tally["accepted"] = tally.get("accepted", 0) + 1
    return made(name, body, verdict.graph, Draw(name), tally)


def broken(name: str, body: Body, proof: Proof) -> str:
    """Why it fails; empty where it does."""
    try:
        one = accepted(name, body, {})
    except Unmeant as error:
        return f"it says what the model does not mean: {error}"
    refused = proof.refused([one]) if one else []
    return f"refused: {refused[0][1]}" if refused else ""


def fail(name: str, body: Body, why: str, proof: Proof) -> None:
    small = shrunk(body, lambda one: bool(broken(name, one, proof)))
    raise AssertionError(f"FUZZ_SEED={budget.SEED} balancer {name}: {why}\n{broken(name, small, proof)}\n{small!r}")


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", budget.PARTS, ids=lambda part: f"{part.start}-{part.stop}")
def test_invariant_12_what_the_model_accepts_haproxy_and_nft_accept(part: range, tmp_path: Path) -> None:
    tally: dict[str, int] = {}
    proof, waiting = Proof(tmp_path), list[Accepted]()
    for number in part:
        body = balancer(draw_of(number))
        try:
            one = accepted(str(number), body, tally)
        except Unmeant as error:
            fail(str(number), body, f"it says what the model does not mean: {error}", proof)
        else:
            waiting += [one] if one else []
        if len(waiting) >= TOGETHER or number == part[-1]:
            for one, words in proof.refused(waiting):
                fail(one.name, one.body, f"refused: {words}", proof)
            waiting.clear()
    assert tally["accepted"] + tally["refused"] == len(part)
    assert tally["accepted"] >= len(part) / 3, tally
    assert tally["refused"] >= len(part) / 20, tally
    if len(part) == budget.A_PART:
        rare = {directive for directive in oracle.DIRECTIVES if tally.get(directive, 0) < budget.AT_LEAST}
        assert not rare, (
            f"hardly ever drawn, or nobody means them any more: {[(r, tally.get(r, 0)) for r in sorted(rare)]}"
        )


def test_a_balancer_is_drawn_alike_in_every_process() -> None:
    program = "from fuzz.test_fuzz import balancer, draw_of\nfor number in range(100): print(balancer(draw_of(number)))"
    assert hash_seeds.printed(program).count("\n") == 100


def test_a_balancer_is_drawn_from_the_seed_and_its_number_alone() -> None:
    first = [balancer(draw_of(number)) for number in range(20)]
    random.seed(1)
    assert [balancer(draw_of(number)) for number in reversed(range(20))] == first[::-1]
    assert len({repr(body) for body in first}) == 20


@pytest.mark.parametrize("body", FOUND)
def test_what_was_found_once(body: Body, tmp_path: Path) -> None:
    assert not broken("found", body, Proof(tmp_path))


def test_what_fails_is_shrunk() -> None:
    body = {"listeners": [{"a": 1, "b": [1, 2]}, {"c": "bad", "d": 4}], "pools": []}
    assert shrunk(body, lambda one: any("c" in li for li in one.get("listeners", ()))) == {"listeners": [{"c": "bad"}]}


def test_a_line_too_many_or_too_few_is_found() -> None:
    from fuzz.allowed.tables import Meant, same_lines

    wanted = [Meant("one", ("mode", "http"))]
    for lines in ([], [("mode", "http")] * 2, [("mode", "tcp")]):
        with pytest.raises(Unmeant):
            same_lines(lines, wanted, "here", Counter())


def test_every_format_of_what_is_drawn_can_be_drawn() -> None:
    drawn = [*DRAWN_KINDS, *(a.nested for kind in DRAWN_KINDS for a in inputs(kind).values() if a.nested)]
    facts = [
        a for kind in drawn for a in attributes(kind).values() if a.name not in NOT_DRAWN | STRUCTURE | SORTS.keys()
    ]
    assert {a.format for a in facts if a.format and not a.output} <= FORMATS.keys()


def test_what_is_left_out_is_there() -> None:
    drawn = [*DRAWN_KINDS, *(a.nested for kind in DRAWN_KINDS for a in inputs(kind).values() if a.nested)]
    assert {name for kind in drawn for name in inputs(kind)} >= NOT_DRAWN | STRUCTURE


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
