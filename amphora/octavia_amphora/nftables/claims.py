# SPDX-License-Identifier: Apache-2.0
"""What the load balancers of an amphora have in common in the kernel, beside a table each: forwarding, and what is tracked.

Each claims what it needs, and what one needs no longer goes when no other one needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

from .ruleset import Ruleset


class Claims:
    """Of one amphora; used by threads. ``claim``ed is also what an earlier agent has left in the kernel."""

    def __init__(self) -> None:
        self.routing = asyncio.Lock()
        """Of who changes rules of routing (ip-rule(8)): some are everybody's."""
        self._claimed: dict[str, Ruleset] = {}
        self._lock = threading.RLock()

    def claim(self, ruleset: Ruleset) -> None:
        """This is in force for a load balancer, or about to be."""
        with self._lock:
            self._claimed[ruleset.table] = ruleset

    def forwarding(self, new: Ruleset, old: Ruleset, switch: Callable[[int], None]) -> None:
        """From now on ``new`` is claimed; switch off what nobody needs any more."""
        with self._lock:
            self.claim(new)
            for version in old.forwarded - new.forwarded:
                if not any(version in one.forwarded for one in self._others(new.table)):
                    switch(version)

    @contextlib.contextmanager
    def tracking(self, new: Ruleset) -> Iterator[bool]:
        """Whether other load balancers have connections tracked. Where not, none begins to meanwhile."""
        with self._lock:
            if not (shared := any(one.tracked for one in self._others(new.table))):
                yield shared
                return
        yield shared

    def _others(self, table: str) -> list[Ruleset]:
        return [one for name, one in self._claimed.items() if name != table]
