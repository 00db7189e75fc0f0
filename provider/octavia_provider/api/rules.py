# SPDX-License-Identifier: Apache-2.0
"""Rules across objects, asked inside the write transaction: parents, what may go with what, what may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavia_provider.controller import certificate_copies
from octavia_provider.model import graph as graphs
from octavia_provider.model.common import Resource
from octavia_provider.model.errors import Invalid, NotFound, Path, Violation
from octavia_provider.model.health_monitor import HealthMonitor
from octavia_provider.model.kinds import KINDS, LOCAL_KINDS, OPERATOR_KINDS, SHARED_KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.pool import Pool
from octavia_provider.ports import Record, Transaction

ROOTS = frozenset({"load_balancer", *SHARED_KINDS, *OPERATOR_KINDS, *LOCAL_KINDS})
_IN_GRAPH = ("listener", "pool", "health_monitor", "l7_policy")
_CHECKED = (*_IN_GRAPH, "l7_rule")
IMMUTABLE = "cannot be changed once the object is made; make a new object with it and delete this one"


def subject(record: Record) -> str:
    """How messages call an object."""
    return f"{KINDS[record.kind].LABEL} {record.spec.get('name') or key(record)}"


def key(record: Record) -> str:
    """What names an object in a URL: its id, or what stands for one."""
    attribute = KINDS[record.kind].KEY
    return record.id if attribute == "id" else str(record.spec[attribute])


def found(tx: Transaction, kind: str, named: str) -> Record | None:
    """The object that a URL names."""
    return tx.get(kind, named) if KINDS[kind].KEY == "id" else tx.holding(kind, named)


def living(tx: Transaction, kind: str, id_: str) -> Record:
    """The object, ``NotFound`` when there is none or it is being deleted."""
    record = tx.get(kind, id_)
    if record is None:
        raise NotFound(f"{KINDS[kind].LABEL} {id_} does not exist in this control plane")
    if record.deleting:
        raise NotFound("is being deleted", subject=subject(record))
    return record


def parent(tx: Transaction, kind: str, id_: str, path: Path) -> Record:
    """The object that a property names; a violation of that property when it is not there."""
    record = tx.get(kind, id_)
    if record is None or record.deleting:
        state = "is being deleted" if record else "does not exist"
        raise Invalid([Violation(path, f"{KINDS[kind].LABEL} {id_} {state}")])
    return record


def users(tx: Transaction, kind: str, id_: str) -> list[Record]:
    """The objects that name this one."""
    return [record for record in tx.find(references=(kind, id_)) if not record.deleting]


class Rules:
    """Remembers the graphs of one transaction, so that a load balancer made with a hundred objects reads none twice.

    Graphs that are read hold no members but those that a rule asks for: writing one must not read the others.
    """

    def __init__(self, tx: Transaction, *, by_project: bool = False) -> None:
        self._tx = tx
        self._by_project = by_project
        self._graphs: dict[str, graphs.Graph] = {}
        self._policies: set[str] = set()
        self._called: dict[str, bool] = {}
        self._projects: dict[str, str] = {}
        self._pools: dict[str, str] = {}

    def place(self, kind: str, id_: str, values: dict[str, Any], path: Path) -> str:
        """The scope of a new object, whose parents must be there; fills in what is known from them."""
        if kind in ROOTS:
            return id_
        if kind == "l7_policy":
            return parent(self._tx, "listener", values["listener_id"], (*path, "listener_id")).scope_id
        if kind == "l7_rule":
            return parent(self._tx, "l7_policy", values["l7policy_id"], (*path, "l7policy_id")).scope_id
        if kind in ("member", "health_monitor"):
            return self._of_pool(values["pool_id"], path)
        if kind == "pool" and values["listener_id"]:
            listener = parent(self._tx, "listener", values["listener_id"], (*path, "listener_id"))
            values["loadbalancer_id"] = values["loadbalancer_id"] or listener.scope_id
            return listener.scope_id
        return parent(self._tx, "load_balancer", values["loadbalancer_id"], (*path, "loadbalancer_id")).id

    def _of_pool(self, pool_id: str, path: Path) -> str:
        if pool_id not in self._pools:  # a batch asks for each of its members
            self._pools[pool_id] = parent(self._tx, "pool", pool_id, (*path, "pool_id")).scope_id
        return self._pools[pool_id]

    def project(self, load_balancer_id: str) -> str:
        """Whose a load balancer is, and so all that is in it."""
        if load_balancer_id not in self._projects:
            self._projects[load_balancer_id] = living(self._tx, "load_balancer", load_balancer_id).project_id
        return self._projects[load_balancer_id]

    def check(self, kind: str, id_: str, scope_id: str, values: Mapping[str, Any], path: Path = ()) -> None:
        """The model's rules across objects; ``Invalid`` with all that are broken."""
        if kind == "tls_container":
            self._check_users(id_, values, path)
        if kind not in _CHECKED and not (kind == "member" and self._is_called(values["pool_id"])):
            return
        graph = self._graph(scope_id)
        if kind in ("health_monitor", "pool"):
            self._read_members_asked_otherwise(graph, kind, id_, values)
        resource = graphs.build(kind, values, id=id_)
        self._add_containers(graph, resource, scope_id)
        if kind == "l7_rule":
            self._read_rules(graph, values["l7policy_id"])
        elif kind == "listener":
            for policy in graph.policies_of(id_):
                self._read_rules(graph, policy.id)
        found = graphs.check(graph, resource)
        if found:
            raise Invalid([Violation((*path, *v.path), v.message) for v in found])
        graph.add(resource)

    def _is_called(self, pool_id: str) -> bool:
        """Whether the members of a pool are asked by gRPC: most are not, and need no graph to be read."""
        if pool_id not in self._called:  # a batch asks for each of its members, and changes no monitor
            monitors = self._tx.find("health_monitor", parent=("pool_id", pool_id))
            self._called[pool_id] = any(one.spec["type"] == "GRPC" and not one.deleting for one in monitors)
        return self._called[pool_id]

    def _read_members_asked_otherwise(
        self, graph: graphs.Graph, kind: str, id_: str, values: Mapping[str, Any]
    ) -> None:
        """The members of a pool that have rules with its monitor: of other pools none need be read."""
        pool = graphs.build("pool", values, id=id_) if kind == "pool" else graph.pools.get(values["pool_id"])
        monitor = graphs.build(kind, values, id=id_) if kind == "health_monitor" else graph.health_monitors.get(id_)
        if isinstance(pool, Pool) and isinstance(monitor, HealthMonitor) and graphs.asks_otherwise(monitor, pool):
            for record in self._tx.find("member", parent=("pool_id", pool.id)):
                if not record.deleting:
                    graph.add(graphs.build("member", record.spec, id=record.id))

    def _read_rules(self, graph: graphs.Graph, policy_id: str) -> None:
        """The L7 rules of one policy, read when they are asked about: there may be thousands in a load balancer."""
        if policy_id not in self._policies:
            self._policies.add(policy_id)
            for record in self._tx.find("l7_rule", parent=("l7policy_id", policy_id)):
                if not record.deleting:
                    graph.add(graphs.build("l7_rule", record.spec, id=record.id))

    def _add_containers(self, graph: graphs.Graph, resource: Resource, scope_id: str) -> None:
        """The TLS containers that it names, into the graph; those of other projects are not there. Of copies their manager has said
        who may see them (``certificates``)."""
        for _, id_ in graphs.container_refs(resource):
            record = self._tx.get("tls_container", id_)
            if record is None or record.deleting:
                continue
            ours = record.project_id == self.project(scope_id) if self._by_project else True
            if ours or certificate_copies.is_copy(record):
                graph.add(graphs.build(record.kind, record.spec, id=id_))

    def _check_users(self, id_: str, values: Mapping[str, Any], path: Path) -> None:
        """Whether what uses a TLS container can use it in its new form."""
        found: list[Violation] = []
        for user in users(self._tx, "tls_container", id_):
            graph = self._graph(user.scope_id)
            resource = graphs.build(user.kind, user.spec, id=user.id)
            self._add_containers(graph, resource, user.scope_id)
            graph.add(graphs.build("tls_container", values, id=id_))
            for violation in graphs.check_containers(graph, resource):
                message = f"{subject(user)} uses it, and its {violation.path[0]} {violation.message}"
                found.append(Violation(path, message))
        if found:
            raise Invalid(found)

    def _graph(self, load_balancer_id: str) -> graphs.Graph:
        known = self._graphs.get(load_balancer_id)
        if known is None:
            root = living(self._tx, "load_balancer", load_balancer_id)
            known = graphs.Graph(graphs.build("load_balancer", root.spec, id=root.id))  # type: ignore[arg-type]
            for kind in _IN_GRAPH:
                for record in self._tx.find(kind, scope_id=load_balancer_id):
                    if not record.deleting:
                        known.add(graphs.build(kind, record.spec, id=record.id))
            self._graphs[load_balancer_id] = known
        return known


def immutable(record: Record, given: Mapping[str, Any], values: dict[str, Any]) -> list[Violation]:
    """What ``given`` would change and may not. Keeps in ``values`` what the control plane has chosen."""
    found: list[Violation] = []
    for name, attribute in inputs(KINDS[record.kind]).items():
        if not attribute.replaces or name not in values:
            continue
        before = record.spec.get(name)
        if name not in given or (given[name] is None and attribute.filled):
            values[name] = before
        elif values[name] != before:
            found.append(Violation((name,), IMMUTABLE))
    return found
