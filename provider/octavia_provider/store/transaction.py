# SPDX-License-Identifier: Apache-2.0
"""One transaction of the store: objects, their generations, and how they settle. See ``ports.Transaction``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from octavia_provider.model.errors import Conflict, NotFound
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS
from octavia_provider.ports import Owner, Record, Scope, Settlement

from . import rows, statements
from .coordination import Coordination
from .events import EventLog
from .tables import OBJECTS, REFERENCES, SCOPES

CHUNK = 500  # ids in one statement: databases limit how many parameters it may have
# None of what is in a load balancer has a secret of its own: those are other kinds'
_NO_SECRETS = not {*BALANCER_KINDS} & {*rows.SECRET_KINDS}


class SqlTransaction(Coordination, EventLog):
    """The transaction that ``read`` and ``write`` hand out. ``touched``: the scopes whose watchers are to be woken."""

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    def get(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """The object, also while it is being deleted."""
        if (known := self._records.get(id)) is not None:
            return known if known.kind == kind else None
        row = self._db.execute(statements.OF_KIND, {"which": id, "of_kind": kind}).first()
        if row is None:
            return None
        found = self._records[id] = rows.record(row, self._cipher)
        return found

    def look_up(self, ids: Iterable[str]) -> None:
        """Read these objects together, for ``get``."""
        for chunk in _chunks(list(ids)):
            for row in self._db.execute(statements.AMONG, {"ids": chunk}):
                self._records[row.id] = rows.record(row, self._cipher)

    def find(
        self, kind: str | None = None, *, scope_id: str | None = None, parent: tuple[str, str] | None = None,
        owner: Owner | None = None, references: tuple[str, str] | None = None, since: int | None = None,
    ) -> list[Record]:  # fmt: skip
        """Objects in the order of creation; what is asked for together must all hold."""
        attribute, parent_id = parent or (None, None)
        target_kind, target_id = references or (None, None)
        asked = {
            "of_kind": kind, "of_scope": scope_id, "since": since, "urn": owner.urn if owner else None,
            "provider": owner.provider if owner else None, "attribute": attribute, "parent": parent_id,
            "target_kind": target_kind, "target": target_id,
        }  # fmt: skip
        asked = {name: value for name, value in asked.items() if value is not None}
        found = self._db.execute(statements.finding(frozenset(asked)), asked)
        return [rows.record(row, self._cipher) for row in found]

    def ids(self, kind: str, parent: tuple[str, str] | None = None) -> list[str]:
        """The ids of what ``find(kind, parent=parent)`` answers."""
        if parent is None:
            return list(self._db.execute(statements.IDS, {"of_kind": kind}).scalars())
        attribute, parent_id = parent
        asked = {"of_kind": kind, "attribute": attribute, "parent": parent_id}
        return list(self._db.execute(statements.CHILDREN, asked).scalars())

    def values(
        self, kind: str, names: Mapping[str, type], parent: tuple[str, str] | None = None
    ) -> Sequence[Sequence[Any]]:
        """The ids of what ``find(kind, parent=parent)`` answers, each with these attributes."""
        attribute, parent_id = parent or ("", "")
        asked = {"of_kind": kind, **({"attribute": attribute, "parent": parent_id} if parent else {})}
        return self._db.execute(statements.valued(tuple(names.items()), parent is not None), asked).all()

    def holding(self, kind: str, key: str) -> Record | None:
        """The object that has this unique value."""
        row = self._db.execute(statements.HOLDING, {"of_kind": kind, "key": key}).first()
        return rows.record(row, self._cipher) if row else None

    def count(self, kind: str, project_id: str) -> int:
        """How many objects of a kind a project has, without those being deleted."""
        query = select(func.count()).where(
            OBJECTS.c.kind == kind, OBJECTS.c.project_id == project_id, ~OBJECTS.c.deleting
        )
        return int(self._db.execute(query).scalar_one())

    @contextmanager
    def exchanging(self, ids: Iterable[str]) -> Iterator[None]:
        """Inside, these objects hold no unique value; at the end each has the one that its spec says."""
        wanted = list(ids)
        for chunk in _chunks(wanted):
            self._db.execute(update(OBJECTS).where(OBJECTS.c.id.in_(chunk)).values(unique_key=None))
        self._records.clear()
        self._exchanging = True
        yield
        self._exchanging = False
        self._records.clear()
        for chunk in _chunks(wanted):
            for row in self._db.execute(select(OBJECTS).where(OBJECTS.c.id.in_(chunk), ~OBJECTS.c.deleting)).all():
                key = rows.unique_key(row.kind, row.spec)
                self._write_unique(row.kind, row.id, row.spec, {"unique_key": key, "which": row.id})

    def insert(self, record: Record) -> Record:
        """Add an object, and its scope when it is the root of one."""
        generation = self._new_scope(record) if record.id == record.scope_id else self.touch(record.scope_id)
        made = _made(record, generation, rows.now())
        try:
            with self._db.begin_nested():
                self._db.execute(insert(OBJECTS), rows.columns(made, self._cipher))
        except IntegrityError:
            raise self._collision(made.kind, made.id, made.spec) from None
        self._refer(made)
        self._records[made.id] = made
        return made

    def insert_all(self, records: Sequence[Record]) -> bool:
        """Add objects that are no roots; False, and none is added, where one of them collides."""
        now = rows.now()
        made = [_made(record, self.touch(record.scope_id), now) for record in records]
        named = [row for record in made for row in _named(record)]
        try:
            with self._db.begin_nested():
                if made:
                    self._db.execute(insert(OBJECTS), [rows.columns(record, self._cipher) for record in made])
                if named:
                    self._db.execute(insert(REFERENCES), named)
        except IntegrityError:
            return False
        return True

    def update(self, id: str, spec: Mapping[str, Any]) -> Record:  # noqa: A002
        """Write a new spec, raising the generation; an object that is being deleted cannot come back."""
        before = self._living(id)
        changed = dataclasses.replace(
            before,
            spec=rows.plain(spec),
            generation=self.touch(before.scope_id),
            error=None,
            updated_at=rows.now(),
        )
        self._rewrite(before, changed)
        return changed

    def fill(self, id: str, spec: Mapping[str, Any]) -> None:  # noqa: A002
        """Write what was chosen for an object; nothing was asked anew, so its generation stays."""
        before = self._living(id)
        changed = dataclasses.replace(before, spec=rows.plain(spec))
        self.touched.add(before.scope_id)
        self._rewrite(before, changed)

    def mark_deleting(self, ids: Iterable[str]) -> int:
        """Mark objects as being deleted; answers the newest generation raised, 0 when nothing was to be marked."""
        wanted = list(ids)
        self._records.clear()
        scopes: set[str] = set()
        for chunk in _chunks(wanted):
            scopes.update(self._db.execute(statements.SCOPES_OF, {"ids": chunk}).scalars())
        generations = {scope_id: self.touch(scope_id) for scope_id in scopes}
        for scope_id, generation in generations.items():
            for chunk in _chunks(wanted):
                marked = {"ids": chunk, "of_scope": scope_id, "raised": generation, "moment": rows.now()}
                self._db.execute(statements.MARK_DELETING, marked)
        return max(generations.values(), default=0)

    def confirm(self, ids: Iterable[str], provider: str) -> None:
        """An engine keeps these ids: those that this provider made are no leftovers; others' are left as they are.

        The URN does not matter: an alias has given the object another one since.
        """
        self._records.clear()
        for chunk in _chunks(list(ids)):
            self._db.execute(
                update(OBJECTS)
                .where(OBJECTS.c.id.in_(chunk), ~OBJECTS.c.confirmed)
                .where(OBJECTS.c.owner_provider == provider)
                .values(confirmed=True)
            )

    # ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────────
    def scope(self, scope_id: str) -> Scope | None:
        """The scope, None when there is none."""
        if (known := self._scopes.get(scope_id)) is not None:
            return known
        row = self._db.execute(statements.SCOPE, {"which": scope_id}).first()
        return rows.scope(row) if row else None

    def scopes(self) -> list[Scope]:
        """All scopes."""
        return [rows.scope(row) for row in self._db.execute(statements.ALL_SCOPES)]

    def touch(self, scope_id: str) -> int:
        """Raise the generation, once in a transaction: what is written together is settled together. Returns it."""
        if scope_id in self._raised:
            return self._raised[scope_id]
        row = self._db.execute(statements.TOUCH, {"which": scope_id}).first()
        if row is None:
            raise NotFound("does not exist", subject=scope_id)
        self.touched.add(scope_id)
        self._scopes[scope_id] = rows.scope(row)
        self._raised[scope_id] = row.generation
        return self._raised[scope_id]

    def settle(self, settlement: Settlement) -> list[str]:
        """Write down the outcome of an apply; returns the ids removed. What is settled now was changed now."""
        scope_id, generation = settlement.scope_id, settlement.generation
        self.touched.add(scope_id)
        self._raised.pop(scope_id, None)  # what is written after this is not settled by it
        self._records.clear()
        which = {"which": scope_id, "upto": generation}
        self._db.execute(statements.COMPLETED, {**which, "moment": rows.now()})
        if (row := self._db.execute(statements.APPLIED, which).first()) is not None:
            self._scopes[scope_id] = rows.scope(row)
        self._outcomes(settlement)
        gone = list(self._db.execute(statements.REMOVABLE, which).scalars())
        if scope_id in gone:  # the root: whatever else is in the scope goes with it
            gone = list(self._db.execute(select(OBJECTS.c.id).where(OBJECTS.c.scope_id == scope_id)).scalars())
            self._db.execute(delete(SCOPES).where(SCOPES.c.id == scope_id))
            self._scopes.pop(scope_id, None)
            self.free_addresses(scope_id)
        for chunk in _chunks(gone):
            self._db.execute(statements.REMOVE, {"ids": chunk})
            self._db.execute(statements.FREE_ALL, {"ids": chunk})
        return gone

    # ── how it is done ───────────────────────────────────────────────────────────────────────────────────────────────
    def _new_scope(self, record: Record) -> int:
        first = Scope(id=record.scope_id, kind=record.kind, generation=1)
        try:
            with self._db.begin_nested():
                self._db.execute(insert(SCOPES), dataclasses.asdict(first))
        except IntegrityError:
            raise Conflict("exists already", subject=f"{KINDS[record.kind].LABEL} {record.id}") from None
        self.touched.add(record.scope_id)
        self._scopes[record.scope_id] = first
        return 1

    def _living(self, id_: str) -> Record:
        """The object as it is, which is to be written."""
        known = self._records.get(id_)
        if known is None and (row := self._db.execute(statements.LIVING, {"which": id_}).first()) is not None:
            known = rows.record(row, self._cipher)
        if known is None or known.deleting:
            raise NotFound("does not exist or is being deleted", subject=id_)
        return known

    def _rewrite(self, before: Record, changed: Record) -> None:
        values = {**rows.columns(changed, self._cipher), "which": changed.id}
        if values["unique_key"] == rows.unique_key(before.kind, before.spec) and not self._exchanging:
            self._db.execute(statements.REWRITE, values)  # nothing that could collide, so nothing to go back to
        else:
            self._write_unique(changed.kind, changed.id, changed.spec, values)
        self._refer_anew(before, changed)
        self._records[changed.id] = changed

    def _write_unique(self, kind: str, id_: str, spec: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        try:
            with self._db.begin_nested():
                self._db.execute(statements.REWRITE, values)
        except IntegrityError:
            raise self._collision(kind, id_, spec) from None

    def _refer(self, record: Record) -> None:
        if named := _named(record):
            self._db.execute(insert(REFERENCES), named)

    def _refer_anew(self, before: Record, changed: Record) -> None:
        if _named(before) != _named(changed):
            self._db.execute(delete(REFERENCES).where(REFERENCES.c.object_id == changed.id))
            self._refer(changed)

    def _collision(self, kind: str, id_: str, spec: Mapping[str, Any]) -> Conflict:
        """Why the constraint said no: the other object's name and the property that collides."""
        unique = KINDS[kind].UNIQUE
        subject = f"{KINDS[kind].LABEL} {spec.get('name') or id_}"
        if unique is not None:
            query = select(OBJECTS.c.id, OBJECTS.c.name).where(
                OBJECTS.c.kind == kind, OBJECTS.c.unique_key == unique.key(spec), OBJECTS.c.id != id_
            )
            other = self._db.execute(query).first()
            if other is not None:
                message = unique.message(spec, other.name or other.id)
                return Conflict(message, subject=subject, path=(unique.at,), holder=other.id)
        return Conflict(f"the id {id_} is taken", subject=subject, path=("id",))

    def _outcomes(self, settlement: Settlement) -> None:
        """Accepted forms and errors. An error of a form that was written over meanwhile says nothing any more."""
        forms = self._sealed_forms(settlement)
        told = {"of_scope": settlement.scope_id, "upto": settlement.generation}
        said: list[dict[str, Any]] = [
            {**told, "which": i, "said": settlement.errors.get(i)} for i in {**forms, **settlement.errors}
        ]
        for statement, outcomes in (
            (statements.ACCEPTED, [{**one, "form": forms[one["which"]]} for one in said if one["which"] in forms]),
            (statements.REFUSED, [one for one in said if one["which"] not in forms]),
        ):
            if outcomes:
                self._db.execute(statement, outcomes)

    def _sealed_forms(self, settlement: Settlement) -> Mapping[str, Any]:
        """The accepted forms as they are written: with secrets encrypted."""
        forms = {id_: rows.plain(form) for id_, form in settlement.accepted.items()}
        scope_id = settlement.scope_id
        scope = self.scope(scope_id)
        if _NO_SECRETS and scope is not None and scope.kind == "load_balancer":
            return forms
        secretive = {row.id: row.kind for row in self._db.execute(statements.SECRETIVE, {"which": scope_id})}
        return {
            id_: rows.sealed(secretive[id_], id_, form, self._cipher) if form is not None and id_ in secretive else form
            for id_, form in forms.items()
        }


def _made(record: Record, generation: int, now: str) -> Record:
    """The record as it is written for the first time."""
    return dataclasses.replace(
        record, spec=rows.plain(record.spec), generation=generation, created_at=record.created_at or now
    )


def _named(record: Record) -> list[dict[str, str]]:
    """Rows of ``object_references`` for the object."""
    return list(rows.references(record.kind, record.id, record.spec))


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[i : i + CHUNK] for i in range(0, len(ids), CHUNK))
