# SPDX-License-Identifier: Apache-2.0
"""Shortages of the amphora itself: memory, processes, descriptors, disk, time. They pass, and blame nothing that is configured."""

from __future__ import annotations

import errno
import os
import re
import resource

ERRNOS = frozenset(
    {
        errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT, errno.EROFS,
        errno.EIO, errno.ETXTBSY,
    }
)  # fmt: skip
"""fork(2), open(2), socket(2), write(2). The last one: a program is being replaced by its package."""
# haproxy's and libc's words for them; the kernel's memory killer ends a process with signal 9, a shell's code 137.
_MESSAGES = re.compile(
    r"out of memory|cannot allocate memory|not enough memory|unable to allocate|failed to allocate|too many open files"
    r"|no space left|resource temporarily unavailable|cannot raise fd limit|cannot fork|no more file descriptors"
    r"|read-only file system|input/output error|disk quota|code 137 \(|code 9 \(",
    re.IGNORECASE,
)
# A complaint of haproxy's own, or an end by a fault in it
_OTHER_CAUSE = re.compile(r"\[ALERT\]|Success=0|code 1(?:34|39) |SIGSEGV|SIGABRT")
# What haproxy's worker has open beside connections, each of which takes two: sockets of its own, logs; and for each thread
# an epoll and a pipe (limits.c, compute_ideal_maxsock). haproxy 3.2 does not start with a descriptor too few.
OWN_DESCRIPTORS = 64 + 4 * (os.cpu_count() or 1)


class Shortage(OSError):
    """Something could not be done for want of time or memory, and may be in a moment."""


def is_shortage(error: BaseException) -> bool:
    """Whether what failed is the machine, for now."""
    return isinstance(error, Shortage) or (isinstance(error, OSError) and error.errno in ERRNOS)


def is_shortage_text(text: str) -> bool:
    """Whether a program complains of one."""
    return bool(_MESSAGES.search(text))


def may_pass(text: str) -> bool:
    """Whether a haproxy that did not come up may come up with the same file: it named a shortage, or nothing at all."""
    return is_shortage_text(text) or not _OTHER_CAUSE.search(text)


def raise_open_files_limit() -> int:
    """Raise our limit of open files as far as we may, for what we start has it too; the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def possible_connections(wanted: int, sockets: int) -> int:
    """As many of the connections wanted as haproxy can have under our limit of open files, with so many sockets beside
    them; 0: none at all."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(0, min(wanted, (limit - OWN_DESCRIPTORS - sockets) // 2))
