# SPDX-License-Identifier: Apache-2.0
"""This process among the control planes that share a store: it says that it is alive, and knows who else is.

The store decides who is alive, by its own clock. What is known here is as old as the last time that we said so.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

from octavia_provider.ports import ControlPlane, Transaction


class Membership:
    """``changed`` is set when the others, or where any of them hears the amphorae, are no longer as they were.

    ``as_of`` is the store's time at which that was so. ``news`` is set when there is something new to say of this process.
    """

    def __init__(self, process: ControlPlane) -> None:
        self.process = process
        self.alive: tuple[ControlPlane, ...] = ()
        self.as_of = 0.0
        self.changed, self.news = asyncio.Event(), asyncio.Event()

    @property
    def receivers(self) -> tuple[str, ...]:
        """Where the living hear the amphorae; this process first."""
        own = self.process.heartbeat_receiver
        others = (one.heartbeat_receiver for one in self.alive if one.name != self.process.name)
        return tuple(dict.fromkeys(receiver for receiver in (own, *others) if receiver))

    def share(self, scopes: int) -> int:
        """How many of so many scopes each of the living has, when all have as many."""
        return math.ceil(scopes / max(1, len(self.alive)))

    def hears_at(self, receiver: str | None) -> None:
        """Our own socket for heartbeats is there, or (None) there is none."""
        if receiver != self.process.heartbeat_receiver:
            self.process = replace(self.process, heartbeat_receiver=receiver)
            self.changed.set()
            self.news.set()

    def stay(self, tx: Transaction, seconds: float) -> None:
        """Be alive for so long; learn who else is."""
        self.news.clear()
        tx.put_control_plane(self.process, seconds)
        alive = tuple(replace(one, load_balancers=0) for one in tx.control_planes() if one.alive)
        self.as_of = tx.now()
        if alive != self.alive:
            self.alive = alive
            self.changed.set()

    def leave(self, tx: Transaction) -> None:
        """We end in order."""
        tx.forget_control_plane(self.process.name)
