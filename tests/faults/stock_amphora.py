# SPDX-License-Identifier: Apache-2.0
"""The first process of an amphora as stock Octavia has it: what systemd does there for haproxy and keepalived.

``python stock_amphora.py FOLDER`` begins when there is a line on its standard input: the network is there. Octavia's units:
haproxy has ``Restart=always`` (after 100 ms, systemd's default), a check of its configuration before each start, and
``KillMode=mixed`` (what its master leaves behind is killed); keepalived is not restarted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RESTART_SECONDS = 0.1


def haproxy(folder: str) -> int:
    """Start it, and wait until it serves; the master's process id."""
    configuration = ["-f", f"{folder}/haproxy.cfg"]
    subprocess.run(["haproxy", *configuration, "-c", "-q"], check=True)
    Path(folder, "stats.sock").unlink(missing_ok=True)
    master = subprocess.Popen(["haproxy", "-Ws", *configuration], start_new_session=True).pid
    while not Path(folder, "stats.sock").exists():
        time.sleep(0.01)
    return master


def main(folder: str) -> None:
    """For ever."""
    sys.stdin.readline()
    master = haproxy(folder)
    files = ["-f", f"{folder}/keepalived.conf", "-p", f"{folder}/keepalived.pid", "-r", f"{folder}/vrrp.pid"]
    subprocess.Popen(["keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp", *files])
    while True:
        if os.wait()[0] == master:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(master, signal.SIGKILL)
            time.sleep(RESTART_SECONDS)
            master = haproxy(folder)


if __name__ == "__main__":
    main(sys.argv[1])
