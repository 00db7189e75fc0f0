# SPDX-License-Identifier: Apache-2.0
"""Every rule across objects is refused by the API with nothing written. (That no rule lacks a row: tests/unit/model/test_across.py.)"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import across
from unit.api import settling
from unit.api.settling import WORDS, Plane


class Built:
    """``BASE`` in a control plane, and how to break the rules."""

    def __init__(self, plane: Plane) -> None:
        self.plane, self.ids = plane, dict[str, str]()

    async def build(self) -> Built:
        for name, (kind, inputs) in across.BASE.items():
            made = await self.plane.make(kind, name=name, **across.resolved(inputs, self.ids))
            self.ids[name] = made["id"]
        return self

    async def refused(self, row: across.Row) -> settling.Answer:
        inputs = across.resolved(row.inputs, self.ids)
        if not row.changes:
            return await self.plane.post(row.kind, {"name": row.name, **inputs})
        place = self.plane.place(row.kind, across.resolved(across.BASE[row.name][1], self.ids))
        return await self.plane.call("PUT", f"{place}/{self.ids[row.name]}", {WORDS[row.kind]: inputs})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Built]:
    """One control plane for the whole table: no row may change it."""
    async with settling.plane(Path(tmp_path_factory.mktemp("across"))) as plane:
        yield await Built(plane).build()


async def everything(plane: Plane) -> Any:
    return await plane.records(), await plane.store.read(lambda tx: tx.scopes())


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", across.ROWS, ids=str)
async def test_it_is_refused_with_nothing_written(built: Built, row: across.Row) -> None:
    before = await everything(built.plane)
    answer = await built.refused(row)
    assert answer.status == row.status, answer.body
    assert [row.at] == [path for path, message in answer.violations if row.says in message], answer.body
    assert await everything(built.plane) == before
