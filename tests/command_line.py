# SPDX-License-Identifier: Apache-2.0
"""octaviactl within the test's process: the same entry, words and exit codes as in a process of its own, in milliseconds."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from unittest import mock

from octavia_provider.cli import main
from octavia_provider.kit import logs


def octaviactl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it; standard output and error are captured."""
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with (
        mock.patch.object(sys, "argv", ["octaviactl", *arguments]),
        mock.patch.dict("os.environ", environment),
        mock.patch.object(logs, "_silenced", new=False),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main.main()
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(list(arguments), int(code or 0), out.getvalue(), err.getvalue())
