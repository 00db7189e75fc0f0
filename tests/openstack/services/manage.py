# SPDX-License-Identifier: Apache-2.0
"""Runs several commands of one of OpenStack's ``…-manage`` programs: it is imported once, which takes longer than most of its commands, and
forked for each. ``manage.py MODULE COMMANDS``, where COMMANDS is a JSON list of lists of words. Run by the services' own Python."""

import json
import os
import sys
import traceback
from importlib import import_module

if __name__ == "__main__":
    main = import_module(sys.argv[1]).main
    for words in json.loads(sys.argv[2]):
        pid = os.fork()
        if not pid:
            sys.argv, code = [sys.argv[1], *words], 1
            try:
                code = main() or 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else bool(end.code)
            except Exception:  # noqa: BLE001 - told to who reads its standard error
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            sys.exit(f"{words}: exit code {code}")
