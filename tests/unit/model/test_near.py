# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from octavia_provider.model.near import did_you_mean

KNOWN = ("dev", "prod", "TCP", "UDP", "HTTP", "ROUND_ROBIN")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("dve", "dev"),
        ("TPC", "TCP"),
        ("UPD", "UDP"),
        ("round-robin", "ROUND_ROBIN"),
        ("prdo", "prod"),
        ("HTPT", "HTTP"),
    ],
)
def test_letters_that_changed_places_are_seen_through(word: str, meant: str) -> None:
    assert did_you_mean(word, KNOWN) == f"; did you mean {meant}?"


@pytest.mark.parametrize("word", ["dev", "SCTP1", "staging", "x" * 1000])
def test_nothing_is_said_where_nothing_is_near(word: str) -> None:
    assert did_you_mean(word, [one for one in KNOWN if one not in {"TCP", "HTTP"}]) == ""
