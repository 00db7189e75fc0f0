# SPDX-License-Identifier: Apache-2.0
"""Recording events. Those of a reconciler are noted when something is decided, and written with what follows from it.

They cost no transaction of their own where the reconciler writes anyway, and they are fenced as its writes are: who has
lost the lease records nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from octavia_provider.model.errors import LeaseLost, OctaviaError
from octavia_provider.model.events import Event, Reason
from octavia_provider.ports import Record, Scope, Store, Transaction

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class EventRecorder:
    """Of one load balancer, or (``scope``) of another root, called ``name``; ``control_plane`` is who decides. ``noted``: what no write
    has taken along yet, and when it was."""

    load_balancer_id: str | None
    control_plane: str
    scope: Scope | None = None
    name: str = ""
    noted: list[tuple[float, Event]] = field(default_factory=list)

    def note(
        self, reason: Reason, message: str, *, amphora_id: str | None = None, of: Record | None = None,
        generation: int | None = None, data: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """An event that the next write takes along. ``of``: the object that it is about, where that is a part; its name is told."""
        name = of.spec.get("name") if of else self.name
        named = {"name": name} if name else {}
        about = of or self.scope
        event = reason.event(
            message,
            load_balancer_id=self.load_balancer_id,
            amphora_id=amphora_id,
            object_kind=about.kind if about else None,
            object_id=about.id if about else None,
            generation=generation,
            control_plane=self.control_plane,
            data={**named, **(data or {})},
        )
        self.noted.append((asyncio.get_running_loop().time(), event))

    @contextmanager
    def taken_along(self, work: Callable[[Transaction], T]) -> Iterator[Callable[[Transaction], T]]:
        """``work``, and before it (it may delete what they are about) the events; a write that fails leaves them noted."""
        taken, self.noted = self.noted, []
        now = asyncio.get_running_loop().time()

        def recorded(tx: Transaction) -> T:
            for at, event in taken:
                tx.record(event, ago=now - at)
            return work(tx)

        try:
            yield recorded
        except LeaseLost:
            raise  # what is decided now is for another one to record
        except Exception:
            self.noted[:0] = taken
            raise


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
        except (OctaviaError, OSError) as error:
            log.warning("event not recorded", about=reason.name, message=message, reason=str(error))
