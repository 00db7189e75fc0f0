# SPDX-License-Identifier: Apache-2.0
"""Processes of the machine, as ``proc(5)`` tells of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


def all_processes() -> list[int]:
    """Every process id of the machine."""
    return sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def command(pid: int) -> list[str]:
    """The command line; one empty word when there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1] or [""]
    return [""]


def parent(pid: int) -> int:
    """0 when the process is gone, or nothing but a zombie."""
    with contextlib.suppress(OSError):
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        return int(parent) if state != "Z" else 0
    return 0


def agents_among(pids: Iterable[int]) -> list[int]:
    """Those that are agents. What an agent starts is called as the agent is for a moment, until it is another program."""
    found = [pid for pid in pids if "octavia_amphora.main" in command(pid)]
    return [pid for pid in found if parent(pid) not in found]


def session(pid: int) -> int:
    """The id of its session; 0 when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid)
    return 0


def started(pid: int) -> int:
    """When it was started, in ticks since the machine was; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0
