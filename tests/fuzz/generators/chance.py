# SPDX-License-Identifier: Apache-2.0
"""The one source of all that is drawn.

Not Hypothesis: it spent 22 ms of the processor on a small balancer (this takes 1 ms), and what it draws depends on which
modules are loaded, as it looks for constants in them. Shrinking is done on the body (``shrink``), which is plain data.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw(random.Random):
    """Random choices, the same for the same seed. ``lax``: what rules refuse stays in some objects; ``families``: the IP
    versions that addresses have."""

    lax = False
    families: Sequence[int] = (4, 6)

    def happens(self, percent: float) -> bool:
        """True in so many of a hundred cases."""
        return self.random() * 100 < percent

    def text(self, alphabet: str, low: int, high: int, prefix: str = "") -> str:
        """A string of these characters; a short one in most cases."""
        length = self.randint(low, high if self.happens(20) else max(low, min(high, 12)))
        return prefix + "".join(self.choices(alphabet, k=length))

    def some(self, one: Callable[[Draw], T], most: int) -> list[T]:
        """A list of so many at most."""
        return [one(self) for _ in range(self.randint(0, most))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """One of the keys, by weight."""
        return self.choices(list(weights), weights=list(weights.values()))[0]

    def characters(self, most: int, *, control: bool) -> str:
        """A string of any characters but surrogates: about half of it ASCII."""
        return "".join(self._character(control) for _ in range(self.randint(0, most)))

    def _character(self, control: bool) -> str:
        if control and self.happens(15):
            return chr(self.choice((*range(32), 127, 0x85, 0x2028)))
        if self.happens(60):
            return chr(self.randint(32, 126))
        code = self.randint(0xA0, 0x3FF) if self.happens(50) else self.randint(0x400, 0x10FFFF)
        return chr(code) if not 0xD800 <= code <= 0xDFFF else "\ufffd"
