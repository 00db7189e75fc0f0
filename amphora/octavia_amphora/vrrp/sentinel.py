# SPDX-License-Identifier: Apache-2.0
"""Who tells keepalived that haproxy has died while no agent is there to do it.

Every process of a haproxy has a lock (flock(2)) from its start on, which the kernel takes from the last of them. A small process
waits for that lock: when it has it, there is no haproxy, and it says so in the file that keepalived reads. It costs no time of
a processor until then.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
from pathlib import Path

from octavia_amphora.haproxy import orphans

log = logging.getLogger("octavia_amphora.vrrp")


class Sentinel:
    """Of one haproxy. ``lock``: the file that it has locked; ``track``: where 1 is written when it is gone."""

    def __init__(self, lock: Path, track: Path) -> None:
        self._lock = lock
        self._track = track
        self._process: subprocess.Popen[bytes] | None = None
        self._waits_for: os.stat_result | None = None

    def start(self) -> None:
        """Wait for the end of the haproxy that runs now, in the place of an earlier one."""
        if self._waits():
            return
        self.stop()
        if not is_locked(self._lock):
            log.warning("haproxy has no lock: should it die without an agent, nobody will tell keepalived")
            return
        command = [
            "setpriv", "--bounding-set=-all", "--inh-caps=-all", "flock", "--exclusive", str(self._lock),
            "sh", "-c", 'echo 1 > "$0"', str(self._track),
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        self._waits_for = self._lock.stat()
        self._process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)

    def _waits(self) -> bool:
        """Whether somebody waits for this haproxy already: each has a lock of its own."""
        if self._process is None or self._waits_for is None or self._process.poll() is not None:
            return False
        try:
            return os.path.samestat(self._lock.stat(), self._waits_for)
        except OSError:
            return False

    def stop(self) -> None:
        """Nobody waits any more, and nothing is written later."""
        if self._process:  # it may be too young to be found by its command line
            self._process.kill()
            self._process.wait()
            self._process = None
        orphans.kill(orphans.find(self._lock, b"--exclusive"))


def is_locked(lock: Path) -> bool:
    """Whether a haproxy has it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False
