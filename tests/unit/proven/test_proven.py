# SPDX-License-Identifier: Apache-2.0
"""Every input is proved by a test or is exempt for a reason, and no marker names what does not exist."""

from __future__ import annotations

import input_coverage


def test_every_input_and_every_choice_is_claimed_by_a_test() -> None:
    left = [
        name
        for name in input_coverage.claimable()
        if name not in input_coverage.claims() and name not in input_coverage.EXEMPT
    ]
    assert left == [], f"no test shows what these do; mark one with @pytest.mark.{input_coverage.MARKER}(…)"


def test_no_marker_and_no_exemption_names_what_does_not_exist() -> None:
    known = set(input_coverage.claimable())
    wrong = {name: tests for name, tests in input_coverage.claims().items() if name not in known}
    assert wrong == {}, "no input (where there are choices, or parts: name one of them)"
    assert {*input_coverage.EXEMPT, *input_coverage.REFUSED} <= known


def test_what_is_exempt_is_claimed_by_nobody() -> None:
    assert set(input_coverage.EXEMPT) & set(input_coverage.claims()) == set()


def test_a_test_that_failed_with_some_parameters_failed__one_that_was_skipped_with_some_did_not() -> None:
    assert [input_coverage.result(set(found)) for found in (["passed", "failed", "skipped"], ["passed", "skipped"], ["skipped"])] == [
        "failed", "passed", "skipped",
    ]  # fmt: skip
