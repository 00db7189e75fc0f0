# SPDX-License-Identifier: Apache-2.0
"""Taking the cloud down when nothing is left, while something new is being asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.specs import NetworkSpec

from .clouds import alive, cloud_in_own_home

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
    await cloud.start()
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
