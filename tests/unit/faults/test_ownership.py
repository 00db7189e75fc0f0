# SPDX-License-Identifier: Apache-2.0
"""When a VIP had two owners, or none."""

from __future__ import annotations

from faults.ownership import Change, Overlap, overlaps, owners_at, vacancies

HISTORY = [
    Change(1.0, "a", True), Change(3.0, "b", True), Change(3.5, "a", False), Change(5.0, "b", False),
    Change(6.0, "a", True), Change(7.0, "b", True),
]  # fmt: skip


def test_two_owners__from_when_until_when() -> None:
    both = frozenset({"a", "b"})
    assert overlaps(HISTORY, 9.0) == [Overlap(both, 3.0, 3.5), Overlap(both, 7.0, 9.0)]
    assert overlaps(HISTORY, 9.0)[1].seconds == 2.0
    assert overlaps(HISTORY[:1], 9.0) == []


def test_no_owner__what_was_before_the_first_does_not_count() -> None:
    assert vacancies(HISTORY, 9.0) == [(5.0, 6.0)]
    assert vacancies([], 9.0) == []


def test_the_owners_of_a_moment() -> None:
    assert [owners_at(HISTORY, moment) for moment in (0.0, 1.0, 3.2, 5.5)] == [set(), {"a"}, {"a", "b"}, set()]


def test_what_is_told_twice_changes_nothing() -> None:
    assert overlaps([*HISTORY[:2], Change(3.2, "b", True), *HISTORY[2:3]], 9.0)[0].seconds == 0.5
