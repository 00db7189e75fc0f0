# SPDX-License-Identifier: Apache-2.0
"""System calls that Python 3.11 has no function for, and ``ip -batch``. Every failure is an OSError or a Problem."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .problems import Problem

# sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
# sys/mount.h
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2
# sys/prctl.h
PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """setns(2)."""
    _checked(_libc.setns(descriptor, flags), "setns")


def mount(source: str, target: str, filesystem: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    arguments = (
        source.encode(),
        target.encode(),
        filesystem.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _checked(_libc.mount(*arguments), f"mount {target}")


def unmount(target: str) -> None:
    """umount2(2), detaching what is below as well; nothing happens when nothing is mounted there."""
    if _libc.umount2(target.encode(), MNT_DETACH) != 0 and ctypes.get_errno() not in (22, 2):  # EINVAL, ENOENT
        raise OSError(ctypes.get_errno(), f"umount {target}: {os.strerror(ctypes.get_errno())}")


def set_name(name: str) -> None:
    """The name of this process in ``ps`` and ``top`` (15 characters at most)."""
    _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def sysctl(name: str, value: str) -> None:
    """Set a sysctl of this process's network namespace; one that this kernel does not have is left alone."""
    path = Path("/proc/sys", name.replace(".", "/"))
    if path.exists():
        path.write_text(value, encoding="ascii")


def ip(lines: Iterable[str], *, force: bool = False) -> None:
    """Run ``ip -batch -`` in this process's network namespace: all lines in one process.

    The first line that fails is the last one, or with ``force`` the others are done all the same; Problem either way.
    """
    batch = "\n".join(lines)
    try:
        done = subprocess.run(
            ["ip", *(["-force"] if force else []), "-batch", "-"],
            input=f"{batch}\n",
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except FileNotFoundError as error:
        raise Problem("there is no `ip` on this machine", hint="install iproute2") from error
    except subprocess.TimeoutExpired as error:
        raise Problem("`ip -batch` did not end within 10 s", kind="transient") from error
    if done.returncode != 0:
        raise Problem(f"`ip` refused: {' '.join(done.stderr.split())} in: {' | '.join(batch.splitlines())}")
