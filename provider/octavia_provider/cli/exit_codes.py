# SPDX-License-Identifier: Apache-2.0
"""The exit codes of ``octaviactl``, for scripts; ``octaviactl --help`` and docs/reference/octaviactl.md list them."""

from __future__ import annotations

from collections.abc import Mapping

OK, FAILED, USAGE, CHANGES, DEGRADED, ERROR, NO_CONTROL_PLANE, NOT_FOUND, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 7, 130

MEANINGS: Mapping[int, str] = {
    OK: "done; `status`: all is well; `doctor`: nothing that is needed is missing",
    FAILED: "failed; the error says why",
    USAGE: "wrong usage or input",
    CHANGES: "`--expect-no-changes`, and there are changes",
    DEGRADED: "`status`: something is degraded, not yet in force or unknown",
    ERROR: "`status`: something is in ERROR",
    NO_CONTROL_PLANE: "the control plane does not run or does not answer, so how things are is unknown",
    NOT_FOUND: "nothing has that name or id",
    INTERRUPTED: "interrupted",
}


def text() -> str:
    """For ``octaviactl --help``: one line per code."""
    return "\n".join(f"  {number:<3}  {meaning}" for number, meaning in MEANINGS.items())
