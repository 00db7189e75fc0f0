# SPDX-License-Identifier: Apache-2.0
"""Taking the cloud down when nothing is left, while something new is being asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.specs import NetworkSpec
from octavia_provider.model.errors import LeaseLost
from octavia_provider.ports import LEASE, Scope

from .clouds import alive, cloud_in_own_home, make_cloud

NETWORK = NetworkSpec(id="late", cidr="10.44.0.0/24")


@pytest_asyncio.fixture
async def made() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    async for cloud in cloud_in_own_home():
        yield cloud


async def test_it_stays_where_it_is_wanted_again(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.start()
    holder = cloud.holder_pid

    async def wanted() -> bool:
        return True

    assert not await cloud.stop(unless=wanted)
    assert alive(holder)


async def test_what_is_asked_for_while_it_ends_is_made_in_the_next_one(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.delete_network("front")
    holder = cloud.holder_pid
    asked, answered = asyncio.Event(), asyncio.Event()

    async def wanted() -> bool:
        asked.set()
        await answered.wait()
        return False

    ending = asyncio.create_task(cloud.stop(unless=wanted))
    await asked.wait()
    making = asyncio.create_task(cloud.ensure_network(NETWORK))
    answered.set()
    assert await ending
    await making
    assert not alive(holder)
    assert await cloud.networks() == ["late"]


async def test_it_stays_where_another_control_plane_has_made_something_meanwhile(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    other = make_cloud(home)
    await cloud.delete_network("front")
    holder = cloud.holder_pid

    async def wanted() -> bool:
        await other.ensure_network(NETWORK)
        return False

    assert not await cloud.stop(unless=wanted)
    assert alive(holder)
    assert await cloud.networks() == ["late"]
    await other.close()


async def test_who_has_lost_its_lease_commands_nothing_where_the_cloud_is_shared(made: tuple[NetnsCloud, Path]) -> None:
    _, home = made
    one, two = make_cloud(home, shared=True), make_cloud(home, shared=True)

    async def network(cloud: NetnsCloud, fence: int, name: str) -> None:
        LEASE.set(Scope(id="scope", kind="local_network", fence=fence))
        await cloud.ensure_network(NetworkSpec(id=name, cidr="10.44.0.0/24"))

    await asyncio.create_task(network(one, 1, "late"))
    await asyncio.create_task(network(two, 2, "late"))
    with pytest.raises(LeaseLost, match="another control plane has taken the lease"):
        await asyncio.create_task(network(one, 1, "later"))
    assert "later" not in await one.networks()
    await two.forget_fences()
    await asyncio.create_task(network(one, 1, "late"))
    for cloud in (one, two):
        await cloud.close()


async def test_each_control_plane_of_a_shared_cloud_hears_at_a_port_of_its_own(made: tuple[NetnsCloud, Path]) -> None:
    _, home = made
    clouds = [make_cloud(home, shared=True) for _ in range(3)]
    sockets = [cloud.heartbeat_socket() for cloud in clouds]
    assert len({cloud.heartbeat_receiver for cloud in clouds}) == 3
    for cloud, opened in zip(clouds, sockets, strict=True):
        await cloud.start()  # it runs already
        assert cloud.heartbeat_receiver == "{}:{}".format(*opened.getsockname())
        opened.close()
        await cloud.close()
