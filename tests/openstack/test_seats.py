# SPDX-License-Identifier: Apache-2.0
"""Amphora groups on OpenStack: load balancers have ports of their own in a server that they share."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from octavia_provider.ports import SeatSpec, Vip

from .project import Project
from .site import balancer, opened, order

pytestmark = pytest.mark.usefixtures("environment")


async def test_load_balancers_come_to_a_server_that_runs_and_go_and_nothing_is_left(cloud_project: Project) -> None:
    group, host = str(uuid.uuid4()), str(uuid.uuid4())
    seats: list[SeatSpec] = []
    async with opened() as cloud:
        made = await cloud.cloud.boot(order(host, group, (), seats=4))
        assert (made.amphora_id, made.load_balancer_id, made.interfaces) == (host, group, ())
        for _ in range(2):
            lb, seat = str(uuid.uuid4()), str(uuid.uuid4())
            record = balancer(lb, vip_subnet_id=cloud_project.subnets["vips"])
            vips: tuple[Vip, ...] = (await cloud.networks.allocate(record)).vips  # type: ignore[union-attr]
            order_ = SeatSpec(id=seat, host_id=host, load_balancer_id=lb, vips=vips)
            for _ in range(2):  # it can be repeated
                found = await cloud.cloud.attach(order_, keep=False)
            assert (found.amphora_id, found.host, found.agent) == (seat, host, made.agent)
            assert found.vips == (vips[0].address,)
            (interface,) = found.interfaces
            assert vips[0].address in str(interface)
            assert await cloud.cloud.instances(lb) == [found]
            seats.append(order_)
        inventory = await cloud.cloud.inventory()
        assert {one.amphora_id for one in inventory.instances} == {host, *(one.id for one in seats)}
        kinds = {(one.kind, one.id) for one in inventory.resources}
        assert kinds == {("amphora_group", group), *(("load_balancer", one.load_balancer_id) for one in seats)}

        shared = replace(seats[0], vips=tuple(replace(vip, shared=True) for vip in seats[0].vips))
        both = await cloud.cloud.attach(shared, keep=True)
        assert both.vips == both.shared == (shared.vips[0].address,)
        assert (await cloud.cloud.attach(shared, keep=False)).vips == ()

        await cloud.cloud.detach(host, seats[0].load_balancer_id)
        await cloud.cloud.detach(host, seats[0].load_balancer_id)
        assert await cloud.cloud.instances(seats[0].load_balancer_id) == []
        assert len(await cloud.cloud.instances(seats[1].load_balancer_id)) == 1
        await cloud.cloud.delete(host)
        for one in seats:
            await cloud.networks.release(one.load_balancer_id, ())  # type: ignore[union-attr]
        await cloud.networks.release(group, ())  # type: ignore[union-attr]
    assert cloud_project.left() == {}
