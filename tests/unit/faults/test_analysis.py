# SPDX-License-Identifier: Apache-2.0
"""What is said of an outage."""

from __future__ import annotations

from faults.analysis import Report, longest_gap, owners, percentile, report
from faults.openloop import Sample


def test_a_gap_is_from_one_answer_to_the_next() -> None:
    samples = [Sample(0.0, 0.1), Sample(1.0, 0.1), Sample(2.0, 5.0, "timeout"), Sample(3.0, 0.5), Sample(4.0, 0.0)]
    assert round(longest_gap(samples), 9) == 2.4
    assert longest_gap([]) == 0.0
    assert longest_gap([Sample(1.0, 2.0, "timeout"), Sample(4.0, 2.0, "timeout")]) == 3.0


def test_an_answer_that_comes_late_ends_no_gap_before_it_comes() -> None:
    """All were answered, all at once, after a second: the gap is that second."""
    samples = [Sample(due / 10, 1.0 - due / 10) for due in range(10)]
    assert longest_gap(samples) == 1.0


def test_what_was_lost_late_sent_again_and_why() -> None:
    samples = [
        Sample(0.0, 9.0, "x"), Sample(1.0, 0.05), Sample(2.0, 0.25, again=True), Sample(3.0, 5.0, "timeout", behind=0.5),
        Sample(4.5, 0.1, "status 503"),
    ]  # fmt: skip
    told = report(samples, since=1.0)
    assert told == Report(
        requests=4, lost=2, gap=2.25, late=1, median=0.25, worst=0.25, errors={"timeout": 1, "status 503": 1},
        outage=1.5, again=1, behind=0.5,
    )  # fmt: skip
    assert told.server_errors == 1
    assert report([]) == Report(requests=0, lost=0, gap=0.0, late=0, median=0.0, worst=0.0)


def test_owners_in_turn() -> None:
    bodies = "aabab"
    samples = [Sample(float(due), 0.1, body=body) for due, body in enumerate(bodies)]
    samples.append(Sample(1.5, 0.2, "timeout"))
    assert owners(reversed(samples)) == [("a", 0.0, 1.0), ("b", 2.0, 2.0), ("a", 3.0, 3.0), ("b", 4.0, 4.0)]


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(30)]
    assert percentile(values, 0.5) == 14.0
    assert percentile(values, 0.99) == 29.0
    assert percentile([3.0], 0.99) == 3.0
