# SPDX-License-Identifier: Apache-2.0
"""Who lives in an amphora or a host: its users, on the machine and inside, and what each program of theirs is left with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import confinement, kernel, limits, namespaces, users
from .confinement import Confinement

OWNED = {"net": kernel.CLONE_NEWNET, "uts": kernel.CLONE_NEWUTS, "ipc": kernel.CLONE_NEWIPC}
"""Namespaces of a container. An amphora's belong to its user namespace: its agent is their administrator, and of no others."""


class Inhabitants:
    """Of one container; see ``container_init.main`` for ``order``."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._block = int(order["block"])
        self._is_amphora = order["kind"] == "amphora"
        container = limits.of_a_tenant(order["kind"], order.get("seats", 0))
        self._processes = container["processes"]
        self._limits = limits.of_a_program(container["processes"], container["memory"])
        self._users: int | None = None

    def take(self, folder: str) -> None:
        """A folder of the machine and all that is in it are root's inside; an earlier amphora may have left it."""
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chown(folder, self._block, self._block)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(parent, name), self._block, self._block, follow_symlinks=False)

    def move_in(self) -> None:
        """Enter the container's namespaces but that of its users: we are root of the machine, and nobody inside is."""
        if not self._is_amphora:
            kernel.unshare(sum(OWNED.values()))
            os.chown("/run", self._block, self._block)
            return
        made = self._namespaces((users.mapping(self._block),) * 2, OWNED)
        self._users = made.pop("user")
        for kind, descriptor in made.items():
            kernel.setns(descriptor, OWNED[kind])
            os.close(descriptor)
        os.chown(namespaces.AMPHORA_RUN, self._block, self._block)

    def _namespaces(self, maps: tuple[str, str], kinds: Mapping[str, int]) -> dict[str, int]:
        return users.namespace(self._block, self._processes, maps, kinds)

    def give(self, descriptor: int, to: Confinement | None = None) -> None:
        """An open file is root's inside, or that of the user ``to`` runs as."""
        uid, gid = (to.uid, to.gid) if to else (users.ROOT, users.ROOT)
        os.fchown(descriptor, users.outside(self._block, uid), users.outside(self._block, gid))

    def confine(self, identity: Sequence[Any] | None) -> Confinement:
        """For the agent (None), or for a host's command: (uid, gid, groups) as the machine has them."""
        if identity is None:
            return Confinement(
                uid=users.ROOT, gid=users.ROOT, groups=(users.HAPROXY,), users=self._users,
                capabilities=confinement.AGENT, limits=self._limits, announces=True,
            )  # fmt: skip
        uid, gid, groups = identity
        maps = users.mapping(self._block, [uid]), users.mapping(self._block, [gid, *groups])
        if self._users is not None:
            os.close(self._users)
        self._users = self._namespaces(maps, {})["user"]
        return Confinement(
            uid=uid, gid=gid, groups=groups, users=self._users, limits=self._limits,
            capabilities=confinement.ROOT_OF_A_HOST if uid == users.ROOT else (),
        )  # fmt: skip

    def relay(self) -> Confinement:
        """For the forwarder to the machine, in whose network it is: no user of any namespace, and no capability."""
        return relay(self._block)


def relay(block: int, root: str | None = None) -> Confinement:
    """For a relay, in the root that all of them share."""
    user = users.relay(block)
    return Confinement(
        uid=user, gid=user, root=root, limits=limits.of_a_program(limits.RELAY_PROCESSES, limits.RELAY_MEMORY)
    )
