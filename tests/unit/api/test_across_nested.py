# SPDX-License-Identifier: Apache-2.0
"""Single-call create asks the rules across objects as single calls do: the rows of the table, nested in one body."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import across
from octavia_provider.model.errors import Path as Place
from unit.api import settling
from unit.api.settling import Plane

Body = dict[str, Any]
# Where an object of a kind stands in the object that it names: the attribute that names it, and the list (or the place).
PLACES: Mapping[str, tuple[str, str, bool]] = {
    "listener": ("loadbalancer_id", "listeners", True), "pool": ("loadbalancer_id", "pools", True),
    "member": ("pool_id", "members", True), "health_monitor": ("pool_id", "healthmonitor", False),
    "l7_policy": ("listener_id", "l7policies", True), "l7_rule": ("l7policy_id", "rules", True),
}  # fmt: skip
OUTSIDE = ("local_network", "tls_container")
BALANCER = "lb"
_PARENT = "a nested object belongs to the one that it stands in, and names no parent"
# Rows that no body can say, and why.
NOT_NESTED = {
    **dict.fromkeys(("p1", "p2", "p3", "p4", "p5", "p8", "p11", "p12"), _PARENT),
    "u3": "a listener has one place for a default pool",
    "u5": "a pool has one place for a monitor",
    "turned": "what changes is a TLS container, and that stands beside load balancers",
}
# Where a body has the fault elsewhere than a call of its own: what is changed there comes first here, and others go with it.
ELSEWHERE: Mapping[str, Place] = {
    # the monitor comes last
    "g1": ("asker", "type"), "beside": ("asker", "type"), "called": ("caller", "type"),
    "s4": ("free", "default_pool"), "s5": ("secure", "default_pool"), "s6": ("metrics", "default_pool"),
    "s8": ("s8",), "s9": ("s9",), "u6": ("u6",),
    "heard": ("heard", "default_pool"), "switched": ("switch",), "ended": ("asked", "type"),
    "target": ("sending", "redirect_pool"), "served": ("serving", "default_pool"), "moved": ("move", "redirect_pool"),
    "greeted": ("greeter", "type"),
}  # fmt: skip
# Attributes that name another object: nested, by the pool's name.
BY_NAME = {"default_pool_id": "default_pool", "redirect_pool_id": "redirect_pool"}
# Rows that meet a rule within one object before, since that names a pool which is nested in it.
SAYS = {"s6": "does not go with PROMETHEUS"}
NESTED = [row for row in across.ROWS if row.name not in NOT_NESTED]


class Nest:
    """``BASE`` with one row, as one body; and where in it each object stands."""

    def __init__(self, row: across.Row | None, ids: Mapping[str, str]) -> None:
        self.ids, self.body = ids, dict[str, Any]()
        self.places: dict[str, Place] = {BALANCER: ()}
        self.objects: dict[str, Body] = {BALANCER: self.body}
        for name, (kind, inputs) in self._all(row).items():
            self._put(name, kind, {n: v for n, v in inputs.items() if v is not None})

    def _all(self, row: across.Row | None) -> dict[str, tuple[str, Mapping[str, Any]]]:
        objects: dict[str, tuple[str, Mapping[str, Any]]] = {**across.BASE}
        for name in [n for n, (kind, _) in objects.items() if kind in OUTSIDE or n in ("other", "foreign")]:
            del objects[name]
        if row is not None and row.kind == "load_balancer":
            objects[BALANCER] = (row.kind, row.inputs)
        elif row is not None:
            known = objects[row.name][1] if row.changes else {}
            objects[row.name] = (row.kind, {**known, **row.inputs})
        return objects

    def _put(self, name: str, kind: str, inputs: Body) -> None:
        if kind == "load_balancer":
            self.body.update(name=name, **across.resolved(inputs, self.ids))
            return
        parent, word, many = PLACES[kind]
        within = inputs.pop(parent, across.LB)
        if listener := inputs.pop("listener_id", None):  # a pool that names its listener: its default pool
            within, word, many = listener, "default_pool", False
        made = {"name": name, **self._named(inputs)}
        if many:
            there = self.objects[within].setdefault(word, [])
            place: Place = (*self.places[within], word, len(there))
            there.append(made)
        else:
            self.objects[within][word] = made
            place = (*self.places[within], word)
        self.objects[name], self.places[name] = made, place

    def _named(self, inputs: Body) -> Body:
        named = {n: v for n, v in inputs.items() if n in BY_NAME and v in across.BASE and v != "foreign"}
        said = {BY_NAME[n]: {"name": str(v)} for n, v in named.items()}
        return {**across.resolved({n: v for n, v in inputs.items() if n not in named}, self.ids), **said}

    def at(self, row: across.Row) -> Place:
        """The path of what is wrong, in the body."""
        name, *at = ELSEWHERE.get(row.name, (row.name, *row.at))
        if row.kind == "load_balancer":
            return tuple(at)
        said = BY_NAME.get(str(at[0]), at[0]) if at else None
        here = () if said is None else ((said,) if said in self.objects[str(name)] else (at[0],))
        return (*self.places[str(name)], *here, *at[1:])


class Built:
    """What stands beside the load balancer that is asked for, in a control plane."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.ids = plane, dict[str, str]()

    async def build(self) -> Built:
        for name, (kind, inputs) in across.BASE.items():
            if kind in OUTSIDE or name in ("lb", "other", "foreign"):
                self.ids[name] = (await self.plane.make(kind, name=name, **across.resolved(inputs, self.ids)))["id"]
        return self

    async def everything(self) -> Any:
        return await self.plane.records(), await self.plane.store.read(lambda tx: tx.scopes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Built]:
    """One control plane for the whole table: no row may change it."""
    async with settling.plane(Path(tmp_path_factory.mktemp("nested"))) as plane:
        yield await Built(plane).build()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", NESTED, ids=str)
async def test_it_is_refused_in_a_single_call_with_nothing_written(built: Built, row: across.Row) -> None:
    before, nest = await built.everything(), Nest(row, built.ids)
    answer = await built.plane.post("load_balancer", nest.body)
    assert answer.status == row.status, answer.body
    says = SAYS.get(row.name, row.says)
    assert [nest.at(row)] == [path for path, message in answer.violations if says in message], answer.body
    assert await built.everything() == before


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_row_it_is_made(built: Built) -> None:
    nest = Nest(None, built.ids)
    answer = await built.plane.post("load_balancer", nest.body)
    assert answer.status == 201, answer.body
    made = [r for r in await built.plane.records() if r.scope_id == answer.body["loadbalancer"]["id"]]
    assert sorted(record.spec["name"] for record in made) == sorted(nest.places)


def test_the_rows_that_are_left_out_exist() -> None:
    assert {row.name for row in across.ROWS} >= {*NOT_NESTED, *ELSEWHERE, *SAYS}
