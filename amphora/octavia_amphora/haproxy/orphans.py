# SPDX-License-Identifier: Apache-2.0
"""Finding haproxy's processes in /proc, when none of their sockets can be asked.

An agent that is killed just after it has started haproxy leaves one behind that has no socket yet. Two of them would
share the ports (SO_REUSEPORT) and nobody would notice.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
GONE_SECONDS = 2.0


def find(config: Path, option: bytes = b"-S") -> set[int]:
    """Masters and workers that were started with this file, in this mount namespace. ``option``: what their command line has too.

    Another amphora on the same machine may have the same path: it is another file there.
    """
    mine = _namespace("self")
    found = set()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if option in words and os.fsencode(config) in words and _namespace(entry.name) == mine:
                found.add(int(entry.name))
    return found


def kill(pids: Iterable[int]) -> None:
    """End them at once, and return when they have.

    All are stopped first: keepalived's child is told of its parent's end (SIGTERM), and would take addresses off.
    """
    ending = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            ending.append(os.pidfd_open(pid))
            os.kill(pid, signal.SIGSTOP)
    for pidfd in ending:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    for pidfd in ending:
        select.select([pidfd], [], [], GONE_SECONDS)
        os.close(pidfd)


def _namespace(process: str) -> int:
    """The number of its mount namespace. Who may not look runs in a PID namespace where all is ours."""
    try:
        return (_PROC / process / "ns" / "mnt").stat().st_ino
    except PermissionError:
        return _namespace("self")
