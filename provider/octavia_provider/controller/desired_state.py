# SPDX-License-Identifier: Apache-2.0
"""The desired state of one load balancer, kept in step with the store by reading what changed.

A record that was refused stands in its last accepted form, or not at all, until it is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from octavia_provider.model.common import Resource
from octavia_provider.model.graph import Graph, build, container_refs
from octavia_provider.model.kinds import BALANCER_KINDS, KINDS
from octavia_provider.model.load_balancer import LoadBalancer
from octavia_provider.model.metadata import inputs
from octavia_provider.ports import Record, Scope

CONTAINER_REFS: Mapping[str, tuple[str, ...]] = {
    kind: names
    for kind in BALANCER_KINDS
    if (names := tuple(n for n, a in inputs(KINDS[kind]).items() if a.reference == "tls_container"))
}


@dataclass(slots=True)
class _Known:
    """The graph that was made last, for what it was asked for, and the object of each record that stands in it.

    ``written``: the records that were written since; whether each of them is new.
    """

    refused: frozenset[str]
    dropped: frozenset[str]
    graph: Graph | None
    standing: dict[str, Resource]
    written: dict[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class DesiredState:
    """The records of one load balancer, by id, in the order of creation; ``generation`` is what has been read.

    ``containers``: the TLS containers that any of them names; they belong to no load balancer. A change costs what it
    changes: ``_open`` are the records of which a settlement may say something, ``_naming`` those that may name containers.
    """

    scope: Scope
    records: dict[str, Record] = field(default_factory=dict)
    generation: int = -1
    containers: dict[str, Record] = field(default_factory=dict)
    _open: dict[str, None] = field(default_factory=dict)
    _naming: set[str] = field(default_factory=set)
    _built: dict[str, tuple[Mapping[str, Any], Resource]] = field(default_factory=dict)
    _retried: set[str] = field(default_factory=set)
    _known: _Known | None = None

    def read(
        self, scope: Scope, changed: Iterable[Record], container: Callable[[str], Record | None] = lambda _: None
    ) -> None:
        """Take in what changed since ``generation``; ``container`` looks a TLS container up.

        The fence stays that of our own lease, whoever has one now.
        """
        before, self.scope = self.scope, replace(scope, fence=self.scope.fence)
        self.generation = scope.generation
        changed = list(changed)
        if before.applied != scope.applied:  # another form may stand of one with an error
            changed = [*(self.records[id_] for id_ in self._open), *changed]
        for record in changed:
            self._put(record)
        for record in changed:
            if record.kind == "l7_rule":
                self._retry(record.spec["l7policy_id"])
        found = {id_: one for id_ in self._container_ids() if (one := container(id_)) is not None}
        if found != self.containers:
            self.containers, self._known = found, None

    def _put(self, record: Record) -> None:
        if self._known is not None:
            self._known.written.setdefault(record.id, record.id not in self.records)
        self.records[record.id] = record
        if record.deleting or record.error is not None or record.generation > self.scope.applied:
            self._open[record.id] = None
        else:
            self._open.pop(record.id, None)
        if record.kind in CONTAINER_REFS:
            self._naming.add(record.id)

    def _forget(self, id_: str) -> None:
        for known in (self.records, self._built, self._open):
            known.pop(id_, None)
        self._naming.discard(id_)

    def _retry(self, id_: str) -> None:
        """A policy is refused for what its rules say: once one is changed or deleted it counts as written again."""
        record = self.records.get(id_)
        if record is not None and record.error is not None:
            self._put(replace(record, generation=self.generation))

    def retry_errors(self) -> bool:
        """What ended in ERROR counts as written again, until the next settlement; False where nothing did."""
        records = [self.records[id_] for id_ in self._open]
        self._retried = {one.id for one in records if one.error is not None and not one.deleting}
        for id_ in self._retried:
            self._put(self.records[id_])
        return bool(self._retried)

    def _container_ids(self) -> set[str]:
        """Those of the accepted forms too: an object that is refused goes back to its."""
        named: set[str] = set()
        for record in map(self.records.__getitem__, self._naming):
            for name in CONTAINER_REFS[record.kind]:
                for form in (record.spec, record.accepted or {}):
                    given = form.get(name)
                    named.update([given] if isinstance(given, str) else given or ())
        return named

    def fill(self, record: Record) -> None:
        """Take in what the control plane has chosen for a record."""
        self._put(record)

    def clear(self) -> None:
        """The store has nothing of it any more."""
        for known in (self.records, self.containers, self._built, self._open, self._naming, self._retried):
            known.clear()
        self._known = None

    @property
    def gone(self) -> bool:
        """The load balancer itself is to go."""
        root = self.records.get(self.scope.id)
        return root is None or root.deleting

    def changed(self) -> dict[str, Record]:
        """What was written since the last settlement and is to stay."""
        written = (record for record in map(self.records.__getitem__, self._open) if not record.deleting)
        return {record.id: record for record in written if self._counts_as_written(record)}

    def _counts_as_written(self, record: Record) -> bool:
        return record.generation > self.scope.applied or record.id in self._retried

    def graph(self, refused: Iterable[str] = (), dropped: Iterable[str] = ()) -> Graph | None:
        """The graph to put in force; ``refused`` in their accepted form, ``dropped`` not at all. None: no root.

        The same object is answered until something changes: it is to be read only.
        """
        refused, dropped = frozenset(refused), frozenset(dropped)
        known = self._known
        if known is None or (known.refused, known.dropped) != (refused, dropped) or not self._follow(known):
            known = self._known = self._made(refused, dropped)
        return known.graph

    def _made(self, refused: frozenset[str], dropped: frozenset[str]) -> _Known:
        known = _Known(refused, dropped, None, {})
        for record in self.records.values():
            if (resource := self._form(record, known)) is not None:
                known.standing[record.id] = resource
        root = known.standing.get(self.scope.id)
        if isinstance(root, LoadBalancer):
            known.graph = Graph(root)
            for container in self.containers.values():
                known.graph.add(self._resource(container, container.spec))
            for resource in known.standing.values():
                known.graph.add(resource)
        return known

    def _follow(self, known: _Known) -> bool:
        """Bring the graph that is known up to date; False where it has to be made anew, since the order may be another."""
        added: list[Resource] = []
        removed: list[Resource] = []
        for id_, new in known.written.items():
            record, before = self.records.get(id_), known.standing.get(id_)
            after = self._form(record, known) if record is not None else None
            if after is before:
                continue
            if known.graph is None or (before is None and not new) or (after is None and id_ == self.scope.id):
                return False
            if after is None:
                removed.append(known.standing[id_])
            else:
                added.append(after)
        known.written.clear()
        if known.graph is not None and (added or removed):
            known.graph = known.graph.changed(added, removed)
            known.standing.update((one.id, one) for one in added)
            for one in removed:
                del known.standing[one.id]
        return True

    def _form(self, record: Record, known: _Known) -> Resource | None:
        """The object that stands for a record; None where none does."""
        if record.deleting or record.id in known.dropped:
            return None
        spec = self._spec(record, record.id in known.refused)
        if spec is None:
            return None
        resource = self._resource(record, spec)
        if all(id_ in self.containers for _, id_ in container_refs(resource)):
            return resource
        return None  # an accepted form whose container is gone; it cannot stand

    def _spec(self, record: Record, refused: bool) -> Mapping[str, Any] | None:
        if refused or (record.error is not None and not self._counts_as_written(record)):
            return record.accepted
        return record.spec

    def _resource(self, record: Record, spec: Mapping[str, Any]) -> Resource:
        known = self._built.get(record.id)
        if known is not None and known[0] is spec:
            return known[1]
        resource = build(record.kind, spec, id=record.id)
        self._built[record.id] = (spec, resource)
        return resource

    def settled(
        self, applied: int, accepted: Mapping[str, Mapping[str, Any] | None], errors: Mapping[str, str]
    ) -> None:
        """Mirror a settlement that the store has taken, so that nothing need be read again."""
        self.scope = replace(self.scope, applied=applied)
        self._retried = set()
        for id_ in {**self._open, **accepted, **errors}:
            record = self.records.get(id_)
            if record is None:
                continue
            if record.deleting and record.generation <= applied:
                if self._known is not None:
                    self._known.written.setdefault(id_, False)
                self._forget(id_)
            elif id_ in accepted or id_ in errors:
                form = accepted.get(id_, record.accepted)
                self._put(replace(record, accepted=form, error=errors.get(id_)))
            else:
                self._put(record)  # of one with an error another form may stand now
