# SPDX-License-Identifier: Apache-2.0
"""What all tests share."""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import input_coverage
from fuzz import budget

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Who starts the tests in the background of a shell script has them ignore SIGINT, and so would every command that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

RESULTS = Path(__file__).parents[1] / "build" / "input_coverage.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that shows what inputs do carries that into its reports, from where xdist's workers hand it on."""
    for item in items:
        if item.get_closest_marker(input_coverage.MARKER):
            file = item.path.relative_to(input_coverage.TESTS).as_posix()
            item.user_properties.append((input_coverage.MARKER, f"{file}::{item.originalname}"))  # type: ignore[attr-defined]
    items.sort(key=_allowed_seconds, reverse=True)  # what may last long begins first, or its worker is alone in the end


def _allowed_seconds(item: pytest.Item) -> float:
    timeout = item.get_closest_marker("timeout")
    return float(timeout.args[0]) if timeout else 0.0


def keep_results(terminalreporter: pytest.TerminalReporter) -> None:
    """Note in build/input_coverage.json how each such test went; what other runs noted of others stays."""
    outcomes: dict[str, set[str]] = {}
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if not isinstance(report, pytest.TestReport) or (report.when != "call" and report.passed):
            continue
        for name, test in report.user_properties:
            if name == input_coverage.MARKER:
                outcomes.setdefault(test, set()).add(report.outcome)
    if outcomes:
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept |= {test: input_coverage.result(found) for test, found in outcomes.items()}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed of the balancers that were drawn; and what was shown."""
    keep_results(terminalreporter)
    if any("test_fuzz" in report.nodeid for report in terminalreporter.getreports("")):
        terminalreporter.write_line(f"fuzz: {budget.BALANCERS} balancers drawn with FUZZ_SEED={budget.SEED}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
