# SPDX-License-Identifier: Apache-2.0
"""Recording events. Those of a reconciler are noted when something is decided, and written with what follows from it.

They cost no transaction of their own where the reconciler writes anyway, and they are fenced as its writes are: who has
lost the lease records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from octavia_provider.model.errors import OctaviaError
from octavia_provider.model.events import Event, Reason
from octavia_provider.ports import Record, Scope, Store, Transaction

T = TypeVar("T")
log = structlog.get_logger(__name__)


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


@dataclass(frozen=True, slots=True)
class ControlPlaneEvents:
    """Events of the control plane itself, which follow from no write. ``name``: this process, as in leases."""

    store: Store
    name: str

    def event(self, reason: Reason, message: str, scope: Scope | None = None, **data: Any) -> Event:
        """An event, about a scope or none."""
        about = {} if scope is None else {"object_kind": scope.kind, "object_id": scope.id}
        if scope is not None and scope.kind == "load_balancer":
            about = {"load_balancer_id": scope.id}
        return reason.event(message, control_plane=self.name, data=data, **about)

    async def record(self, reason: Reason, message: str, scope: Scope | None = None, **data: Any) -> None:
        """Write it down now. Where that is not possible the log has it: what is recorded goes on all the same."""
        event = self.event(reason, message, scope, **data)
        try:
            await self.store.write(lambda tx: tx.record(event))
        except OctaviaError as error:
            log.warning("event not recorded", event=reason.name, message=message, reason=str(error))
