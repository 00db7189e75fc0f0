# SPDX-License-Identifier: Apache-2.0
"""Thousands of lives, each drawn from its seed: whatever happens in them, in the end all is as it should be.

The same seed is the same life, in each process. ``SIMULATION_SEEDS=FIRST-LAST`` chooses others, also a single one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from . import group_life, life, steps

FIRST, LAST = (int(number) for number in os.environ.get("SIMULATION_SEEDS", "0-1999").split("-"))
BLOCK = 125
GROUPED_EACH = 60
"""Of so many seeds one is lived with groups too: their moves take longer."""
AGAIN = "SIMULATION_SEEDS={seed}-{seed} .venv/bin/pytest -n 0 tests/simulation/test_seeds.py"


def failure(chosen: steps.Life) -> Exception | None:
    try:
        life.run(chosen)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told of this seed
        return error
    return None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(FIRST, LAST + 1, BLOCK))
def test_whatever_happens_all_is_well_in_the_end(first: int) -> None:
    are_well(range(first, min(first + BLOCK, LAST + 1)), steps.draw)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(FIRST, LAST + 1, GROUPED_EACH * 10))
def test_whatever_happens_to_amphora_groups_all_is_well_in_the_end(first: int) -> None:
    are_well(range(first, min(first + GROUPED_EACH * 10, LAST + 1), GROUPED_EACH), group_life.draw)


def are_well(seeds: Iterable[int], draw: Callable[[int], steps.Life]) -> None:
    for seed in seeds:
        drawn = draw(seed)
        if failure(drawn) is None:
            continue
        fewest = life.shrunk(drawn, lambda chosen: failure(chosen) is not None)
        told = ", ".join(map(str, fewest.steps))
        message = f"seed {seed} fails, and so do {'/'.join(drawn.roles)} with these steps alone: {told}"
        raise AssertionError(f"{message}\nagain: {AGAIN.format(seed=seed)}") from failure(fewest)


def test_each_step_and_crashes_after_each_number_of_effects_are_among_the_seeds() -> None:
    drawn = [step for seed in range(2000) for step in steps.draw(seed).steps]
    assert {step.name for step in drawn} == set(steps.RULES)
    after = Counter(step.numbers[1] for step in drawn if step.name == "crash")
    assert set(after) == set(range(steps.MOST_EFFECTS))


def test_the_same_seed_is_the_same_life() -> None:
    first, again = (life.run(steps.draw(7)) for _ in range(2))
    assert first == again
    assert len(first) > 20


def test_a_life_that_fails_is_shrunk_to_the_steps_that_make_it_fail() -> None:
    fewest = life.shrunk(steps.draw(3), lambda chosen: any(step.name == "listen" for step in chosen.steps))
    assert [step.name for step in fewest.steps] == ["listen"]
