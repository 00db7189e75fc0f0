# SPDX-License-Identifier: Apache-2.0
"""Users of the machine that nobody else is: each amphora, host and relay has its own, so that none has power over another.

In an amphora and in a host, users have the numbers that programs expect (root is 0), by a user namespace
(user_namespaces(7)): there, root is root of what is inside alone, and an unprivileged user of the machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import os
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import errors, kernel

FIRST = 1_900_000_000
"""Above the users that people, subuid(5) and systemd's containers have; those from 2,147,352,576 on it keeps (UIDS-GIDS)."""
HOMES, CONTAINERS, EACH = 58, 4096, 1024
"""Every home has room for as many containers. Two homes whose paths hash alike share users, and no process and no file."""
SYSTEM = 1000
"""Users below are each container's own; a person's number is the same inside: what runs as her reads what she may read."""
ROOT, HAPROXY, NOBODY = 0, 100, 65534
_NOBODY, _RELAY, _OWNER = SYSTEM, SYSTEM + 1, SYSTEM + 2


class Blocks:
    """Which users of the machine belong to which container."""

    def __init__(self, home: str) -> None:
        number = int.from_bytes(hashlib.blake2s(home.encode(), digest_size=4).digest(), "big") % HOMES
        self._first = FIRST + number * CONTAINERS * EACH
        self._given: dict[str, int] = {}
        self._free: list[int] = []

    def take(self, name: str) -> int:
        """The first user of a container's block; the same for as long as it is not given back."""
        if name not in self._given:
            number = heapq.heappop(self._free) if self._free else len(self._given)
            if number >= CONTAINERS:
                raise errors.Problem(
                    f"there are users for {CONTAINERS} amphorae, hosts and listeners, no more", subject=name
                )
            self._given[name] = number
        return self._first + self._given[name] * EACH

    def give_back(self, name: str) -> None:
        """The container is gone, and all of its processes."""
        if name in self._given:
            heapq.heappush(self._free, self._given.pop(name))


def outside(block: int, inside: int) -> int:
    """The machine's number of a user or group inside."""
    if inside == NOBODY:
        return block + _NOBODY
    return block + inside if inside < SYSTEM else inside


def relay(block: int) -> int:
    """The user, and the group, of a relay; it has no user namespace."""
    return block + _RELAY


def mapping(block: int, people: Iterable[int] = ()) -> str:
    """What ``/proc/PID/uid_map`` and ``gid_map`` are told."""
    own = f"0 {block} {SYSTEM}\n{NOBODY} {block + _NOBODY} 1\n"
    return own + "".join(f"{one} {one} 1\n" for one in sorted(set(people)) if one >= SYSTEM and one != NOBODY)


def namespace(block: int, processes: int, maps: tuple[str, str], kinds: Mapping[str, int]) -> dict[str, int]:
    """Make a user namespace and namespaces that belong to it; descriptors by the names of ``/proc/PID/ns``.

    A process that does nothing else makes them, as a user of the block: with that, ``processes`` is a limit for all
    that is ever in it (getrlimit(2), RLIMIT_NPROC, counts for each user namespace since Linux 5.14).
    """
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.close(done[1])
            resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
            kernel.become(block + _OWNER, keep=kernel.CAP_SYS_ADMIN)
            kernel.unshare(kernel.CLONE_NEWUSER | sum(kinds.values()))
            os.write(ready[1], b".")
            os.read(done[0], 1)
        os._exit(0)
    os.close(ready[1])
    try:
        if not os.read(ready[0], 1):
            hint = "allow user namespaces (sysctl user.max_user_namespaces)"
            raise errors.Problem("this machine lets nobody make a user namespace", hint=hint)
        for name, text in zip(("uid_map", "gid_map"), maps, strict=True):
            Path(f"/proc/{pid}/{name}").write_text(text, encoding="ascii")
        return {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", *kinds)}
    finally:
        for descriptor in (ready[0], *done):
            os.close(descriptor)
        os.waitpid(pid, 0)
