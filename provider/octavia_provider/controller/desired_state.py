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
class DesiredState:
    """The records of one load balancer, by id, in the order of creation; ``generation`` is what has been read.

    ``containers``: the TLS containers that any of them names; they belong to no load balancer.
    """

    scope: Scope
    records: dict[str, Record] = field(default_factory=dict)
    generation: int = -1
    containers: dict[str, Record] = field(default_factory=dict)
    _built: dict[str, tuple[Mapping[str, Any], Resource]] = field(default_factory=dict)
    _graph: tuple[frozenset[str], frozenset[str], Graph | None] | None = None

    def read(
        self, scope: Scope, changed: Iterable[Record], container: Callable[[str], Record | None] = lambda _: None
    ) -> None:
        """Take in what changed since ``generation``; ``container`` looks a TLS container up.

        The fence stays that of our own lease, whoever has one now.
        """
        self.scope = replace(scope, fence=self.scope.fence)
        self.generation = scope.generation
        changed = list(changed)
        for record in changed:
            self.records[record.id] = record
            self._graph = None
        for record in changed:
            if record.kind == "l7_rule":
                self._retry(record.spec["l7policy_id"])
        found = {id_: one for id_ in self._container_ids() if (one := container(id_)) is not None}
        if found != self.containers:
            self.containers, self._graph = found, None

    def _retry(self, id_: str) -> None:
        """A policy is refused for what its rules say: once one is changed or deleted it counts as written again."""
        record = self.records.get(id_)
        if record is not None and record.error is not None:
            self.records[id_] = replace(record, generation=self.generation)

    def _container_ids(self) -> set[str]:
        """Those of the accepted forms too: an object that is refused goes back to its."""
        named: set[str] = set()
        for record in self.records.values():
            for name in CONTAINER_REFS.get(record.kind, ()):
                for form in (record.spec, record.accepted or {}):
                    given = form.get(name)
                    named.update([given] if isinstance(given, str) else given or ())
        return named

    def fill(self, record: Record) -> None:
        """Take in what the control plane has chosen for a record."""
        self.records[record.id] = record
        self._graph = None

    def clear(self) -> None:
        """The store has nothing of it any more."""
        self.records.clear()
        self.containers.clear()
        self._built.clear()
        self._graph = None

    @property
    def gone(self) -> bool:
        """The load balancer itself is to go."""
        root = self.records.get(self.scope.id)
        return root is None or root.deleting

    def changed(self) -> dict[str, Record]:
        """What was written since the last settlement and is to stay."""
        return {i: r for i, r in self.records.items() if r.generation > self.scope.applied and not r.deleting}

    def graph(self, refused: Iterable[str] = (), dropped: Iterable[str] = ()) -> Graph | None:
        """The graph to put in force; ``refused`` in their accepted form, ``dropped`` not at all. None: no root.

        The same object is answered until something changes: it is to be read only.
        """
        refused, dropped = frozenset(refused), frozenset(dropped)
        if self._graph is None or self._graph[:2] != (refused, dropped):
            self._graph = (refused, dropped, self._made(refused, dropped))
        return self._graph[2]

    def _made(self, refused: frozenset[str], dropped: frozenset[str]) -> Graph | None:
        graph: Graph | None = None
        later: list[Resource] = []
        for record in self.records.values():
            spec = None if record.deleting or record.id in dropped else self._spec(record, record.id in refused)
            if spec is None:
                continue
            resource = self._resource(record, spec)
            if isinstance(resource, LoadBalancer):
                graph = Graph(resource)
            else:
                later.append(resource)
        if graph is not None:
            for container in self.containers.values():
                graph.add(self._resource(container, container.spec))
            for resource in later:
                if all(id_ in self.containers for _, id_ in container_refs(resource)):
                    graph.add(resource)  # else: an accepted form whose container is gone; it cannot stand
        return graph

    def _spec(self, record: Record, refused: bool) -> Mapping[str, Any] | None:
        if refused or (record.error is not None and record.generation <= self.scope.applied):
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
        for id_, record in list(self.records.items()):
            if record.deleting or record.error is not None or id_ in errors:
                self._graph = None
            if record.deleting and record.generation <= applied:
                del self.records[id_]
                self._built.pop(id_, None)
            elif id_ in accepted or id_ in errors:
                form = accepted.get(id_, record.accepted)
                self.records[id_] = replace(record, accepted=form, error=errors.get(id_))
