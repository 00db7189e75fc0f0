# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from promise import budget

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed of the balancers that were drawn."""
    if any("test_promise" in report.nodeid for report in terminalreporter.getreports("")):
        terminalreporter.write_line(f"promise: {budget.BALANCERS} balancers drawn with PROMISE_SEED={budget.SEED}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
