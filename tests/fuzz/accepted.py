# SPDX-License-Identifier: Apache-2.0
"""What the API makes of a body: why it refuses it, or the graph that is rendered. The way is that of a POST, in a store of its own
that is left as it was; only the cloud is left out."""

from __future__ import annotations

import asyncio
import functools
import random
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from octavia_provider.api.create_update import ObjectWriter
from octavia_provider.api.graph_create import CreateRequest, create_requests
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.model.errors import Conflict, Invalid, NotFound, Violation
from octavia_provider.model.graph import Graph
from octavia_provider.ports import Record, Transaction
from octavia_provider.store import SqlStore, open_store

from .generators import containers

PROJECT = "00000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Either a graph, or why there is none."""

    graph: Graph | None = None
    violations: list[Violation] = field(default_factory=list)


class _Made(Exception):
    """What a transaction has made: it is undone by this."""

    def __init__(self, graph: Graph | None) -> None:
        self.graph = graph


class _AnyNetwork:
    """A cloud that has every network, and chooses nothing."""

    unsupported: Mapping[str, str] = {}

    def place(self, tx: Transaction, kind: str, id: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: A002
        return {}


def judge(body: dict[str, Any], ids: random.Random) -> Verdict:
    """POST a load balancer. ``ids``: what ids are made from."""
    try:
        with mock.patch("uuid.uuid4", side_effect=lambda: uuid.UUID(int=ids.getrandbits(128), version=4)):
            wanted = create_requests("load_balancer", body, PROJECT)

        _api().write(functools.partial(_create, wanted))
    except _Made as made:
        return Verdict(made.graph)
    except Invalid as error:
        return Verdict(violations=list(error.violations))
    except (Conflict, NotFound) as error:
        return Verdict(violations=[Violation(error.path, error.message)])
    raise AssertionError("a transaction ended without a word")


def _create(wanted: Sequence[CreateRequest], tx: Transaction) -> None:
    made = ObjectWriter.begin(tx, _AnyNetwork()).create(wanted, None)  # type: ignore[arg-type] # of it no more is asked
    raise _Made(_graph(tx, made.record))


def _graph(tx: Transaction, root: Record) -> Graph | None:
    scope = tx.scope(root.scope_id)
    assert scope is not None
    desired = DesiredState(scope)
    desired.read(scope, tx.find(scope_id=root.scope_id), lambda id_: tx.get("tls_container", id_))
    return desired.graph()


class _Api:
    """A store with the drawn containers in it, and the loop that it is written from."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self._store: SqlStore = self._runner.run(self._open())
        for id_, values in containers.values().items():
            self.write(functools.partial(_insert, id_, values))

    async def _open(self) -> SqlStore:
        folder = Path(self._folder.name)
        return open_store(f"sqlite:///{folder}/octavia.db", folder / "key")

    def write(self, work: Any) -> None:
        self._runner.run(self._store.write(work))


def _insert(id_: str, values: Mapping[str, Any], tx: Transaction) -> None:
    tx.insert(Record(id=id_, kind="tls_container", scope_id=id_, project_id=PROJECT, spec=values, generation=0))


@functools.cache
def _api() -> _Api:
    return _Api()
