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
from octavia_provider.model.l7_policy import TARGETS
from octavia_provider.model.validation import validate
from unit.api import settling
from unit.api.settling import Plane
from unit.model.bad_inputs import BAD_INPUTS, GOOD, BadInput

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
IN_URL = {"quota": "project_id", **{kind: attribute for kind, (_, attribute) in PARENTS.items()}}
NOWHERE = str(uuid.UUID(int=99))


def lenient(bad: BadInput) -> bool:
    """What the API reads in another way: a parent is in the URL, and of a policy's targets some are dropped (test_l7)."""
    dropped = (
        bad.kind == "l7_policy"
        and "action" not in bad.change
        and bad.at[0] in (*TARGETS.values(), "redirect_http_code")
    )
    return bad.at[0] == IN_URL.get(bad.kind) or dropped


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def empty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Plane]:
    """One control plane for the whole table: nothing is ever written to it."""
    async with settling.plane(Path(tmp_path_factory.mktemp("empty"))) as found:
        yield found


@pytest.mark.covers(
    "listener.protocol=SCTP", "pool.protocol=SCTP", "health_monitor.type=SCTP",
)  # fmt: skip
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("bad", [b for b in BAD_INPUTS if not lenient(b)], ids=str)
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


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("method", "path", "body", "at"),
    [
        ("POST", "pools", {"pool": {}, "listener": {}}, ["listener", "protocol", "lb_algorithm", "loadbalancer_id"]),
        ("PUT", "pools/x", {"pool": {}, "owner": {}}, ["owner"]),
        ("PUT", "pools/x/members", {"members": [], "pool": {}}, ["pool"]),
        ("PUT", "quotas/demo", {"quota": {}, "a": 1, "b": 2}, ["a", "b"]),
    ],
)
async def test_a_body_holds_nothing_that_nobody_reads(
    empty: Plane, method: str, path: str, body: dict[str, Any], at: list[str]
) -> None:
    answer = await empty.call(method, f"/lbaas/{path}", body)
    assert (answer.status, [path for path, _ in answer.violations]) == (400, [(name,) for name in at])
    assert await empty.records() == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("project", [0, 7, False, [], {}, ["demo"]], ids=repr)
async def test_a_project_is_a_string_wherever_it_is_given(empty: Plane, project: Any) -> None:
    pool = {**POOL, "name": "p", "members": [{"address": "10.1.0.9", "protocol_port": 80, "tenant_id": project}]}
    lb = {"vip_network_id": NOWHERE, "project_id": project, "pools": [pool]}
    answer = await empty.post("load_balancer", lb)
    message = "must be a string"
    expected = [(("project_id",), message), (("pools", 0, "members", 0, "tenant_id"), message)]
    assert (answer.status, answer.violations) == (400, expected)
    alone = await empty.post("pool", {**POOL, "loadbalancer_id": NOWHERE, "project_id": project})
    put = await empty.call("PUT", f"/lbaas/pools/{NOWHERE}", {"pool": {"project_id": project}})
    assert alone.violations == put.violations == expected[:1]


async def test_a_unique_value_is_free_as_soon_as_its_holder_is_being_deleted(plane: Plane) -> None:
    lb = (await plane.balancer())["id"]
    spec = {"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80}
    listener = await plane.make("listener", **spec)
    pool = await plane.make("pool", listener_id=listener["id"], **POOL)
    await plane.make("member", pool_id=pool["id"], address="10.1.0.9", protocol_port=80)
    plane.held.clear()
    assert (await plane.call("DELETE", f"/lbaas/listeners/{listener['id']}")).status == 204
    assert (await plane.post("listener", spec, wait=None)).status == 201
    moved = await plane.make_pending("member", pool_id=pool["id"], address="10.1.0.10", protocol_port=80)
    mapped = await plane.post("member", {"pool_id": pool["id"], "address": "::ffff:10.1.0.9", "protocol_port": 80})
    assert (mapped.status, mapped.violations[0][0]) == (409, ("address",))
    url = f"/lbaas/pools/{pool['id']}/members/{moved['id']}"
    taken = await plane.call("PUT", url, {"member": {"address": "10.1.0.9"}})
    assert (taken.status, taken.violations[0][0]) == (409, ("address",))
