# SPDX-License-Identifier: Apache-2.0
"""The part of a transaction that records events and reads them.

Write transactions are serial on every database, so a later event has a higher sequence, and nobody who has read up to one
misses an earlier one. The newest event is never trimmed: no sequence is given out twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from octavia_provider.model.events import Event, EventFilter
from octavia_provider.ports import EVENTS_CHANGED

from .rows import plain
from .tables import EVENTS, OBJECTS, SCOPES

_LATER = EVENTS.alias("later")
_NEXT = select(func.coalesce(func.max(_LATER.c.sequence), 0) + 1).scalar_subquery()
_CHANGE = EVENTS.alias("change")
_LAST_CHANGE = select(func.coalesce(func.max(_CHANGE.c.sequence), 0)).where(_CHANGE.c.fold_key == bindparam("changes"))
_EQUAL = (
    select(func.max(_LATER.c.id))
    .where(_LATER.c.fold_key == bindparam("equal"), _LATER.c.first_at > bindparam("since"))
    .where(_LATER.c.sequence > _LAST_CHANGE.scalar_subquery())
    .scalar_subquery()
)
_NAME, _PROJECT = (
    select(column).where(OBJECTS.c.id == bindparam("root")).scalar_subquery()
    for column in (OBJECTS.c.name, OBJECTS.c.project_id)
)
_GENERATION = select(SCOPES.c.generation).where(SCOPES.c.id == bindparam("root")).scalar_subquery()
# Each is one statement, built once: to record what happens again costs one, anything else two.
_FOLD = (
    update(EVENTS)
    .where(EVENTS.c.id == _EQUAL)
    .values(sequence=_NEXT, count=EVENTS.c.count + 1, generation=func.coalesce(bindparam("of_generation"), _GENERATION))
)
_INSERT = insert(EVENTS).values(
    id=_NEXT,
    sequence=_NEXT,
    load_balancer_name=_NAME,
    project_id=func.coalesce(bindparam("of_project"), _PROJECT),
    generation=func.coalesce(bindparam("of_generation"), _GENERATION),
)
_SAID = ("reason", "severity", "message", "load_balancer_id", "object_kind", "object_id", "amphora_id")
_NEWEST = select(func.coalesce(func.max(EVENTS.c.sequence), 0))


class EventLog:
    """Methods of ``SqlTransaction``."""

    _db: Connection
    _event_clock: Callable[[], float]
    touched: set[str]

    def record(self, event: Event, *, ago: float = 0.0) -> None:
        """Write an event down, or count it where an equal one is there and nothing has changed its load balancer's state since.

        Those that change a state have the load balancer's own fold key, by which the last of them is found.
        """
        at, key, changes = self._event_clock() - ago, _key(event), _digest("changes", event.load_balancer_id)
        facts = {"root": event.load_balancer_id, "of_generation": event.generation}
        latest = {"last_at": at, "control_plane": (event.control_plane or "")[:255] or None, "data": plain(event.data)}
        self.touched.add(EVENTS_CHANGED)
        if event.fold_seconds:
            equal = {"equal": key, "since": at - event.fold_seconds, "changes": changes}
            if self._db.execute(_FOLD, {**facts, **latest, **equal}).rowcount:
                return
        said = {name: getattr(event, name) for name in _SAID}
        first = {
            "fold_key": key if event.fold_seconds else changes,
            "count": 1,
            "first_at": at,
            "of_project": event.project_id,
        }
        self._db.execute(_INSERT, {**facts, **latest, **said, **first})

    def events(
        self, wanted: EventFilter, *, limit: int, newest: bool = False, before: int | None = None
    ) -> list[Event]:
        """Events in the order of their sequence: the earliest ones, or with ``newest`` the latest ones (``before`` a
        sequence)."""
        query = _where(select(EVENTS), wanted).limit(limit)
        if before is not None:
            query = query.where(EVENTS.c.sequence < before)
        found = self._db.execute(query.order_by(EVENTS.c.sequence.desc() if newest else EVENTS.c.sequence)).all()
        return [_event(row) for row in (reversed(found) if newest else found)]

    def newest_event(self) -> int:
        """The sequence of the newest event; 0 when there is none."""
        return int(self._db.execute(_NEWEST).scalar_one())

    def event_subjects(self) -> list[tuple[str, str]]:
        """Id and name of each load balancer that has events, also of those that are gone."""
        query = select(EVENTS.c.load_balancer_id, EVENTS.c.load_balancer_name).distinct()
        return [(id_, name or "") for id_, name in self._db.execute(query) if id_ is not None]

    def trim_events(self, before: float, keep: int) -> int:
        """Forget events that last came before this time, and of each load balancer all but the latest ``keep``; answers
        how many."""
        row = func.row_number().over(partition_by=EVENTS.c.load_balancer_id, order_by=EVENTS.c.sequence.desc())
        numbered = select(EVENTS.c.id, row.label("number")).subquery()
        surplus = select(numbered.c.id).where(numbered.c.number > keep)
        gone = delete(EVENTS).where(or_(EVENTS.c.last_at < before, EVENTS.c.id.in_(surplus)))
        done = self._db.execute(gone.where(EVENTS.c.sequence < self.newest_event()))
        return done.rowcount


def _key(event: Event) -> str:
    """What equal events have in common."""
    about = (event.load_balancer_id, event.amphora_id, event.object_kind, event.object_id)
    return _digest(*about, event.reason, event.message)


def _digest(*parts: str | None) -> str:
    return hashlib.blake2b("\0".join(part or "" for part in parts).encode(), digest_size=16).hexdigest()


def _where(query: Select[Any], wanted: EventFilter) -> Select[Any]:
    tests: list[ColumnElement[bool]] = []
    if wanted.load_balancer_ids:
        tests.append(EVENTS.c.load_balancer_id.in_(wanted.load_balancer_ids))
    if wanted.object_ids:
        tests.append(EVENTS.c.object_id.in_(wanted.object_ids))
    if wanted.amphora_id is not None:
        tests.append(EVENTS.c.amphora_id == wanted.amphora_id)
    if wanted.project_id is not None:
        tests.append(EVENTS.c.project_id == wanted.project_id)
    if wanted.reasons:
        tests.append(EVENTS.c.reason.in_(wanted.reasons))
    if wanted.since is not None:
        tests.append(EVENTS.c.last_at >= wanted.since)
    return query.where(EVENTS.c.severity.in_(wanted.severities), EVENTS.c.sequence > wanted.after, *tests)


def _event(row: Any) -> Event:
    values = row._asdict()
    del values["fold_key"]
    return Event(**values)
