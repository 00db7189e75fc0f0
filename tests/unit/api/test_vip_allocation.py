# SPDX-License-Identifier: Apache-2.0
"""A load balancer whose VIP is a port that a cloud makes: who creates it reads the port from the answer (Terraform, Heat)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from octavia_provider.api import prefer_wait
from octavia_provider.model import allocated, statuses
from octavia_provider.ports import Allocation, Record, Settlement, Transaction, Vip
from unit.api.settling import Answer, Plane
from unit.api.settling import plane as control_plane

NETWORK = "d53a6f4e-8d34-4bd0-a2b1-0f4f8fdc6bd8"
PORT = "7d4a8a3d-2b3e-4c8e-9a5d-6e1f0b2c3d4e"
ENDLESS = 3600.0


class Neutron:
    """``ports.RemoteAllocation``; tests write down themselves what it would allocate."""

    unsupported: Mapping[str, str] = {}

    async def allocate(self, load_balancer: Record) -> Allocation:
        raise NotImplementedError

    async def own(self, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        raise NotImplementedError

    async def release(self, load_balancer_id: str, keep: Collection[str]) -> None:
        raise NotImplementedError


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncIterator[Plane]:
    """A control plane that brings nothing about, on a cloud that makes ports."""
    async with control_plane(tmp_path, networks=Neutron()) as found:
        found.held.clear()
        yield found


def created(plane: Plane, **more: Any) -> asyncio.Task[Answer]:
    return asyncio.create_task(plane.post("load_balancer", {"vip_network_id": NETWORK, **more}, wait=None))


async def written(plane: Plane) -> Record:
    async with plane.store.watch() as watch:
        while True:
            if found := [one for one in await plane.records() if one.kind == "load_balancer"]:
                return found[0]
            await watch.changed()


def allocates(load_balancer: Record) -> Callable[[Transaction], None]:
    values = {"vip_address": "192.0.2.5", "vip_port_id": PORT, allocated.CARRIED: []}
    return lambda tx: tx.fill(load_balancer.id, {**load_balancer.spec, **values})


@pytest.mark.parametrize("nested", [{}, {"listeners": [{"protocol": "HTTP", "protocol_port": 80}]}])
async def test_the_answer_has_the_port_and_the_address_of_the_vip(
    remote: Plane, nested: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefer_wait, "VIP_SECONDS", ENDLESS)
    waiting = created(remote, **nested)
    load_balancer = await written(remote)
    await remote.store.write(allocates(load_balancer))
    answer = await waiting
    shown = answer.body["loadbalancer"]
    assert (answer.status, shown["vip_port_id"], shown["vip_address"]) == (201, PORT, "192.0.2.5")
    assert shown["provisioning_status"] == statuses.PENDING_CREATE
    assert len(shown["listeners"]) == len(nested)


async def test_one_that_fails_is_answered_with_its_error(remote: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefer_wait, "VIP_SECONDS", ENDLESS)
    waiting = created(remote)
    one = await written(remote)
    errors = {one.id: "network has no subnet"}
    settlement = Settlement(scope_id=one.scope_id, generation=one.generation, errors=errors)
    await remote.store.write(lambda tx: tx.settle(settlement))
    shown = (await waiting).body["loadbalancer"]
    assert (shown["provisioning_status"], shown["vip_port_id"]) == (statuses.ERROR, None)
    assert shown["provisioning_error"] == "network has no subnet"


async def test_one_that_is_deleted_meanwhile_is_answered(remote: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefer_wait, "VIP_SECONDS", ENDLESS)
    waiting = created(remote)
    one = await written(remote)
    assert (await remote.call("DELETE", f"/lbaas/loadbalancers/{one.id}")).status == 204
    assert (await waiting).body["loadbalancer"]["vip_port_id"] is None


async def test_a_cloud_that_takes_too_long_is_not_waited_for(remote: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefer_wait, "VIP_SECONDS", 0.01)
    answer = await created(remote)
    shown = answer.body["loadbalancer"]
    assert (answer.status, shown["vip_port_id"]) == (201, None)
    assert shown["provisioning_status"] == statuses.PENDING_CREATE


async def test_a_control_plane_that_ends_answers(remote: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefer_wait, "VIP_SECONDS", ENDLESS)
    waiting = created(remote)
    await written(remote)
    await remote.server.close()
    assert (await waiting).body["loadbalancer"]["vip_port_id"] is None


async def test_the_embedded_cloud_has_no_ports_to_wait_for(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefer_wait, "VIP_SECONDS", ENDLESS)
    network = await plane.make("local_network", name="front")
    plane.held.clear()
    made = await plane.make_pending("load_balancer", vip_network_id=network["id"])
    assert (made["provisioning_status"], made["vip_port_id"]) == (statuses.PENDING_CREATE, None)
    assert made["vip_address"] is not None
