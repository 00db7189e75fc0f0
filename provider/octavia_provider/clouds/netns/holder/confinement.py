# SPDX-License-Identifier: Apache-2.0
"""What a program of the cloud may not do, put on between fork and exec: another user, few capabilities, a filter, limits."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import kernel, seccomp

# linux/capability.h
_CAPABILITIES = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "NET_BIND_SERVICE": 10,
    "NET_ADMIN": 12, "NET_RAW": 13, "SYS_CHROOT": 18,
}  # fmt: skip

AGENT = ("DAC_OVERRIDE", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_ADMIN", "NET_RAW")
"""Rules and flows of the amphora's network, ICMP checks, and haproxy's user: to become it, to signal it, to use its sockets. SETPCAP:
to leave keepalived the two for the network alone; it gives none that is not here."""
ROOT_OF_A_HOST = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE", "SYS_CHROOT",
)  # fmt: skip
"""What a server that starts as root uses to become another user. None of it reaches the network or the kernel."""


_NEVER = (9, 14, 15, 16, 17, 20, 22, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""What neither the control plane nor anything in the cloud needs: LINUX_IMMUTABLE, IPC_LOCK, IPC_OWNER, SYS_MODULE, SYS_RAWIO, SYS_PACCT,
SYS_BOOT, SYS_TIME, SYS_TTY_CONFIG, MKNOD, LEASE, AUDIT_*, MAC_*, SYSLOG, WAKE_ALARM, BLOCK_SUSPEND, PERFMON, BPF,
CHECKPOINT_RESTORE."""


def give_up() -> None:
    """For the control plane and the holder, when they begin as root: what they never need, nothing that they start has again."""
    if os.geteuid() != 0:
        return
    for number in _NEVER:
        if number <= _last():
            kernel.prctl(kernel.PR_CAPBSET_DROP, number)
    kernel.capset(kernel.capget() & ~sum(1 << number for number in _NEVER))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _last() -> int:
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Who a program is (``uid``, ``gid``, ``groups``) and what it is left with.

    ``users``: a descriptor of the user namespace in which these numbers hold, None for the machine's. ``root``: the
    folder that is its whole file system, None for that of its mount namespace. ``capabilities``: in its user namespace,
    where it is root there. ``limits``: RLIMIT_* → most (setrlimit(2)). ``announces``: it may say on its network where addresses are.
    """

    uid: int
    gid: int
    groups: Sequence[int] = ()
    users: int | None = None
    root: str | None = None
    capabilities: Sequence[str] = ()
    limits: Mapping[int, int] = field(default_factory=dict)
    announces: bool = False

    def put_on(self) -> None:
        """For this process, which is about to execute. Not to be taken off. OSError, and nothing may be executed."""
        last = _last()
        for limit, most in self.limits.items():
            _limit(limit, most)
        if self.root is not None:
            os.chroot(self.root)
            os.chdir("/")
        if self.users is not None:
            kernel.setns(self.users, kernel.CLONE_NEWUSER)
        kept = [_CAPABILITIES[name] for name in self.capabilities]
        for number in range(last + 1):  # no program that is executed later can have one that is not in the bounding set
            if number not in kept:
                kernel.prctl(kernel.PR_CAPBSET_DROP, number)
        os.setgroups(list(self.groups))
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        kernel.capset(sum(1 << number for number in kept))
        seccomp.install(packets=self.announces)


def _limit(number: int, most: int) -> None:
    """setrlimit(2). More than we have is taken where we may; a limit of descriptors is a haproxy's to use, not a program's."""
    soft, hard = resource.getrlimit(number)
    if hard != resource.RLIM_INFINITY and hard < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(number, (soft, most))
        most = max(hard, resource.getrlimit(number)[1])
    keeps = number == resource.RLIMIT_NOFILE and 0 <= soft < most
    resource.setrlimit(number, (soft if keeps else most, most))
