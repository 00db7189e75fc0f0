# SPDX-License-Identifier: Apache-2.0
"""A store that older code wrote opens and migrates, and its objects read, change and go as any others.

``written_at_0001`` was written through the API by the first code that had a schema: one object of each kind of then.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from octavia_provider.model.attributes import inputs
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validate import validate
from unit.api import settling
from unit.api.settling import WORDS, Plane

WRITTEN = Path(__file__).parent / "written_at_0001"
CHANGES: dict[str, dict[str, Any]] = {
    "local_network": {"name": "other"},
    "load_balancer": {"description": "changed"},
    "listener": {"protocol_port": 8080},
    "pool": {"lb_algorithm": "LEAST_CONNECTIONS"},
    "member": {"weight": 9},
    "health_monitor": {"delay": 9},
}


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    for file in WRITTEN.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "key").chmod(0o600)
    async with settling.plane(tmp_path) as found:
        yield found


async def test_its_objects_read_change_and_go(plane: Plane) -> None:
    records = await plane.records()
    assert [r.kind for r in records] == list(CHANGES)
    pool = next(r.id for r in records if r.kind == "pool")
    for record in records:
        given = validate(KINDS[record.kind], {n: v for n, v in record.spec.items() if n in inputs(KINDS[record.kind])})
        assert given.violations == []
        url = f"{plane.place(record.kind, {'pool_id': pool})}/{record.id}"
        word = WORDS[record.kind]
        shown = (await plane.call("GET", url)).body[word]
        assert shown["provisioning_status"] == "ACTIVE"
        assert {n: v for n, v in record.spec.items() if v is not None}.items() <= shown.items()
        assert (await plane.call("PUT", url, {word: {}}, wait=10)).body[word]["updated_at"] == shown["updated_at"]
        changed = (await plane.call("PUT", url, {word: CHANGES[record.kind]}, wait=10)).body[word]
        assert changed["provisioning_status"] == "ACTIVE"
        assert CHANGES[record.kind].items() <= changed.items()
    balancer, network = records[1], records[0]
    assert (await plane.call("DELETE", f"/lbaas/loadbalancers/{balancer.id}?cascade=true", wait=10)).status == 204
    assert (await plane.call("DELETE", f"/local/networks/{network.id}", wait=10)).status == 204
    assert await plane.records() == []
