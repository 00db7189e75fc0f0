# SPDX-License-Identifier: Apache-2.0
"""Events of one reconciler: noted when something is decided, written with what follows from it.

They cost no transaction of their own where the reconciler writes anyway, and they are fenced as its writes are: who has
lost the lease records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import time
from typing import Any, TypeVar

from octavia_provider.model.events import Event, Reason
from octavia_provider.ports import Record, Transaction

T = TypeVar("T")


@dataclass(slots=True)
class EventRecorder:
    """Of one load balancer; ``control_plane`` is who decides."""

    load_balancer_id: str
    control_plane: str
    noted: list[Event] = field(default_factory=list)

    def note(
        self, reason: Reason, message: str, *, amphora_id: str | None = None, of: Record | None = None,
        generation: int | None = None, data: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """An event that the next write takes along. ``of``: the object that it is about, where that is a part."""
        self.noted.append(
            reason.event(
                message,
                load_balancer_id=self.load_balancer_id,
                amphora_id=amphora_id,
                object_kind=of.kind if of else None,
                object_id=of.id if of else None,
                generation=generation,
                control_plane=self.control_plane,
                data=data or {},
                last_at=time(),
            )
        )

    def take(self) -> list[Event]:
        """What is to be written now. ``put_back`` what was not."""
        taken, self.noted = self.noted, []
        return taken

    def put_back(self, taken: list[Event]) -> None:
        """These were not written: the next write takes them along, before what was noted since."""
        self.noted[:0] = taken


def with_events(taken: list[Event], work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """``work``, and before it the events: it may delete what they are about."""

    def recorded(tx: Transaction) -> T:
        for event in taken:
            tx.record(event)
        return work(tx)

    return recorded
