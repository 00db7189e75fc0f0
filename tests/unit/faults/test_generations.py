# SPDX-License-Identifier: Apache-2.0
"""A generation that goes back is found."""

from __future__ import annotations

from faults.generations import Seen, backwards, newest

FIRST, SECOND, OTHER = Seen(1.0, "a", 1, 3, 3), Seen(2.0, "a", 1, 4, 4), Seen(3.0, "b", 1, 3, 3)


def test_each_amphora_goes_forward_by_itself() -> None:
    assert backwards([OTHER, SECOND, FIRST]) == []
    assert newest([OTHER, SECOND, FIRST]) == {"a": 4, "b": 3}


def test_what_went_back() -> None:
    older = Seen(4.0, "a", 1, 3, 3)
    assert backwards([FIRST, SECOND, OTHER, older]) == [(SECOND, older)]


def test_an_older_writer_s_push_is_a_step_back_whatever_its_revision() -> None:
    stale = Seen(4.0, "a", 1, 9, 9)
    assert backwards([Seen(1.0, "a", 2, 4, 4), stale]) == [(Seen(1.0, "a", 2, 4, 4), stale)]
