# SPDX-License-Identifier: Apache-2.0
"""What differences mean, and what depends on what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_engine import decisions, values
from octavia_engine.provider import NONE, SOME, UNSURE, Diff, PropertyDiff
from octavia_engine.state import ResourceState


def state(name: str, *deps: str, **more: object) -> ResourceState:
    return ResourceState(name, "t", custom=True, dependencies=list(deps), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("diff", "old", "found"),
    [
        (Diff(NONE), state("a"), "same"),
        (Diff(NONE), state("a", init_errors=["x"]), "update"),
        (Diff(SOME), state("a"), "update"),
        (Diff(SOME, replace_keys=["k"]), state("a"), "replace"),
        (Diff(SOME, detailed={"k": PropertyDiff("update-replace")}), state("a"), "replace"),
    ],
)
def test_decisions(diff: Diff, old: ResourceState, found: str) -> None:
    assert decisions.choose_step(diff, old) == found


def test_replace_on_changes_makes_an_update_a_replacement() -> None:
    diff = Diff(SOME, changed_keys=["m"], detailed={"m[0].w": PropertyDiff("update")})
    assert not decisions.resolve_diff(diff, state("a"), {}, ["other"]).replace
    assert decisions.resolve_diff(diff, state("a"), {}, ["m[*].w"]).replace
    assert decisions.resolve_diff(diff, state("a"), {}, ["m"]).replace_keys == ["m"]
    assert not decisions.resolve_diff(Diff(NONE), state("a"), {}, ["m"]).replace


def test_a_provider_that_cannot_say_is_decided_by_the_inputs() -> None:
    old = state("a", inputs={"k": values.secret(1)})
    assert decisions.resolve_diff(Diff(UNSURE), old, {"k": 1}, []).changes == NONE
    assert decisions.resolve_diff(Diff(UNSURE), old, {"k": 2}, []).changes == SOME


def test_inputs_are_unknown_where_they_come_from_what_is_condemned() -> None:
    found = state("b", "a", inputs={"x": 1, "y": 2}, property_dependencies={"x": ["a"], "y": [], "gone": ["a"]})
    assert decisions.inputs_with_unknowns(found, {"a"}) == {"x": values.UNKNOWN, "y": 2}
    assert decisions.inputs_with_unknowns(found, {"z"}) is None


@st.composite
def graphs(draw: st.DrawFn) -> list[ResourceState]:
    """Resources in an order in which everything comes after what it depends on."""
    count = draw(st.integers(1, 12))
    return [
        state(str(i), *map(str, draw(st.sets(st.integers(0, i - 1)) if i else st.just(set())))) for i in range(count)
    ]


@given(graphs())
def test_dependents_are_the_transitive_ones_dependencies_first(states: list[ResourceState]) -> None:
    found = [s.urn for s in decisions.dependents("0", states[1:])]
    reached = {"0"}
    for _ in states:
        reached |= {s.urn for s in states if reached & set(s.dependencies)}
    assert set(found) == reached - {"0"}
    assert found == sorted(found, key=int)
