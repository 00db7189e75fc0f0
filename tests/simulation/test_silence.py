# SPDX-License-Identifier: Apache-2.0
"""Amphorae that are not heard: what the control plane does where it is they that fail, and where it may be itself."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from octavia_provider.model.errors import Unreachable
from octavia_provider.model.events import EventFilter

from . import checks
from .loop import VirtualLoop, run
from .site import ControlPlane, Site, site

CHANGES = ("boot", "restart_agent", "delete_server", "push")


async def reasons(made: Site) -> list[str]:
    return [event.reason for event in await made.store.read(lambda tx: tx.events(EventFilter(), limit=1000))]


async def fleet(made: Site, plane: ControlPlane, count: int) -> list[str]:
    """So many load balancers, which are heard."""
    ids = [(await made.balancer(plane, f"lb {number}"))["id"] for number in range(count)]
    await asyncio.sleep(10)
    return ids


def changes(made: Site) -> list[int]:
    return [made.world.calls[name] for name in CHANGES]


async def breaker_open(plane: ControlPlane) -> bool:
    facts = (await plane.api.call("GET", "/octavia/control-plane")).body["control_plane"]
    return bool(facts["heartbeats"]["breaker_open"])


async def until_breaker(plane: ControlPlane, *, is_open: bool) -> None:
    async with asyncio.timeout(100):
        while await breaker_open(plane) is not is_open:  # noqa: ASYNC110 - as Site.until()
            await asyncio.sleep(0.5)


def test_heartbeats_that_get_lost_change_nothing_where_the_agent_answers() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await asyncio.sleep(10)
            before = changes(made)
            made.world.live(lb["id"])[0].beating = False
            await asyncio.sleep(120)
            assert changes(made) == before
            assert (await made.show(plane, lb))["operating_status"] == "ONLINE"
            assert "HeartbeatsLost" in await reasons(made)
            assert "AgentSilent" not in await reasons(made)

    run(story())


def test_invariant_07_many_that_fall_silent_at_once_are_left_alone__until_they_are_heard_again() -> None:
    """The network between, or the control plane itself: an agent that was started anew would not answer any better."""

    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            ids = await fleet(made, plane, 5)
            before = changes(made)
            for server in made.world.servers.values():
                server.beating = server.answering = False
            await until_breaker(plane, is_open=True)
            await asyncio.sleep(300)
            assert changes(made) == before
            for server in made.world.servers.values():
                server.beating = server.answering = True
            await until_breaker(plane, is_open=False)
            await asyncio.sleep(30)
            assert changes(made) == before
            found = await reasons(made)
            assert (found.count("BreakerOpened"), found.count("BreakerClosed")) == (1, 1)
            hung = made.world.live(ids[0])[0]
            hung.beating = hung.answering = False
            await made.until(lambda: hung.answering)
            assert made.world.calls["restart_agent"] == 1

    run(story())


def test_many_that_the_cloud_says_are_gone_are_made_anew_also_while_the_breaker_is_open() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            ids = await fleet(made, plane, 4)
            made.world.servers.clear()
            await made.until(lambda: len(made.world.servers) == len(ids))
            await made.until(
                lambda: plane.controller.troubles() == {} and all(s.standing for s in made.world.servers.values())
            )
            await until_breaker(plane, is_open=False)
            for lb_id in ids:
                await checks.is_whole(made, lb_id)

    run(story())


def test_invariant_14_a_control_plane_that_was_paused_does_nothing_to_amphorae_that_it_did_not_hear() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            ids = await fleet(made, plane, 2)
            before = changes(made)
            for seconds in (3.0, 6.0, 30.0, 3600.0):
                cast("VirtualLoop", asyncio.get_running_loop()).advance(
                    seconds
                )  # nothing of this process runs meanwhile
                await asyncio.sleep(20)
            assert [made.world.calls[name] for name in CHANGES[:3]] == before[:3]
            found = await reasons(made)
            assert not {"AgentSilent", "BreakerOpened"} & set(found)
            for lb_id in ids:
                await checks.is_whole(made, lb_id)

    run(story())


def test_what_was_said_before_a_control_plane_started_is_not_believed_by_it() -> None:
    """Somebody who has recorded an amphora's heartbeats sends them again, when it is silent and the control plane is new."""

    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            (server,) = made.world.live(lb["id"])
            sent: list[bytes] = []
            made.world.recorder = sent.append
            await asyncio.sleep(30)
            made.world.recorder = None
            await plane.stop()
            pushes = made.world.calls["push"]
            again = await made.start()
            await made.until(lambda: made.world.calls["push"] > pushes and again.controller.troubles() == {})
            server.beating = server.answering = False
            asked = made.world.calls["restart_agent"]
            for datagram in sent:
                made.world.receivers[-1].send(datagram)
                await asyncio.sleep(1)
                if made.world.calls["restart_agent"] > asked:
                    break
            assert made.world.calls["restart_agent"] > asked, "the replay kept it alive"
            facts: dict[str, Any] = (await again.api.call("GET", "/octavia/control-plane")).body["control_plane"]
            assert facts["heartbeats"]["rejected"]["replayed"] > 0

    run(story())


def test_an_amphora_whose_agent_does_not_come_back_is_replaced__also_where_it_is_alone() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await asyncio.sleep(10)
            (hung,) = made.world.live(lb["id"])
            hung.beating = hung.answering = False
            made.world.fail("restart_agent", *(Unreachable("the host hangs") for _ in range(1000)))
            await made.until(lambda: hung not in made.world.servers.values())
            await made.until(lambda: plane.controller.troubles() == {})
            await asyncio.sleep(20)
            await checks.is_whole(made, lb["id"])
            assert (await made.show(plane, lb))["operating_status"] == "ONLINE"

    run(story())
