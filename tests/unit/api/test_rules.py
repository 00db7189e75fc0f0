# SPDX-License-Identifier: Apache-2.0
"""What the API refuses, before anything is written."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from octavia_provider.model.kinds import KINDS, PARENTS
from octavia_provider.model.validate import validate
from unit.api import settling
from unit.api.settling import WORDS, Plane
from unit.model.bad_inputs import BAD_INPUTS, GOOD, BadInput

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
IN_URL = {"quota": "project_id", **{kind: attribute for kind, (_, attribute) in PARENTS.items()}}
NOWHERE = str(uuid.UUID(int=99))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def empty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plane]:
    """One control plane for the whole table: nothing is ever written to it."""
    async with settling.plane(Path(tmp_path_factory.mktemp("empty"))) as found:
        yield found


@pytest.mark.shows(
    "listener.protocol=SCTP", "pool.protocol=SCTP", "health_monitor.type=SCTP",
    "flavor_profile.flavor_data.loadbalancer_topology=ACTIVE_STANDBY",
)  # fmt: skip
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("bad", [b for b in BAD_INPUTS if b.at[0] != IN_URL.get(b.kind)], ids=str)
async def test_a_bad_input_is_refused_as_the_model_refuses_it(empty: Plane, bad: BadInput) -> None:
    expected = [(v.path, v.message) for v in validate(KINDS[bad.kind], bad.values).violations]
    if bad.kind == "quota":
        answer = await empty.call("PUT", "/lbaas/quotas/demo", {"quota": bad.values})
    else:
        answer = await empty.post(bad.kind, bad.values)
    assert answer.status == 400
    assert answer.violations == expected
    assert all(message in answer.body["faultstring"] for _, message in expected)
    assert await empty.records() == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("kind", "change", "at"),
    [
        ("listener", {}, "loadbalancer_id"),
        ("pool", {}, "loadbalancer_id"),
        ("pool", {"listener_id": NOWHERE}, "listener_id"),
        ("health_monitor", {}, "pool_id"),
        ("local_host", {}, "network_id"),
        ("load_balancer", {}, "vip_network_id"),
    ],
)
async def test_a_parent_must_exist(empty: Plane, kind: str, change: dict[str, Any], at: str) -> None:
    answer = await empty.post(kind, {**GOOD[kind], **change})
    assert (answer.status, answer.violations[0][0]) == (400, (at,))
    assert "does not exist" in answer.violations[0][1]
    assert await empty.records() == []


@pytest.mark.asyncio(loop_scope="module")
async def test_the_pool_of_a_members_url_must_exist(empty: Plane) -> None:
    answer = await empty.post("member", dict(GOOD["member"]))
    assert (answer.status, answer.violations[0][0]) == (404, ("pool_id",))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"pool": []}', b'{"listener": {}}', b"\xff", b'{"a": "\xff"}', b"[" * 100_000]
)
async def test_a_body_of_the_wrong_shape_is_refused(empty: Plane, body: bytes) -> None:
    async with empty.session.post(f"{settling.BASE}/lbaas/pools", data=body) as response:
        assert response.status == 400
        assert (await response.json())["faultstring"]


class Across:
    """A balancer with an HTTP listener that has a pool, a TCP pool, a member and a monitor; and another balancer."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    async def build(self) -> Across:
        make = self.plane.make
        self.lb, self.other = await self.plane.balancer("one"), await self.plane.balancer("two")
        lb = self.lb["id"]
        self.listener = await make("listener", name="li", loadbalancer_id=lb, protocol="HTTP", protocol_port=80)
        self.pool = await make("pool", name="po", listener_id=self.listener["id"], **POOL)
        self.tcp = await make("pool", name="tcp", loadbalancer_id=lb, **{**POOL, "protocol": "TCP"})
        self.foreign = await make("pool", loadbalancer_id=self.other["id"], **POOL)
        self.member = await make("member", name="me", pool_id=self.pool["id"], address="10.1.0.9", protocol_port=80)
        hm = {**GOOD["health_monitor"], "pool_id": self.pool["id"]}
        self.monitor = await make("health_monitor", **{**hm, "name": "hm"})
        return self

    def cases(self) -> list[tuple[str, dict[str, Any], int, str, str]]:
        """kind, inputs, status, path, words."""
        listener = {"loadbalancer_id": self.lb["id"], "protocol": "HTTP", "protocol_port": 81}
        pool = {"loadbalancer_id": self.lb["id"], **POOL}
        member = {"pool_id": self.pool["id"], "address": "10.1.0.9", "protocol_port": 80}
        return [
            ("listener", {**listener, "protocol_port": 80}, 409, "protocol_port", "taken on this load balancer by listener li"),
            ("listener", {**listener, "default_pool_id": NOWHERE}, 400, "default_pool_id", "does not exist"),
            ("listener", {**listener, "default_pool_id": self.foreign["id"]}, 400, "default_pool_id", "does not exist on"),
            ("listener", {**listener, "default_pool_id": self.tcp["id"]}, 400, "default_pool_id", "cannot send to a TCP"),
            ("pool", {**pool, "listener_id": self.listener["id"]}, 400, "listener_id", "has a default pool already: po"),
            ("pool", {**pool, "loadbalancer_id": self.other["id"], "listener_id": self.listener["id"]}, 400,
             "loadbalancer_id", "is on another load balancer"),
            ("pool", {**pool, "protocol": "TCP", "listener_id": self.listener["id"]}, 400, "protocol", "cannot send to"),
            ("member", member, 409, "address", "in this pool already, as member me"),
            ("health_monitor", {**GOOD["health_monitor"], "pool_id": self.pool["id"]}, 409, "pool_id", "already: hm"),
        ]  # fmt: skip

    def changes(self) -> list[tuple[str, str, dict[str, Any], int, str]]:
        """kind, URL, change, status, path."""
        pool, second = f"/lbaas/pools/{self.pool['id']}", f"/lbaas/listeners/{self.listener['id']}"
        return [
            ("pool", pool, {"protocol": "TCP"}, 400, "protocol"),
            ("pool", pool, {"loadbalancer_id": self.other["id"]}, 400, "loadbalancer_id"),
            ("pool", pool, {"listener_id": NOWHERE}, 400, "listener_id"),
            ("listener", second, {"default_pool_id": self.tcp["id"]}, 400, "default_pool_id"),
            ("listener", second, {"loadbalancer_id": self.other["id"]}, 400, "loadbalancer_id"),
            ("load_balancer", f"/lbaas/loadbalancers/{self.lb['id']}", {"vip_network_id": NOWHERE}, 400, "vip_network_id"),
            ("health_monitor", f"/lbaas/healthmonitors/{self.monitor['id']}", {"pool_id": NOWHERE}, 400, "pool_id"),
        ]  # fmt: skip


async def test_rules_across_objects_are_refused_with_nothing_written(plane: Plane) -> None:
    across = await Across(plane).build()
    before = await plane.records(), await plane.store.read(lambda tx: tx.scopes())
    for kind, spec, status, path, words in across.cases():
        answer = await plane.post(kind, spec)
        assert answer.status == status, (kind, spec, answer.body)
        assert [(path,)] == [p for p, message in answer.violations if words in message], answer.body
    for kind, url, change, status, path in across.changes():
        answer = await plane.call("PUT", url, {WORDS[kind]: change})
        assert answer.status == status, (url, change, answer.body)
        assert answer.violations[0][0] == (path,)
    assert (await plane.records(), await plane.store.read(lambda tx: tx.scopes())) == before


async def test_a_unique_value_is_free_as_soon_as_its_holder_is_being_deleted(plane: Plane) -> None:
    across = await Across(plane).build()
    plane.held.clear()
    assert (await plane.call("DELETE", f"/lbaas/listeners/{across.listener['id']}")).status == 204
    spec = {"loadbalancer_id": across.lb["id"], "protocol": "HTTP", "protocol_port": 80}
    assert (await plane.post("listener", spec, wait=None)).status == 201
    moved = await plane.make_pending("member", pool_id=across.pool["id"], address="10.1.0.10", protocol_port=80)
    url = f"/lbaas/pools/{across.pool['id']}/members/{moved['id']}"
    taken = await plane.call("PUT", url, {"member": {"address": "10.1.0.9"}})
    assert (taken.status, taken.violations[0][0]) == (409, ("address",))
