# SPDX-License-Identifier: Apache-2.0
"""What operators do: failover, drain, agents started anew; in virtual time, with control planes that end meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.model.errors import Unreachable
from octavia_provider.ports import Amphora, CloudResource, Inventory

from . import checks
from .loop import run
from .site import PAIR, SINGLE, ControlPlane, Site, site
from .store import commit

BOTH = pytest.mark.parametrize("roles", [SINGLE, PAIR], ids=["single", "pair"])


async def amphorae(plane: ControlPlane, lb: dict[str, Any]) -> list[dict[str, Any]]:
    found = await plane.api.call("GET", f"/octavia/amphorae?loadbalancer_id={lb['id']}")
    return list(found.body["amphorae"])


async def ids(plane: ControlPlane, lb: dict[str, Any]) -> set[str]:
    return {one["id"] for one in await amphorae(plane, lb)}


async def settled(made: Site, plane: ControlPlane, lb: dict[str, Any]) -> None:
    """What nobody had to wait for is done too, and all is as it should be."""
    await made.until(lambda: plane.controller.troubles() == {})
    await asyncio.sleep(10)
    await checks.is_whole(made, lb["id"])


def owner(made: Site, lb: dict[str, Any]) -> str:
    return made.world.owners[lb["id"]]


async def failing_over(made: Site) -> tuple[ControlPlane, dict[str, Any], set[str], str]:
    """A load balancer whose failover has just been asked for, the amphorae that it had, and where that is asked."""
    plane = await made.start()
    lb = await made.balancer(plane)
    before, path = await ids(plane, lb), f"/lbaas/loadbalancers/{lb['id']}/failover"
    assert (await plane.api.call("PUT", path)).status == 202
    return plane, lb, before, path


@BOTH
def test_failover_of_a_load_balancer_replaces_all_its_amphorae(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane, lb, before, path = await failing_over(made)
            assert (await made.show(plane, lb))["provisioning_status"] == "PENDING_UPDATE"
            assert {one["status"] for one in await amphorae(plane, lb)} == {"PENDING_DELETE"}
            await made.until_active(plane, lb)
            after = await ids(plane, lb)
            assert (len(after), before & after) == (len(roles), set())
            await settled(made, plane, lb)
            assert (await plane.api.call("PUT", path, wait=300)).status == 204
            assert not after & await ids(plane, lb)
            told = [event for event in await made.events(lb["id"]) if event.reason.startswith("Failover")]
            assert [event.reason for event in told] == ["FailoverStarted", "FailoverFinished"] * 2
            assert {*told[0].data["amphorae"]} == before

    run(story())


@BOTH
def test_what_the_cloud_calls_an_instance_is_written_down_where_a_store_does_not_know_it(
    roles: tuple[str, ...],
) -> None:
    """One of before it was kept: what runs is not made anew for it."""

    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await settled(made, plane, lb)
            before = await ids(plane, lb)
            await plane.stop()
            await commit(made.store, lambda tx: _forget(tx, lb["id"]))
            plane = await made.start()
            assert {one["compute_id"] for one in await amphorae(plane, lb)} == {None}
            await settled(made, plane, lb)
            assert [one["id"] == one["compute_id"] for one in await amphorae(plane, lb)] == [True] * len(roles)
            assert await ids(plane, lb) == before

    run(story())


def _forget(tx: Any, load_balancer_id: str) -> None:
    for one in tx.amphorae(load_balancer_id):
        tx.put_amphora(replace(one, compute_id=None))


def test_no_more_amphorae_start_at_one_time_than_the_cloud_is_good_for() -> None:
    """Half of all are lost at once: those that serve need what starting takes."""

    async def story() -> None:
        async with site(roles=PAIR) as made:
            made.boots_at_once = 2
            plane = await made.start()
            balancers = [await made.balancer(plane, f"lb{n}") for n in range(5)]
            await made.until(lambda: all(lb["id"] in made.world.owners for lb in balancers))
            lost = {owner(made, lb) for lb in balancers}
            for id_ in lost:
                made.world.take_away(id_)
            starting = [0]
            async with asyncio.timeout(300):
                while lost & {one.id for one in await all_amphorae(made)} or starting[-1]:
                    starting.append(starting_now(made, await all_amphorae(made)))
                    await asyncio.sleep(0.05)
            assert max(starting) == 2
            for lb in balancers:
                await settled(made, plane, lb)

    run(story())


async def all_amphorae(made: Site) -> list[Amphora]:
    return list(await made.store.read(lambda tx: tx.amphorae()))


def starting_now(made: Site, amphorae: list[Amphora]) -> int:
    """How many servers there are that the store does not call made yet."""
    return sum(one.status == "BOOTING" and one.id in made.world.servers for one in amphorae)


@BOTH
def test_a_failover_that_is_asked_for_twice_replaces_each_amphora_once(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane, lb, before, path = await failing_over(made)
            async with asyncio.timeout(60):
                while not await ids(plane, lb) - before:  # noqa: ASYNC110 - virtual time
                    await asyncio.sleep(0.01)
            (new,) = [one for one in await amphorae(plane, lb) if one["id"] not in before]
            assert new["status"] == "BOOTING"
            assert (await plane.api.call("PUT", path)).status == 202
            await made.until_active(plane, lb)
            await settled(made, plane, lb)
            assert new["id"] in await ids(plane, lb)
            assert not before & await ids(plane, lb)
            booted = [event for event in await made.events(lb["id"]) if event.reason == "AmphoraBooted"]
            assert len(booted) == 2 * len(roles)

    run(story())


def test_failover__an_amphora_that_could_not_be_made_is_no_news_to_housekeeping_and_a_lost_one_is() -> None:
    async def story() -> None:
        async with site(roles=SINGLE) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await settled(made, plane, lb)
            made.world.fail("boot", *(Unreachable("gateway timeout") for _ in range(1000)))
            assert (await plane.api.call("PUT", f"/lbaas/loadbalancers/{lb['id']}/failover", wait=100)).status == 202, (
                "it was not replaced"
            )
            await asyncio.sleep(50)
            reconciler = plane.controller.reconciler(lb["id"])
            assert isinstance(reconciler, BalancerReconciler)
            rules = [CloudResource(kind="listener", id=id_, words="") for id_ in made.world.rules]
            inventory = Inventory(instances=[one.instance for one in made.world.servers.values()], resources=rules)
            assert not reconciler.missing(inventory), "it is tried later and later, not at each look"
            assert reconciler.missing(Inventory(resources=rules))
            assert {one["status"] for one in await amphorae(plane, lb)} == {"BOOTING", "PENDING_DELETE"}
            made.world.failures["boot"] = []
            await settled(made, plane, lb)
            assert {one["status"] for one in await amphorae(plane, lb)} == {"ALLOCATED"}

    run(story())


def test_failover_of_one_of_a_pair_replaces_that_one() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            before = await ids(plane, lb)
            for chosen in sorted(before):
                done = await plane.api.call("PUT", f"/octavia/amphorae/{chosen}/failover", wait=300)
                assert done.status == 204
                after = await ids(plane, lb)
                assert chosen not in after
                await settled(made, plane, lb)
            assert not before & after

    run(story())


@BOTH
def test_a_failover_goes_on_where_a_control_plane_ends_at_any_step(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            before = await ids(plane, lb)
            assert (await plane.api.call("PUT", f"/lbaas/loadbalancers/{lb['id']}/failover")).status == 202
            await plane.kill()
            assert await made.run_with_crashes(lb["id"]) > 4
            again = await made.start()
            await made.until(lambda: again.controller.troubles() == {} and len(made.world.servers) == len(roles))
            assert not before & await ids(again, lb)
            await settled(made, again, lb)

    run(story())


def test_a_drained_amphora_has_no_vip_until_that_is_undone__and_has_it_where_the_other_one_is_lost() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await asyncio.sleep(5)  # it is heard
            first = owner(made, lb)
            drained = f"/octavia/amphorae/{first}/drain"
            assert (await plane.api.call("PUT", drained)).status == 202
            await made.until(lambda: owner(made, lb) != first)
            second = owner(made, lb)
            assert second != first
            other = await plane.api.call("PUT", f"/octavia/amphorae/{second}/drain")
            assert other.status == 409
            await asyncio.sleep(60)
            assert owner(made, lb) == second
            assert [one["draining"] for one in await amphorae(plane, lb) if one["id"] == first] == [True]
            assert (await plane.api.call("DELETE", drained)).status == 204
            await asyncio.sleep(60)
            assert owner(made, lb) == second, "nobody preempts"
            await checks.is_whole(made, lb["id"])

    run(story())


def test_one_that_is_alone_is_not_drained() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            (alone,) = await ids(plane, lb)
            assert (await plane.api.call("PUT", f"/octavia/amphorae/{alone}/drain")).status == 409

    run(story())


@BOTH
def test_an_agent_is_started_anew_and_nothing_else_changes(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            before = await ids(plane, lb)
            for number, chosen in enumerate(sorted(before), start=1):
                assert (await plane.api.call("PUT", f"/octavia/amphorae/{chosen}/agent", wait=300)).status == 204
                assert made.world.calls["restart_agent"] == number
            assert await ids(plane, lb) == before
            assert {one["agent_version"] for one in await amphorae(plane, lb)} == {"1"}
            await settled(made, plane, lb)
            assert (await plane.api.call("PUT", f"/octavia/amphorae/{chosen}/config")).status == 202
            (options,) = made.world.servers[chosen].options
            assert options.heartbeat_interval == 1.0

    run(story())


def test_the_configuration_in_force_is_shown_while_the_cloud_is_asked_anew() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            made.world.fail("list_servers", *[Unreachable("gateway timeout")] * 3)
            plane.controller.poke(lb["id"], forget=True)
            while made.world.failures["list_servers"]:
                answer = await plane.api.call("GET", f"/octavia/loadbalancers/{lb['id']}/configuration?rendered=true")
                assert answer.body["haproxy"] == answer.body["next"] != ""
                await asyncio.sleep(0.01)

    run(story())
