# SPDX-License-Identifier: Apache-2.0
"""How much of the machine a container may use: limits of its processes, and a control group where there is cgroup v2."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
AMPHORA_PROCESSES = 512 + 64 * (os.cpu_count() or 1)
"""Threads, rather: haproxy has one for each processor, and 50 workers may be finishing their last connections."""
SEAT_PROCESSES = 16 + 2 * (os.cpu_count() or 1)
"""More for each load balancer that shares an amphora: a haproxy and a worker that finishes, a keepalived, who waits for their end."""
SEATS = 128
"""So many at least: how many there may be can be raised while it runs, its limits cannot."""
HOST_PROCESSES = 512
RELAY_PROCESSES = 16
RELAY_MEMORY = 2 << 30
SPARE = 64
"""Processes of the cloud's own in the group, which must start a program again while the container's limit is reached."""
_HOST_MEMORY, _LEAST = 2 << 30, 256 << 20


def of_a_tenant(kind: str, seats: int = 0) -> dict[str, int]:
    """``memory`` and ``processes`` of an amphora, which ``seats`` load balancers may share, or a host."""
    processes = AMPHORA_PROCESSES + seats_of(seats) * SEAT_PROCESSES if kind == "amphora" else HOST_PROCESSES
    return {"memory": memory(kind), "processes": processes}


def seats_of(seats: int) -> int:
    """How many load balancers an amphora has room for that is to have so many."""
    return max(seats, SEATS) if seats else 0


def memory(kind: str) -> int:
    """Bytes: an amphora half of the machine's, a host a quarter and no more than 2 GiB."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(_LEAST, total // 2 if kind == "amphora" else min(_HOST_MEMORY, total // 4))


def descriptors() -> int:
    """What haproxy could raise its limit to as root: as much as the kernel has for one process."""
    return int(Path("/proc/sys/fs/nr_open").read_text(encoding="ascii"))


def of_a_program(processes: int, data: int) -> dict[int, int]:
    """RLIMIT_* → most, for each process. ``data``: bytes that it may write to and shares with nobody."""
    return {
        resource.RLIMIT_NOFILE: descriptors(), resource.RLIMIT_NPROC: processes, resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 8 << 20, resource.RLIMIT_MSGQUEUE: 819_200, resource.RLIMIT_SIGPENDING: 4096,
        resource.RLIMIT_DATA: data,
    }  # fmt: skip


class Groups:
    """The control groups of one home, one for each container; all of it does nothing on a machine without cgroup v2."""

    def __init__(self, home: str, root: Path = CGROUPS) -> None:
        self._root = root
        self._own = _own(home, root)
        self.there = self._make()

    def _make(self) -> bool:
        """Whether memory and processes can be limited by them. A service manager's own groups are not touched."""
        try:
            if not {"memory", "pids"} <= set((self._root / "cgroup.subtree_control").read_text().split()):
                return False
            self._own.mkdir(exist_ok=True)
            (self._own / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:
            return False
        _empty(self._own)
        return True

    def enter(self, name: str, pid: int, *, memory: int, processes: int) -> bool:
        """Put a process, and all that it starts, into a group of that name; whether that worked."""
        group = self._own / name
        try:
            if not self.there:
                return False
            group.mkdir(exist_ok=True)
            (group / "memory.max").write_text(str(memory))
            (group / "pids.max").write_text(str(processes + SPARE))
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def leave(self, name: str) -> None:
        """The group has no process any more."""
        with contextlib.suppress(OSError):
            (self._own / name).rmdir()


def remove(home: str, root: Path = CGROUPS) -> None:
    """The cloud of that home has ended, and with it all that was in its groups."""
    _empty(_own(home, root))
    with contextlib.suppress(OSError):
        _own(home, root).rmdir()


def _own(home: str, root: Path) -> Path:
    return root / f"octavia-{hashlib.blake2s(home.encode(), digest_size=6).hexdigest()}"


def _empty(folder: Path) -> None:
    """Remove the groups in it, which a cloud that was killed has left."""
    with contextlib.suppress(OSError):
        for left in folder.iterdir():
            with contextlib.suppress(OSError):  # a file of the kernel's
                left.rmdir()
