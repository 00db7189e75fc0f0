# SPDX-License-Identifier: Apache-2.0
"""System calls that Python 3.11 has no function for, and ``ip -batch``. Every failure is an OSError or a Problem."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .errors import Problem

# sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
# sys/mount.h
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MNT_DETACH = 0x2
# linux/mount.h, MOUNT_ATTR_*
ATTR_RDONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4
ATTR_NOEXEC = 0x8
# sys/prctl.h
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
# linux/capability.h
CAP_SYS_ADMIN = 21
_VERSION_3 = 0x20080522
# Numbers of system calls that no libc of ours has a function for (asm/unistd.h)
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

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


def mount_setattr(path: str, attributes: int, *, recursive: bool = False) -> None:
    """mount_setattr(2), Linux 5.12: add attributes to a mount, or to it and all that are below."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    result = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, wanted, ctypes.c_size_t(32))
    _checked(result, f"mount_setattr {path}")


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    _checked(_libc.syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()), "pivot_root")


def prctl(option: int, value: int, other: int = 0) -> None:
    """prctl(2)."""
    _checked(
        _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(other), ctypes.c_ulong(0), ctypes.c_ulong(0)), "prctl"
    )


def capset(capabilities: int) -> None:
    """capset(2): these are permitted and effective, and none is inheritable."""
    low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)), "capset")


def capget() -> int:
    """capget(2): the capabilities that are permitted now."""
    data = (ctypes.c_uint32 * 6)()
    _checked(_libc.capget((ctypes.c_uint32 * 2)(_VERSION_3, 0), data), "capget")
    return data[1] | data[4] << 32


def become(uid: int, *, keep: int) -> None:
    """Another user, and a group of that number, for good, with one capability."""
    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups(())
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    capset(1 << keep)


def set_name(name: str) -> None:
    """The name of this process in ``ps`` and ``top`` (15 characters at most)."""
    _libc.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def sysctl(name: str, value: str) -> None:
    """Set a sysctl of this process's network namespace; one that this kernel does not have is left alone."""
    path = Path("/proc/sys", name.replace(".", "/"))
    if path.exists():
        path.write_text(value, encoding="ascii")


def ip(lines: Iterable[str], *, force: bool = False, family: int = 0) -> None:
    """Run ``ip -batch -`` in this process's network namespace: all lines in one process.

    The first line that fails is the last one, or with ``force`` the others are done all the same; Problem either way.
    ``family``: 4 or 6, for rules and their routes, which ``ip`` does not tell by the addresses in them.
    """
    batch = "\n".join(lines)
    try:
        done = subprocess.run(
            ["ip", *([f"-{family}"] if family else []), *(["-force"] if force else []), "-batch", "-"],
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
