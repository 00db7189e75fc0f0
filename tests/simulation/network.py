# SPDX-License-Identifier: Apache-2.0
"""Between control planes, the cloud, the store and amphorae: what gets through, when, and how often.

Ends are named: a control plane by its holder, an amphora by its id, ``CLOUD``, ``STORE``. Each direction of a link is cut by itself, so a
partition may be one-way: a request that arrives has its effect, though its answer does not come.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from octavia_provider.model.errors import TransientError, Unreachable

CLOUD, STORE = "cloud", "store"
HEARTBEAT_DELAYS = (0.0, 0.0, 0.5, 2.0, 6.0)
SPREAD = (0.2, 1.0, 1.0, 8.0)
"""What a call takes, as a share of its usual time: calls overtake each other."""
C = TypeVar("C")


class Network:
    """``random``: None: all comes in time and in order."""

    def __init__(self) -> None:
        self.random: Random | None = None
        self.cuts: list[tuple[str, str]] = []
        """(from, to)"""
        self.unanswered: Counter[str] = Counter()
        """Calls that take effect, and whose answer gets lost: how many more, by name."""
        self.repeated = 0
        """Pushes that come a second time, later."""
        self.jumbled = False
        """Heartbeats come late, twice and in another order."""

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.cuts

    def seconds(self, usual: float) -> float:
        return usual * self.random.choice(SPREAD) if self.random else usual

    def deliver(self, datagram: Callable[[], None]) -> None:
        """Now, or in their disorder."""
        if not self.jumbled or self.random is None:
            datagram()
            return
        for _ in range(self.random.choice((1, 1, 2))):
            asyncio.get_running_loop().call_later(self.random.choice(HEARTBEAT_DELAYS), datagram)

    def request(self, name: str, source: str, target: str) -> None:
        if self.cuts and not self.passes(source, target):
            raise _lost(f"{name}: no route to {target}", target)

    def answer(self, name: str, source: str, target: str) -> None:
        """It has had its effect."""
        lost = self.unanswered[name] > 0
        self.unanswered[name] -= lost
        if lost or (self.cuts and not self.passes(source, target)):
            raise _lost(f"{name}: no answer from {source}", source)

    def heal(self) -> None:
        self.cuts.clear()
        self.unanswered.clear()
        self.repeated, self.jumbled = 0, False


def _lost(message: str, end: str) -> Exception:
    return TransientError(message, subject="store") if end == STORE else Unreachable(message)


def answered(who: Callable[..., str]) -> Callable[[type[C]], type[C]]:
    """A class whose public coroutines are calls over the network; ``who`` answers, by the call's arguments."""

    def decorated(cls: type[C]) -> type[C]:
        for name, method in vars(cls).copy().items():
            if not name.startswith("_") and inspect.iscoroutinefunction(method):
                setattr(cls, name, _answered(name, method, who))
        return cls

    return decorated


def _answered(name: str, method: Any, who: Callable[..., str]) -> Any:
    @functools.wraps(method)
    async def called(self: Any, *arguments: Any, **options: Any) -> Any:
        effects = len(self._lifeline.effects)
        result = await method(self, *arguments, **options)
        if len(self._lifeline.effects) > effects:  # else it asked nobody
            self._lifeline.answer(name, who(*arguments))
        return result

    return called
