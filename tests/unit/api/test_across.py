# SPDX-License-Identifier: Apache-2.0
"""Every rule across objects is refused by the API with nothing written. (That no rule lacks a row: tests/unit/model/test_across.py.)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import across
from unit.api import settling
from unit.api.settling import WORDS, Answer, Plane


class Built:
    """``BASE`` in a control plane, and how to break the rules."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.ids = plane, dict[str, str]()

    async def build(self) -> Built:
        for name, (kind, inputs) in across.BASE.items():
            made = await self.plane.make(kind, name=name, **across.resolved(inputs, self.ids))
            self.ids[name] = made["id"]
        return self

    async def change(self, name: str, change: Mapping[str, Any]) -> Answer:
        kind, inputs = across.BASE[name]
        place = self.plane.place(kind, across.resolved(inputs, self.ids))
        return await self.plane.call(
            "PUT", f"{place}/{self.ids[name]}", {WORDS[kind]: across.resolved(change, self.ids)}
        )

    async def refused(self, row: across.Row) -> Answer:
        if row.changes:
            return await self.change(row.name, row.inputs)
        return await self.plane.post(row.kind, {"name": row.name, **across.resolved(row.inputs, self.ids)})

    async def everything(self) -> Any:
        return await self.plane.records(), await self.plane.store.read(lambda tx: tx.scopes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Built]:
    """One control plane for the whole table: no row may change it."""
    async with settling.plane(Path(tmp_path_factory.mktemp("across"))) as plane:
        yield await Built(plane).build()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", across.ROWS, ids=str)
async def test_it_is_refused_with_nothing_written(built: Built, row: across.Row) -> None:
    before = await built.everything()
    answer = await built.refused(row)
    assert answer.status == row.status, answer.body
    assert [row.at] == [path for path, message in answer.violations if row.says in message], answer.body
    assert await built.everything() == before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("servers", {"loadbalancer_id": across.OTHER}),
        ("servers", {"listener_id": across.NOWHERE}),
        ("web", {"loadbalancer_id": across.OTHER}),
        ("lb", {"vip_network_id": across.NOWHERE}),
        ("watch", {"pool_id": across.NOWHERE}),
    ],
)
async def test_what_a_program_replaces_is_refused_as_a_change(built: Built, name: str, change: dict[str, Any]) -> None:
    before = await built.everything()
    answer = await built.change(name, change)
    assert (answer.status, answer.violations[0][0]) == (400, tuple(change)), answer.body
    assert await built.everything() == before
