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
_LONGEST = 1 << 16
"""Of command lines; ours are shorter."""


def find(config: Path, option: bytes = b"-S") -> set[int]:
    """Masters and workers that were started with this file, in this mount namespace. ``option``: what their command line has too.

    Another amphora on the same machine may have the same path: it is another file there.
    """
    path, mine = os.fsencode(config), _namespace("self")
    found = set()
    with os.scandir(_PROC) as entries:  # not pathlib: an amphora of many load balancers has many processes
        names = [entry.name for entry in entries if entry.name.isdigit()]
    for name in names:
        with contextlib.suppress(OSError):  # it ended meanwhile
            line = _command_line(name)
            if path in line and {option, path} <= set(line.split(b"\0")) and _namespace(name) == mine:
                found.add(int(name))
    return found


def _command_line(process: str) -> bytes:
    descriptor = os.open(f"{_PROC}/{process}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)


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
