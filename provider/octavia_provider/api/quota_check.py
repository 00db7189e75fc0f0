# SPDX-License-Identifier: Apache-2.0
"""What a project may still make: every create is held against its quota.

Commits are serialised, and a count is taken in the transaction that adds to it: no two creates see the same last place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.errors import Forbidden
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.quota import UNLIMITED, Quota, limit_for
from octavia_provider.ports import Transaction

DEFAULTS = {name: attribute.default for name, attribute in inputs(Quota).items() if name != Quota.KEY}


@dataclass(slots=True)
class QuotaCheck:
    """What projects may still make in this transaction; each kind is counted once."""

    tx: Transaction
    _limits: dict[str, dict[str, Any]] = field(default_factory=dict)
    _left: dict[tuple[str, str], float] = field(default_factory=dict)

    def take(self, kind: str, project_id: str) -> None:
        """One more of a kind; ``Forbidden`` when that is one too many."""
        name = limit_for(kind)
        if name is None:
            return
        place, limit = (project_id, kind), self._limit(name, project_id)
        if place not in self._left:
            used = self.tx.count(kind, project_id) if limit != UNLIMITED else 0
            self._left[place] = limit - used if limit != UNLIMITED else float("inf")
        if self._left[place] < 1:
            raise Forbidden(
                f"Quota has been met for resources: {KINDS[kind].LABEL} (project {project_id} may have {limit})",
                hint="delete one, or ask an operator for a larger quota",
            )
        self._left[place] -= 1

    def _limit(self, name: str, project_id: str) -> int:
        if project_id not in self._limits:
            quota = self.tx.holding(Quota.KIND, project_id)
            self._limits[project_id] = {**DEFAULTS, **(quota.spec if quota else {})}
        return int(self._limits[project_id][name])
