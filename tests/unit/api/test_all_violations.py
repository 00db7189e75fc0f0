# SPDX-License-Identifier: Apache-2.0
"""A request with several faults is told them all, wherever they stand: in its body, its objects, its query."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from unit.api.settling import Answer, Plane

SERVER = {"address": "10.1.0.9", "protocol_port": 80}
POOL = str(uuid.uuid4())


def paths(answer: Answer) -> set[tuple[Any, ...]]:
    assert answer.status == 400, answer.body
    found = [path for path, _ in answer.violations]
    assert len(found) == len(set(found))
    return set(found)


async def test_a_batch_of_members(plane: Plane) -> None:
    url = f"/lbaas/pools/{POOL}/members"
    batch = {"members": [{**SERVER, "weight": 999}, None, "x", SERVER]}
    assert paths(await plane.call("PUT", url, batch)) == {
        ("members", 0, "weight"), ("members", 1), ("members", 2), ("members", 3, "address"),
    }  # fmt: skip
    wrong = {"members": [{**SERVER, "bogus": 1}, {"protocol_port": 80, "weight": []}], "x": 1}
    assert paths(await plane.call("PUT", url, wrong)) == {
        ("x",), ("members", 0, "bogus"), ("members", 1, "address"), ("members", 1, "weight"),
    }  # fmt: skip


async def test_an_object_and_what_stands_beside_it(plane: Plane) -> None:
    body = {"listener": {"bogus": 1}, "pool": {}, "owner": 1}
    found = paths(await plane.call("POST", "/lbaas/listeners", body))
    assert found >= {("pool",), ("owner",), ("bogus",), ("protocol",), ("protocol_port",)}
    member = {**SERVER, "pool_id": str(uuid.uuid4()), "weight": 999, "bogus": 1}
    found = paths(await plane.call("POST", f"/lbaas/pools/{POOL}/members", {"member": member}))
    assert found == {("pool_id",), ("weight",), ("bogus",)}
    made = await plane.make("local_network")
    change = {"network": {"bogus": 1, "project_id": 5}, "x": 1}
    assert paths(await plane.call("PUT", f"/local/networks/{made['id']}", change)) == {
        ("bogus",),
        ("project_id",),
        ("x",),
    }
    limits = {"quota": {"pool": -5, "load_balancer": 1, "loadbalancer": 2}, "x": 1}
    assert paths(await plane.call("PUT", "/lbaas/quotas/demo", limits)) == {("x",), ("pool",), ("load_balancer",)}


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("/lbaas/listeners?bogus=1&limit=x&marker=zz&sort=foo:bar&fields=no", {"bogus", "limit", "marker", "sort", "fields"}),
        ("/octavia/status?load_balancer=nope&limit=0&marker=x", {"limit", "marker"}),
    ],
)  # fmt: skip
async def test_a_query(plane: Plane, url: str, wrong: set[str]) -> None:
    answer = await plane.call("GET", url)
    assert {path for path, _ in answer.violations} == {(name,) for name in wrong}
