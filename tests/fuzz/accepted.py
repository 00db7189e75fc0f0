# SPDX-License-Identifier: Apache-2.0
"""What the model makes of a body: violations with their paths, or a graph. The way is the API's, less the store."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from octavia_provider.api.graph_create import CreateRequest, create_requests
from octavia_provider.model import graph as graphs
from octavia_provider.model.errors import Invalid, Violation
from octavia_provider.model.graph import Graph
from octavia_provider.model.kinds import KINDS

from .generators import containers

PROJECT = "00000000000000000000000000000000"
_RANKS = {"load_balancer": 0, "pool": 1, "listener": 2}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Either a graph, or why there is none."""

    graph: Graph | None = None
    violations: list[Violation] = field(default_factory=list)


def judge(body: dict[str, Any], ids: random.Random) -> Verdict:
    """Ask the rules within each object, then uniqueness, then the rules across objects. ``ids``: what ids are made from."""
    try:
        with mock.patch("uuid.uuid4", side_effect=lambda: uuid.UUID(int=ids.getrandbits(128), version=4)):
            made = create_requests("load_balancer", body, PROJECT)
    except Invalid as error:
        return Verdict(violations=list(error.violations))
    taken = list(_taken(made))
    if taken:
        return Verdict(violations=taken)
    graph = Graph(graphs.build("load_balancer", made[0].values, id=made[0].id))  # type: ignore[arg-type]
    graph.tls_containers.update(containers.made())
    for order in sorted(made[1:], key=lambda order: _RANKS.get(order.kind, len(_RANKS))):
        resource = graphs.build(order.kind, order.values, id=order.id)
        if found := graphs.check(graph, resource):
            return Verdict(violations=[Violation((*order.path, *v.path), v.message) for v in found])
        graph.add(resource)
    return Verdict(graph)


def _taken(made: list[CreateRequest]) -> Iterator[Violation]:
    """What the constraint of the store would refuse."""
    seen: set[tuple[str, str]] = set()
    for order in made:
        unique = KINDS[order.kind].UNIQUE
        if unique is None:
            continue
        key = (order.kind, unique.key(order.values))
        if key in seen:
            yield Violation((*order.path, unique.at), unique.message(order.values, "another"))
        seen.add(key)
