# SPDX-License-Identifier: Apache-2.0
"""Ownership and mode of a home directory: it holds keys and passwords."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from . import paths

GROUP_AND_OTHERS = 0o077
_WRITABLE = 0o022


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a folder cannot be a home, and what to do about it."""

    message: str
    hint: str


def problem(home: Path) -> Problem | None:
    """What is wrong with the home, if anything. An existing home or an empty folder that others may only read gets mode
    0700 (as PostgreSQL's initdb does); any other folder, or one that others may write to, is left alone."""
    try:
        found = home.stat()
    except OSError:
        return None  # it does not exist yet, or its user will report the error
    if not stat.S_ISDIR(found.st_mode):
        return None
    if found.st_uid != os.geteuid():
        return _foreign_owner(home, found.st_uid)
    mode = stat.S_IMODE(found.st_mode)
    if mode & GROUP_AND_OTHERS and not _close_to_others(home, mode):
        what = "write into" if mode & _WRITABLE else "read"
        hint = f"chmod 700 {home}, where it is meant to be the home; else another OCTAVIA_HOME"
        return Problem(f"is a folder that others may {what} (mode {mode:04o}), and a home holds keys", hint)
    for path in (paths.key_file(home), paths.database(home)):
        if (wrong := _file(path)) is not None:
            return wrong
    return None


def is_disk_full(home: Path) -> bool:
    """Whether its disk is full: no blocks or no inodes."""
    disk = os.statvfs(home)
    return disk.f_bavail == 0 or (disk.f_files > 0 and disk.f_favail == 0)


def _close_to_others(home: Path, mode: int) -> bool:
    """Remove access for others; return whether that was possible."""
    empty = not any(home.iterdir())
    is_home = paths.database(home).exists() and paths.key_file(home).exists() and not mode & _WRITABLE
    if mode & stat.S_ISVTX or not (empty or is_home):
        return False
    home.chmod(mode & ~GROUP_AND_OTHERS)
    return True


def _file(path: Path) -> Problem | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    if found.st_uid != os.geteuid():
        return _foreign_owner(path, found.st_uid)
    return None


def _foreign_owner(path: Path, uid: int) -> Problem:
    name = user_name(uid)
    hint = f"run it as {name}, take an OCTAVIA_HOME of your own, or, where it is yours: chown -R {user_name(os.geteuid())} {path}"
    return Problem(f"{path.name} belongs to {name}, and you are {user_name(os.geteuid())}", hint)


def user_name(uid: int) -> str:
    """The name of a user, or the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"
