# SPDX-License-Identifier: Apache-2.0
"""What a log tells of a failure: where it was, and not what the variables held."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FAIL = """
import structlog, sys
from octavia_provider.kit import logfile, logs
{configure}
password = "hush hush"
try:
    raise ValueError("the cause")
except ValueError:
    structlog.get_logger().exception("failed")
"""


@pytest.mark.parametrize(
    "configure",
    ["logs.to_stderr()", "sys.stderr.isatty = lambda: True; logfile.configure(None)", "logfile.configure(None)"],
)
def test_a_failure_is_logged_without_variables(configure: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAIL.format(configure=configure)], capture_output=True, text=True, check=True
    )
    assert "the cause" in done.stderr
    assert "hush hush" not in done.stderr


def test_what_a_library_says_is_a_line_of_json_too() -> None:
    program = (
        "import logging, structlog; from octavia_provider.kit import logfile; logfile.configure(None);"
        "logging.getLogger('library').warning('said\\n%s', 'so'); structlog.get_logger().warning('ours', n=1)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    theirs, ours = map(json.loads, done.stderr.splitlines())
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("said\nso", "library", "warning")
    assert (ours["event"], ours["n"], ours["level"]) == ("ours", 1, "warning")
    assert theirs["timestamp"] <= ours["timestamp"]
