# SPDX-License-Identifier: Apache-2.0
"""The table at the end: what each fault cost."""

from __future__ import annotations

from pathlib import Path

import pytest

COST = "fault"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.netns)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Fault by fault: the longest gap, lost requests, how many there were."""
    costs = [
        value
        for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed"))
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == COST
    ]
    if costs:
        terminalreporter.section("what each fault cost (an open-loop client, 100 or 200 requests a second)")
        terminalreporter.write_line(f"{'fault':42} {'longest gap':>12} {'lost':>6} {'late':>6} {'of':>6}  errors")
        for fault, gap, lost, late, count, errors in costs:
            words = ", ".join(f"{number} {error}" for error, number in errors.items())
            terminalreporter.write_line(f"{fault:42} {gap:10.2f} s {lost:6} {late:6} {count:6}  {words}")
