# SPDX-License-Identifier: Apache-2.0
"""What older code wrote goes on under this code: no replacement, no difference, no reload.

``written_at_0001`` was written through the API by the first code that had a schema: one object of each kind of then.
``written_at_0002`` was written by ``octaviactl up`` with the last code before the model was made of pydantic and haproxy's
configuration of templates: three load balancers with objects of every kind, the stack's state, and the configuration that
each load balancer's amphora had in force, with its digest. An amphora that is pushed a configuration of the same digest does
nothing.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from octavia_amphora.wire.config import compose, digest
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.validation import validate
from octavia_provider.ports import Transaction
from octavia_provider.render.haproxy import Placement, render
from unit.api import settling
from unit.api.settling import WORDS, Plane

FIRST, SECOND = (Path(__file__).parent / name for name in ("written_at_0001", "written_at_0002"))
PLACEMENT = Placement(vips=("10.66.0.2",), proxy_address="100.64.0.1")
CHANGES: dict[str, dict[str, Any]] = {
    "local_network": {"name": "other"},
    "load_balancer": {"description": "changed"},
    "listener": {"protocol_port": 8080},
    "pool": {"lb_algorithm": "LEAST_CONNECTIONS"},
    "member": {"weight": 9},
    "health_monitor": {"delay": 9},
}


@contextlib.asynccontextmanager
async def opened(written: Path, folder: Path) -> AsyncIterator[Plane]:
    for name in ("octavia.db", "key"):
        shutil.copy(written / name, folder)
    (folder / "key").chmod(0o600)
    async with settling.plane(folder) as plane:
        yield plane


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    async with opened(FIRST, tmp_path) as found:
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


def desired_states(tx: Transaction) -> dict[str, DesiredState]:
    """By name, less what Pulumi added to it."""
    found = {}
    for balancer in tx.find("load_balancer"):
        scope = tx.scope(balancer.id)
        assert scope is not None
        state = found[balancer.spec["name"].rsplit("-", 1)[0]] = DesiredState(scope)
        state.read(scope, tx.find(scope_id=scope.id, since=-1), lambda id_: tx.get("tls_container", id_))
    return found


async def test_its_configurations_are_those_in_force__so_no_amphora_reloads(tmp_path: Path) -> None:
    async with opened(SECOND, tmp_path) as plane:
        digests = json.loads((SECOND / "digests.json").read_text())
        states = await plane.store.read(desired_states)
        assert states.keys() == digests.keys()
        for name, state in states.items():
            graph = state.graph()
            assert graph is not None
            configuration = render(graph, PLACEMENT).configuration
            assert compose(configuration) == (SECOND / f"{name}.cfg").read_text()
            assert digest(configuration) == digests[name]


async def test_an_update_to_what_is_there_already_is_no_change(tmp_path: Path) -> None:
    async with opened(SECOND, tmp_path) as plane:
        records = await plane.records()
        assert {record.kind for record in records} == KINDS.keys() - {
            "amphora_group",
            "availability_zone",
            "availability_zone_profile",
        }
        for record in records:
            kind = KINDS[record.kind]
            spec = {name: value for name, value in record.spec.items() if name in inputs(kind)}
            valid = validate(kind, spec)
            assert valid.violations == []
            values = json.loads(json.dumps(valid.values))  # what has joined the model since then is at its default
            assert values == {name: fact.default for name, fact in inputs(kind).items() if name not in spec} | spec
            place = "/lbaas/quotas" if record.kind == "quota" else plane.place(record.kind, spec)
            mutable = {
                name: spec[name]
                for name, fact in inputs(kind).items()
                if name in spec and not fact.replaces and not fact.filled
            }
            answer = await plane.call("PUT", f"{place}/{spec.get(kind.KEY, record.id)}", {WORDS[record.kind]: mutable})
            assert answer.status in (200, 202), answer.body
        changed = [
            one.spec
            for one, other in zip(await plane.records(), records, strict=True)
            if one.generation != other.generation
        ]
        assert changed == []
