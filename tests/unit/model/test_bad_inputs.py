# SPDX-License-Identifier: Apache-2.0
"""The table of bad inputs is right, and leaves no rule of the model out."""

from __future__ import annotations

import pytest

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.validation import validate
from unit.model.bad_inputs import BAD_INPUTS, FORMATS, GOOD, NESTED, RULES, BadInput


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_inputs_are_good(kind: str) -> None:
    assert validate(KINDS[kind], GOOD[kind]).violations == []


@pytest.mark.parametrize("bad", BAD_INPUTS, ids=str)
def test_a_bad_input_is_refused_at_its_path(bad: BadInput) -> None:
    found = validate(KINDS[bad.kind], bad.values).violations
    assert any(v.path == bad.at and bad.says in v.message for v in found), found


def test_no_rule_is_left_out() -> None:
    broken = {(kind, at[0]) for kind, _, at, _ in RULES} | {("", at[-1]) for _, _, at, _ in RULES}
    rules = [(kind, rule.at) for kind, cls in KINDS.items() for rule in cls.RULES]
    rules += [("", rule.at) for cls in NESTED for rule in cls.RULES]
    assert set(rules) <= broken


def test_no_format_is_left_out() -> None:
    written = {(kind, name) for kind, name, _, _ in FORMATS} | {(kind, at[0]) for kind, _, at, _ in RULES}
    formats = {(kind, name) for kind, cls in KINDS.items() for name, a in inputs(cls).items() if a.format}
    assert formats <= written
