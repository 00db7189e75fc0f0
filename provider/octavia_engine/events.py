# SPDX-License-Identifier: Apache-2.0
"""Events of a run, and the protocol of displays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from octavia_engine import urns
from octavia_engine.provider import Diff
from octavia_engine.state import ResourceState
from octavia_engine.values import Props

DEBUG, INFO, WARNING, ERROR = "debug", "info", "warning", "error"
SAME = "same"
_UNCOUNTED = ("create-replacement", "delete-replaced", "refresh")


@dataclass(frozen=True)
class Step:
    """One step. ``op`` is Pulumi's name for it: same, create, update, delete, replace, create-replacement, …"""

    op: str
    urn: str
    old: ResourceState | None = None
    new: ResourceState | None = None
    diff: Diff | None = None

    @property
    def state(self) -> ResourceState:
        """The newer of the two states."""
        found = self.new or self.old
        if found is None:
            raise ValueError(f"{self.op} of {self.urn} has neither an old nor a new state")
        return found

    @property
    def type(self) -> str:
        """The resource's type."""
        return self.state.type

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return urns.name_of(self.urn)

    @property
    def hidden(self) -> bool:
        """Whether it is a default provider, which is not displayed."""
        return is_default_provider(self.urn)

    @property
    def retained(self) -> bool:
        """Whether only the state is deleted and the object is retained."""
        return self.op in ("delete", "delete-replaced") and self.state.retain_on_delete

    @property
    def counted(self) -> bool:
        """Whether the step counts: a replacement counts once, a refresh by its result."""
        return not self.hidden and self.op not in _UNCOUNTED


def is_default_provider(urn: str) -> bool:
    """Whether the engine itself made that provider."""
    name = urns.name_of(urn)
    return urns.is_provider(urns.type_of(urn)) and (name == "default" or name.startswith("default_"))


@dataclass
class Summary:
    """How a run ended. ``changes`` counts steps by their name; ``seconds`` is wall time."""

    changes: Counter[str] = field(default_factory=Counter)
    retained: int = 0
    """How many of the deleted ones were only removed from the state."""
    errors: int = 0
    seconds: float = 0.0
    outputs: Props = field(default_factory=dict)
    old_outputs: Props = field(default_factory=dict)
    cancelled: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was, or would be, changed."""
        return any(count for op, count in self.changes.items() if op not in (SAME, "read"))


class Display(Protocol):
    """Shows a run; called from the run's event loop only."""

    def begin(self, kind: str, stack: str, *, preview: bool) -> None:
        """The run starts: kind is update, destroy or refresh."""

    def started(self, step: Step) -> None:
        """A step starts."""

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """A step ended; ``error`` is set on failure (which is also a diagnostic)."""

    def status(self, urn: str, message: str) -> None:
        """The status column of a resource."""

    def diagnostic(self, severity: str, urn: str, message: str) -> None:
        """A message: debug, info, info#err, warning or error. ``urn`` may be empty."""

    def end(self, summary: Summary) -> None:
        """The run is over."""
