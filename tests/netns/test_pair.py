# SPDX-License-Identifier: Apache-2.0
"""A pair of real agents: who owns the VIPs after what has happened to one of them. How long it takes is measured elsewhere."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from .agents import server
from .pairs import VIP4, VIP6, Pair, PairAmphora, pair_of
from .sandbox import Sandbox, until

pytestmark = pytest.mark.netns

A, B = server(8001), server(8002)


@pytest_asyncio.fixture
async def pair(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Pair]:
    async for made in pair_of(walls, tmp_path, A, B):
        yield made


async def test_one_of_them_has_both_vips_and_both_say_which(pair: Pair) -> None:
    owner = await pair.settled()
    other = pair.other(owner)
    assert owner.owned() == {VIP4, VIP6}
    assert other.owned() == set()
    assert await other.state() == "BACKUP"
    await pair.answers()


def _signal(program: str, which: slice, number: signal.Signals) -> Callable[[PairAmphora], None]:
    def harm(owner: PairAmphora) -> None:
        owner.signal(program, number, which)

    return harm


def _link_down(owner: PairAmphora) -> None:
    owner.here("ip", "link", "set", "eth1", "down")


def _link_up(owner: PairAmphora) -> None:
    owner.here("ip", "link", "set", "eth1", "up")


ALL, PARENT, CHILD = slice(None), slice(0, 1), slice(1, 2)
HARMS: dict[str, tuple[Callable[[PairAmphora], None], Callable[[PairAmphora], None] | None]] = {
    "haproxy killed": (_signal("haproxy", ALL, signal.SIGKILL), None),
    "haproxy's worker killed": (_signal("haproxy", CHILD, signal.SIGKILL), None),
    "haproxy stopped": (_signal("haproxy", ALL, signal.SIGSTOP), None),
    "haproxy's worker stopped": (_signal("haproxy", CHILD, signal.SIGSTOP), None),
    "keepalived killed": (_signal("keepalived", ALL, signal.SIGKILL), None),
    "keepalived's parent killed": (_signal("keepalived", PARENT, signal.SIGKILL), None),
    "keepalived's child killed": (_signal("keepalived", CHILD, signal.SIGKILL), None),
    "keepalived stopped": (_signal("keepalived", ALL, signal.SIGSTOP), None),
    "link down": (_link_down, _link_up),
}


async def test_whatever_happens_to_the_owner_the_other_one_takes_over(pair: Pair) -> None:
    """Both families together; what was harmed comes back as the one that stands by, and owns nothing."""
    for what, (harm, undo) in HARMS.items():
        owner = await pair.settled()
        other = pair.other(owner)
        harm(owner)

        async def moved(other: PairAmphora = other) -> bool:
            return other.owned() == {VIP4, VIP6} and await other.state() == "MASTER"

        assert await until(moved, seconds=20), what
        await pair.answers()
        if undo:
            undo(owner)

        async def well(owner: PairAmphora = owner) -> bool:
            return await owner.state() == "BACKUP" and not owner.owned()

        assert await until(well, seconds=30), f"{what}: {await owner.state()} {owner.owned()}\n{owner.log()}"
        assert await pair.settled() is other, what


async def test_what_dies_while_the_agent_is_dead_moves_the_vips_all_the_same(pair: Pair) -> None:
    """And the agent that comes back finds keepalived as it is."""
    owner = await pair.settled()
    before = owner.pids("keepalived")
    owner.kill()
    await pair.answers()
    await owner.start()
    assert await owner.state() == "MASTER"
    assert owner.pids("keepalived") == before
    owner.kill()
    owner.signal("haproxy", signal.SIGKILL)
    other = pair.other(owner)
    assert await until(lambda: _is_owner(other))
    await pair.answers()
    await owner.start()
    assert await pair.settled() is other


async def _is_owner(one: PairAmphora) -> bool:
    return one.owned() == {VIP4, VIP6}


async def test_a_namespace_that_is_gone_is_not_missed(pair: Pair) -> None:
    owner = await pair.settled()
    other = pair.other(owner)
    pair.inside("ip", "link", "del", f"p{owner.number}")
    owner.kill()
    for program in ("haproxy", "keepalived"):
        owner.signal(program, signal.SIGKILL)
    assert await until(lambda: _is_owner(other))
    await pair.answers()
