# SPDX-License-Identifier: Apache-2.0
"""What the store keeps of the certificate authority: one, or while it is rotated two, and how far that has come. Pure.

A rotation has two phases, so that at each moment each side believes what the other one shows. TRUST: agents and control planes
learn to believe both; certificates are still the old one's. ISSUE: certificates are the new one's; both are believed.
Then the old one is forgotten.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["", "trust", "issue"]
PHASES: tuple[Phase, ...] = ("", "trust", "issue")
_HEAD = re.compile(rb"phase: (trust|issue) since (\S+)\n")
_PAIR = re.compile(rb"-----BEGIN (?:EC )?PRIVATE KEY-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AuthorityState:
    """``pairs``: key and certificate (PEM) of the authority, and of the one that replaces it. ``since``: when the phase began."""

    pairs: tuple[bytes, ...]
    phase: Phase = ""
    since: dt.datetime | None = None

    @property
    def signing(self) -> bytes:
        """The pair that signs now."""
        return self.pairs[1] if self.phase == "issue" else self.pairs[0]

    def encode(self) -> bytes:
        """As it is kept. Without a rotation it is key and certificate alone."""
        if not self.phase or self.since is None:
            return self.pairs[0]
        return b"phase: %s since %s\n" % (self.phase.encode(), self.since.isoformat().encode()) + b"".join(self.pairs)

    def begin(self, make: Callable[[], bytes], now: dt.datetime) -> AuthorityState:
        """A rotation begins; one that is under way goes on."""
        return self if self.phase else AuthorityState((self.pairs[0], make()), "trust", now)

    def advance(self, now: dt.datetime) -> AuthorityState:
        """What the phase was for is done everywhere."""
        if self.phase == "trust":
            return AuthorityState(self.pairs, "issue", now)
        return AuthorityState(self.pairs[1:]) if self.phase == "issue" else self


def decode(value: bytes) -> AuthorityState:
    """What is kept. ``ValueError`` where it is nothing of ours."""
    head = _HEAD.match(value)
    pairs = tuple(_PAIR.findall(value))
    if len(pairs) != (2 if head else 1):
        raise ValueError(f"the authority's secret holds {len(pairs)} keys with certificates")
    if head is None:
        return AuthorityState(pairs)
    phase: Phase = "trust" if head[1] == b"trust" else "issue"
    return AuthorityState(pairs, phase, dt.datetime.fromisoformat(head[2].decode()))
