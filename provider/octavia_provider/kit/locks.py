# SPDX-License-Identifier: Apache-2.0
"""Who holds a lock of flock(2), without asking for it: that would be in the way of who wants it at this moment."""

from __future__ import annotations

import os
from pathlib import Path

LOCKS = Path("/proc/locks")
"""proc_locks(5): ``1: FLOCK  ADVISORY  WRITE 4711 00:2b:1093 0 EOF``; one that waits has ``->`` after its number."""


def holder(file: Path) -> int | None:
    """The process that has locked this file; None where there is none, or it cannot be seen."""
    try:
        wanted, lines = file.stat(), LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        _, kind, _, _, pid, where, *_ = line.split()
        # The device of a lock is not that of stat(2) on every file system: what the process has open tells.
        if kind == "FLOCK" and where.rpartition(":")[2] == str(wanted.st_ino) and _has_open(pid, wanted):
            return int(pid)
    return None


def _has_open(pid: str, wanted: os.stat_result) -> bool:
    try:
        return any(_is(descriptor, wanted) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _is(descriptor: Path, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), wanted)
    except OSError:  # closed meanwhile
        return False
