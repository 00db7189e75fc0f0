# SPDX-License-Identifier: Apache-2.0
"""Runs ``openstack`` many times in one process, which takes long to start: each line of the input is the words of a command.

It is run by the Python of an environment of its own, which has OpenStack's command line and nothing of ours.
"""

import contextlib
import io
import json
import sys
import traceback
from importlib.metadata import entry_points

from openstackclient import shell


def run(words: list[str]) -> dict[str, object]:
    """What it says, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(words)
        except SystemExit as error:
            code = error.code
        except Exception:  # noqa: BLE001 - a defect of the command is a failure of it
            traceback.print_exc()
            code = 99
    return {"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}


if __name__ == "__main__":
    known = sorted(one.name for one in entry_points(group="openstack.load_balancer.v2"))
    print(json.dumps(known), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
