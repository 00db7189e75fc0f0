# SPDX-License-Identifier: Apache-2.0
"""Who haproxy runs as: a user that owns nothing but its sockets, and has no capability from its first instruction on.

haproxy binds its ports itself, so the amphora's ``net.ipv4.ip_unprivileged_port_start`` has to be 0.
"""

from __future__ import annotations

import logging
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("octavia_amphora.haproxy")

FALLBACK_USER = "nobody"


@dataclass(frozen=True, slots=True)
class HaproxyUser:
    """Numbers of a user and its group."""

    uid: int
    gid: int

    @classmethod
    def from_name(cls, name: str) -> HaproxyUser | None:
        """Of this user; None for no name: haproxy runs as the agent does. An image without that user has ``nobody``."""
        if not name:
            return None
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            log.warning("this amphora has no user %s: haproxy runs as %s", name, FALLBACK_USER)
            entry = pwd.getpwnam(FALLBACK_USER)
        return cls(entry.pw_uid, entry.pw_gid)

    def share_directory(self, directory: Path, mode: int) -> None:
        """Give a directory of ours to the group; what is made in it later is the group's too (setgid)."""
        os.chown(directory, -1, self.gid)
        directory.chmod(0o2000 | mode)


def popen_options(account: HaproxyUser | None) -> dict[str, Any]:
    """For ``subprocess``: the child becomes that user, with its group alone; a user other than root has no capabilities."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": ()}


def grant_socket(socket: Path, account: HaproxyUser | None) -> None:
    """A socket of ours: who may write to it, besides us."""
    if account is not None:
        os.chown(socket, -1, account.gid)
    socket.chmod(0o600 if account is None else 0o660)
