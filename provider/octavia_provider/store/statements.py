# SPDX-License-Identifier: Apache-2.0
"""What transactions say of objects and scopes, built once: to build such a statement costs more than to run it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, delete, select, update

from . import rows
from .tables import ADDRESSES, OBJECTS, REFERENCES, SCOPES

OBJECT = select(OBJECTS).where(OBJECTS.c.id == bindparam("which"))
OF_KIND = OBJECT.where(OBJECTS.c.kind == bindparam("of_kind"))
HOLDING = select(OBJECTS).where(OBJECTS.c.kind == bindparam("of_kind"), OBJECTS.c.unique_key == bindparam("key"))
LIVING = OBJECT.where(~OBJECTS.c.deleting)
REWRITE = update(OBJECTS).where(OBJECTS.c.id == bindparam("which"))
COMPLETED = (
    update(OBJECTS)
    .where(OBJECTS.c.scope_id == bindparam("which"), OBJECTS.c.generation <= bindparam("upto"))
    .where(OBJECTS.c.generation > select(SCOPES.c.applied).where(SCOPES.c.id == bindparam("which")).scalar_subquery())
    .values(updated_at=bindparam("moment"))
)
TOUCH = (
    update(SCOPES).where(SCOPES.c.id == bindparam("which")).values(generation=SCOPES.c.generation + 1).returning(SCOPES)
)
APPLIED = (
    update(SCOPES)
    .where(SCOPES.c.id == bindparam("which"), SCOPES.c.applied < bindparam("upto"))
    .values(applied=bindparam("upto"))
    .returning(SCOPES)
)
SCOPE = select(SCOPES).where(SCOPES.c.id == bindparam("which"))
ALL_SCOPES = select(SCOPES)
SECRETIVE = select(OBJECTS.c.id, OBJECTS.c.kind).where(
    OBJECTS.c.scope_id == bindparam("which"), OBJECTS.c.kind.in_(rows.SECRET_KINDS)
)
REMOVABLE = (
    select(OBJECTS.c.id)
    .where(OBJECTS.c.scope_id == bindparam("which"), OBJECTS.c.deleting, OBJECTS.c.generation <= bindparam("upto"))
    .order_by(OBJECTS.c.position)
)
_AMONG = OBJECTS.c.id.in_(bindparam("ids", expanding=True))
AMONG = select(OBJECTS).where(_AMONG)
SCOPES_OF = select(OBJECTS.c.scope_id).where(~OBJECTS.c.deleting, _AMONG).distinct()
MARK_DELETING = (
    update(OBJECTS)
    .where(_AMONG, OBJECTS.c.scope_id == bindparam("of_scope"), ~OBJECTS.c.deleting)
    .values(deleting=True, unique_key=None, generation=bindparam("raised"), updated_at=bindparam("moment"))
)
REMOVE = delete(OBJECTS).where(_AMONG)
FREE_ALL = delete(ADDRESSES).where(ADDRESSES.c.holder.in_(bindparam("ids", expanding=True)))
_OF_SCOPE = update(OBJECTS).where(OBJECTS.c.id == bindparam("which"), OBJECTS.c.scope_id == bindparam("of_scope"))
_OUTCOME = case((OBJECTS.c.generation <= bindparam("upto"), bindparam("said")), else_=OBJECTS.c.error)
REFUSED = _OF_SCOPE.values(error=_OUTCOME)
ACCEPTED = _OF_SCOPE.values(error=_OUTCOME, accepted=bindparam("form", type_=OBJECTS.c.accepted.type))


def _child_of(query: Select[Any]) -> Select[Any]:
    return query.join(REFERENCES, REFERENCES.c.object_id == OBJECTS.c.id).where(
        REFERENCES.c.target_id == bindparam("parent"), REFERENCES.c.attribute == bindparam("attribute")
    )


@functools.cache
def finding(asked: frozenset[str]) -> Select[Any]:
    """The statement that finds the objects of which so much is asked for."""
    query = select(OBJECTS).order_by(OBJECTS.c.position)
    for name, test in _ASKED.items():
        if name in asked:
            query = query.where(test)
    return _child_of(query) if "parent" in asked else query


_COLUMNS = ("project_id", "created_at", "updated_at")


@functools.cache
def valued(names: tuple[tuple[str, type], ...], of_parent: bool) -> Select[Any]:
    """The statement that finds some attributes of objects."""
    found = [OBJECTS.c[name] if name in _COLUMNS else _of_spec(name, type_) for name, type_ in names]
    query = IDS.add_columns(*(one.label(f"value_{place}") for place, one in enumerate(found)))
    return _child_of(query) if of_parent else query


def _of_spec(name: str, type_: type) -> ColumnElement[Any]:
    value = OBJECTS.c.spec[name]
    found: ColumnElement[Any] = (
        value.as_boolean() if type_ is bool else value.as_integer() if type_ is int else value.as_string()
    )
    return found


IDS = select(OBJECTS.c.id).where(OBJECTS.c.kind == bindparam("of_kind")).order_by(OBJECTS.c.position)
CHILDREN = _child_of(IDS)
_NAMED_OBJECTS = select(REFERENCES.c.object_id).where(
    REFERENCES.c.target_id == bindparam("target"), REFERENCES.c.target_kind == bindparam("target_kind")
)
_ASKED: Mapping[str, ColumnElement[bool]] = {
    "of_kind": OBJECTS.c.kind == bindparam("of_kind"),
    "of_scope": OBJECTS.c.scope_id == bindparam("of_scope"),
    "since": OBJECTS.c.generation > bindparam("since"),
    "urn": OBJECTS.c.owner_urn == bindparam("urn"),
    "provider": OBJECTS.c.owner_provider == bindparam("provider"),
    "target": OBJECTS.c.id.in_(_NAMED_OBJECTS),
}
