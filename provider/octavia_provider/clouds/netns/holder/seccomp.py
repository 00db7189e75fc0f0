# SPDX-License-Identifier: Apache-2.0
"""The system calls that nothing behind the walls may make: a seccomp filter (seccomp(2)), made here instruction by instruction.

Debian has the bindings of libseccomp for its own Python alone, so there would be none in a virtual environment. The
list names what container runtimes refuse too: mounts, namespaces, other processes' memory, kernel modules, keys, and
interfaces where most holes of the kernel were found. Sockets are of four families alone; who has to announce addresses (keepalived)
may send packets of its own (AF_PACKET), but not use the options of such sockets, in which the holes were.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator

from . import kernel

# linux/filter.h, linux/bpf_common.h: code, jump if true, jump if false, constant
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _RETURN = 0x20, 0x06
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45
# linux/seccomp.h: struct seccomp_data (nr, arch, instruction pointer, six arguments of 64 bits, little endian here)
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
X32 = 0x40000000
"""Added to numbers by the x32 calls of x86_64, which nobody needs and which would go round the list."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Machine → AUDIT_ARCH_* (linux/audit.h)."""
# system call → its number on x86_64 (asm/unistd_64.h), on aarch64 (asm-generic/unistd.h); None where it has none
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # the file system's shape
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "nfsservctl": (180, 42), "uselib": (134, None),
    # namespaces, names of this one
    "setns": (308, 268), "sethostname": (170, 161), "setdomainname": (171, 162),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "migrate_pages": (256, 238), "move_pages": (279, 239),
    # the kernel itself
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "create_module": (174, None), "get_kernel_syms": (177, None),
    "query_module": (178, None), "lookup_dcookie": (212, 18), "reboot": (169, 142), "syslog": (103, 116),
    "_sysctl": (156, None), "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None), "modify_ldt": (154, None),
    # the machine's clock
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
}  # fmt: skip
_CLONE, _CLONE3, _UNSHARE, _SOCKET = (56, 220), (435, 435), (272, 97), (41, 198)
_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET."""
_NEWTIME = 0x80
"""For unshare alone: to clone it is a part of the signal's number."""
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK."""
_PACKET, _SOL_PACKET = 17, 263
_SETSOCKOPT = (54, 208)
_SECOND_ARGUMENT = _FIRST_ARGUMENT + 8

_PR_SET_SECCOMP, _FILTER_MODE = 22, 2  # sys/prctl.h, linux/seccomp.h


class _Program(ctypes.Structure):
    """linux/filter.h, struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(*, packets: bool = False) -> None:
    """From now on, for this process and all that it starts; nothing that is executed gains privileges (setuid files).

    ``packets``: sockets of AF_PACKET may be opened (by who has CAP_NET_RAW).
    """
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    code = program(os.uname().machine, packets=packets)
    if code:
        given = _Program(len(code) // _INSTRUCTION.size, code)
        kernel.prctl(_PR_SET_SECCOMP, _FILTER_MODE, ctypes.addressof(given))


def program(machine: str, *, packets: bool = False) -> bytes:
    """The filter for this machine, empty for one whose numbers are not known here."""
    if machine not in ARCHITECTURES:
        return b""
    column = tuple(ARCHITECTURES).index(machine)
    return b"".join(_INSTRUCTION.pack(*one) for one in _instructions(ARCHITECTURES[machine], column, packets))


def _instructions(architecture: int, column: int, packets: bool) -> Iterator[tuple[int, int, int, int]]:
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield from _unless(_EQUAL, architecture, _KILL)
    yield _LOAD, 0, 0, _NUMBER
    if architecture == ARCHITECTURES["x86_64"]:
        yield from _if(_AT_LEAST, X32, _ERROR | errno.ENOSYS)
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            yield from _if(_EQUAL, number, _ERROR | errno.EPERM)
    yield from _if(_EQUAL, _CLONE3[column], _ERROR | errno.ENOSYS)  # its flags are in memory; who asks then uses clone
    for number, flags in ((_CLONE[column], _NAMESPACES), (_UNSHARE[column], _NAMESPACES | _NEWTIME)):
        yield _EQUAL, 0, 4, number
        yield _LOAD, 0, 0, _FIRST_ARGUMENT
        yield from _if(_ANY_BIT, flags, _ERROR | errno.EPERM)
        yield _RETURN, 0, 0, _ALLOW
    yield _EQUAL, 0, 4, _SETSOCKOPT[column]
    yield _LOAD, 0, 0, _SECOND_ARGUMENT
    yield from _if(_EQUAL, _SOL_PACKET, _ERROR | errno.EPERM)
    yield _RETURN, 0, 0, _ALLOW
    families = (*_FAMILIES, _PACKET) if packets else _FAMILIES
    yield _EQUAL, 0, 2 * len(families) + 2, _SOCKET[column]
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    for family in families:
        yield from _if(_EQUAL, family, _ALLOW)
    yield _RETURN, 0, 0, _ERROR | errno.EAFNOSUPPORT
    yield _RETURN, 0, 0, _ALLOW


def _if(test: int, value: int, answer: int) -> Iterator[tuple[int, int, int, int]]:
    yield test, 0, 1, value
    yield _RETURN, 0, 0, answer


def _unless(test: int, value: int, answer: int) -> Iterator[tuple[int, int, int, int]]:
    yield test, 1, 0, value
    yield _RETURN, 0, 0, answer
