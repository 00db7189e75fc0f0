# SPDX-License-Identifier: Apache-2.0
"""A load balancer that another control plane brings about is heard here too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builders import record, web
from octavia_amphora.wire.heartbeat import BalancerBeat, short_digest
from octavia_amphora.wire.messages import Counters, InForce, ListenerState, ServerState
from octavia_provider.controller.followed import Followed
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.model.errors import Unreachable
from octavia_provider.render.haproxy import Placement, render

CONFIGURATION = render(web(2), Placement(vips=("10.0.0.9",))).configuration
FIRST, SECOND = "a" * 64, "b" * 64


class Site:
    """It stands for the cloud, the agent and the store."""

    def __init__(self) -> None:
        self.status_cache = StatusCache()
        self.digest = FIRST
        self.asked = 0
        self.fails: list[Exception] = []
        self.tasks: list[asyncio.Task[None]] = []
        me = cast("Any", self)
        self.followed = Followed(me, me, me, self.status_cache, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(work))

    async def instances(self, _load_balancer_id: str) -> list[Any]:
        return [SimpleNamespace(amphora_id="amp")]

    async def in_force(self, _host: Any, _load_balancer_id: str) -> InForce:
        self.asked += 1
        if self.fails:
            raise self.fails.pop()
        return InForce(self.digest, CONFIGURATION)

    async def read(self, _work: Callable[..., Any]) -> None:
        return None

    async def beat(self, digest: str, state: ServerState = "up", *, serving: bool = True) -> None:
        listener = ListenerState(counters=Counters(bytes_in=7))
        self.followed.hear("amp", BalancerBeat("lb", short_digest(digest), 1, serving, (listener,), (state, state)))
        await asyncio.gather(*self.tasks)

    def member(self) -> str:
        return self.status_cache.operating_status(record("member", "m1"))


@pytest.fixture
def site() -> Site:
    return Site()


async def test_the_agent_is_asked_once_for_what_its_heartbeats_speak_of(site: Site) -> None:
    await site.beat(FIRST)
    assert site.member() == "OFFLINE", "nothing is claimed before it is understood"
    for state, shown in (("up", "ONLINE"), ("down", "ERROR")):
        await site.beat(FIRST, cast("ServerState", state))
        assert site.member() == shown
    assert site.status_cache.statistics("lb", "web") == Counters(bytes_in=7)
    assert site.asked == 1


async def test_a_change_is_asked_for_once_it_has_come_to_rest(site: Site) -> None:
    await site.beat(FIRST)
    await site.beat(FIRST)
    site.digest = SECOND
    for digest in ("c" * 64, "d" * 64, SECOND):
        await site.beat(digest, "down")
    assert (site.asked, site.member()) == (1, "ONLINE"), "a change follows the other: what was seen stays so long"
    await site.beat(SECOND, "down")
    await site.beat(SECOND, "down")
    assert (site.asked, site.member()) == (2, "ERROR")


async def test_an_agent_that_does_not_answer_is_asked_again(site: Site) -> None:
    site.fails.append(Unreachable("no answer"))
    for _ in range(3):
        await site.beat(FIRST)
    assert (site.asked, site.member()) == (2, "ONLINE")


async def test_what_is_not_heard_any_more_is_not_claimed(site: Site) -> None:
    await site.beat(FIRST)
    await site.beat(FIRST)
    site.followed.forget("amp", "lb")
    assert (site.member(), site.status_cache.operating_status(record("load_balancer", "lb"))) == ("OFFLINE", "OFFLINE")
    await site.beat(FIRST, serving=False)
    assert site.member() == "OFFLINE"
