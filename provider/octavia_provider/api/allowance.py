# SPDX-License-Identifier: Apache-2.0
"""What a project may still make: every create is held against its quota.

Commits are serialised, and a count is taken in the transaction that adds to it: no two creates see the same last place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.attributes import inputs
from octavia_provider.model.errors import Forbidden
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.quota import UNLIMITED, Quota, limit_for
from octavia_provider.ports import Transaction

DEFAULTS = {name: attribute.default for name, attribute in inputs(Quota).items() if name != Quota.KEY}


@dataclass(slots=True)
class Allowance:
    """What a project may still make in this transaction; each kind is counted once."""

    tx: Transaction
    project_id: str
    _limits: dict[str, Any] | None = None
    _left: dict[str, float] = field(default_factory=dict)

    def take(self, kind: str) -> None:
        """One more of a kind; ``Forbidden`` when that is one too many."""
        name = limit_for(kind)
        if name is None:
            return
        if kind not in self._left:
            limit = self._limit(name)
            used = self.tx.count(kind, self.project_id) if limit != UNLIMITED else 0
            self._left[kind] = limit - used if limit != UNLIMITED else float("inf")
        if self._left[kind] < 1:
            raise Forbidden(
                f"Quota has been met for resources: {KINDS[kind].LABEL} (project {self.project_id} may have "
                f"{self._limit(name)})", hint="delete one, or ask an operator for a larger quota",
            )  # fmt: skip
        self._left[kind] -= 1

    def _limit(self, name: str) -> int:
        if self._limits is None:
            quota = self.tx.holding(Quota.KIND, self.project_id)
            self._limits = {**DEFAULTS, **(quota.spec if quota else {})}
        return int(self._limits[name])
