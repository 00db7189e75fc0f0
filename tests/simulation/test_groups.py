# SPDX-License-Identifier: Apache-2.0
"""Amphora groups: load balancers that share amphorae, are moved between groups, and lose what they are on."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from octavia_provider.model.errors import Unreachable

from . import checks
from .cloud import NETWORK
from .loop import run
from .site import PAIR, SINGLE, Site, site
from .store import commit
from .test_pairs import until_whole, vip

BOTH = pytest.mark.parametrize("roles", [SINGLE, PAIR], ids=["single", "pair"])


async def standing(made: Site, balancers: int = 1, **group: Any) -> tuple[str, list[str]]:
    """A group with load balancers that serve, and no control plane."""
    group_id = await made.write("amphora_group", name="web", **group)
    ids = [await balancer(made, group_id) for _ in range(balancers)]
    plane = await made.start()
    for scope_id in (group_id, *ids):
        await made.when_settled(scope_id)
    for lb_id in ids:
        await until_whole(made, lb_id)
    await plane.stop()
    return group_id, ids


async def balancer(made: Site, group_id: str | None) -> str:
    lb_id = await made.write("load_balancer", vip_network_id=NETWORK, amphora_group_id=group_id)
    await made.write("listener", loadbalancer_id=lb_id, protocol="HTTP", protocol_port=80)
    return lb_id


def hosts(made: Site, group_id: str) -> list[str]:
    return [id_ for id_, server in made.world.servers.items() if server.instance.load_balancer_id == group_id]


def on(made: Site, lb_id: str) -> set[str]:
    """The servers that a load balancer is on."""
    return {str(one.instance.host or one.instance.amphora_id) for one in made.world.live(lb_id)}


async def told(made: Site, reason: str, amphora_id: str) -> str:
    """What the event of this reason says of an amphora."""
    return next(e.message for e in await made.events() if (e.reason, e.amphora_id) == (reason, amphora_id))


async def failovers(made: Site, group_id: str) -> list[str]:
    """Of the group's own amphorae."""
    return [e.reason for e in await made.events() if e.object_id == group_id and e.reason.startswith("Failover")]


async def all_gone(made: Site, group_id: str, ids: list[str]) -> None:
    """Load balancers and their group are deleted, and nothing is left."""
    for lb_id in ids:
        await made.delete("load_balancer", lb_id)
        await made.when_settled(lb_id)
    await made.delete("amphora_group", group_id)
    await made.until(lambda: not made.world.servers)
    await made.when_settled(group_id)
    await checks.is_empty(made)


@pytest.mark.covers("load_balancer.amphora_group_id", "amphora_group.size", "amphora_group.capacity")
@BOTH
def test_load_balancers_share_the_amphorae_of_their_group_and_all_of_them_work(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            size = 4 - len(roles)
            group_id, ids = await standing(made, balancers=6, size=size, capacity=6 * len(roles) // size)
            assert len(made.world.servers) == size
            assert set(Counter(key[0] for key in made.world.seats).values()) == {6 * len(roles) // size}
            amphorae = await made.store.read(lambda tx: tx.amphorae())
            serving = Counter(a.host_id for a in amphorae if a.role in ("MASTER", "STANDALONE"))
            assert serving == dict.fromkeys(hosts(made, group_id), 6 // size)
            await made.start()
            await all_gone(made, group_id, ids)

    run(story())


async def into(made: Site, lb_id: str, group_id: str | None) -> None:
    await made.change("load_balancer", lb_id, amphora_group_id=group_id)


@BOTH
def test_a_load_balancer_is_moved_into_a_group_to_another_one_and_out_with_one_owner_at_each_step(
    roles: tuple[str, ...],
) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            first, (other,) = await standing(made)
            second = await made.write("amphora_group", name="more")
            lb_id = await balancer(made, None)
            await made.start()
            await made.when_settled(second)
            await until_whole(made, lb_id)
            with checks.one_owner(made.world, lb_id, await vip(made, lb_id)):
                for group_id in (first, second, None):
                    await into(made, lb_id, group_id)
                    await made.when_settled(lb_id)
                    await until_whole(made, lb_id)
                    there = hosts(made, group_id or lb_id)
                    assert len(on(made, lb_id)) == len(roles)
                    assert on(made, lb_id) <= set(there)
            await until_whole(made, other)

    run(story())


@BOTH
@pytest.mark.parametrize("way", ["in", "out", "across"])
def test_a_control_plane_that_ends_at_any_step_of_a_move_leaves_one_owner(roles: tuple[str, ...], way: str) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            first, (other,) = await standing(made)
            second = await made.write("amphora_group", name="more")
            lb_id = await balancer(made, None if way == "in" else first)
            plane = await made.start()
            await made.when_settled(second)
            await made.when_settled(lb_id)
            await until_whole(made, lb_id)
            await plane.stop()
            with checks.one_owner(made.world, lb_id, await vip(made, lb_id)):
                await into(made, lb_id, {"in": first, "out": None, "across": second}[way])
                assert await made.run_with_crashes(lb_id) > 4
                await made.start()
                await until_whole(made, lb_id)
            await until_whole(made, other)

    run(story())


@BOTH
def test_a_host_that_is_lost_is_replaced_and_its_load_balancers_are_whole_again(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            group_id, ids = await standing(made, balancers=3)
            await made.start()
            lost = hosts(made, group_id)[0]
            made.world.take_away(lost)
            await made.until(lambda: len(hosts(made, group_id)) == 2)
            assert "another one takes its place" in await told(made, "AmphoraLost", lost)
            for lb_id in ids:
                await until_whole(made, lb_id)
                assert lost not in on(made, lb_id)
            await all_gone(made, group_id, ids)

    run(story())


@BOTH
def test_a_host_whose_agent_does_not_come_back_is_replaced(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            group_id, ids = await standing(made, balancers=2)
            await made.start()
            hung = hosts(made, group_id)[0]
            made.world.servers[hung].answering = made.world.servers[hung].beating = False
            made.world.fail("restart_agent", *(Unreachable("no answer") for _ in range(3)))
            await made.until(lambda: hung not in made.world.servers)
            for lb_id in ids:
                await until_whole(made, lb_id)

    run(story())


async def rolls(made: Site, group_id: str, **change: Any) -> None:
    await made.change("amphora_group", group_id, **change)


@pytest.mark.covers("amphora_group.flavor_id")
@BOTH
def test_a_group_gets_another_flavor_larger_and_smaller_with_one_owner_at_each_step(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            group_id, ids = await standing(made, balancers=2)
            before = set(hosts(made, group_id))
            flavor_id = await made.flavor(compute_flavor="large")
            await made.start()
            with checks.one_owner(made.world, ids[0], await vip(made, ids[0])):
                await rolls(made, group_id, flavor_id=flavor_id)
                await made.until(lambda: not before & set(hosts(made, group_id)))
                assert {made.world.servers[id_].flavor["compute_flavor"] for id_ in hosts(made, group_id)} == {"large"}
                await rolls(made, group_id, size=4)
                await made.until(lambda: len(hosts(made, group_id)) == 4)
                await rolls(made, group_id, size=len(roles))
                await made.until(lambda: len(hosts(made, group_id)) == len(roles))
                for lb_id in ids:
                    await made.when_settled(lb_id)
                    await until_whole(made, lb_id)
            assert await failovers(made, group_id) == [], "nobody asked for one"
            await all_gone(made, group_id, ids)

    run(story())


@BOTH
def test_a_host_is_failed_over_and_its_load_balancers_leave_it_by_handovers(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            group_id, ids = await standing(made, balancers=2)
            plane = await made.start()
            old = next(iter(on(made, ids[0])))
            with checks.one_owner(made.world, ids[0], await vip(made, ids[0])):
                done = await plane.api.call("PUT", f"/octavia/amphorae/{old}/failover", wait=300)
                assert done.status == 204
                assert old not in made.world.servers
                for lb_id in ids:
                    await made.when_settled(lb_id)
                    await until_whole(made, lb_id)
            shown = (await plane.api.call("GET", "/octavia/amphorae")).body["amphorae"]
            assert {one["amphora_group_id"] for one in shown} == {group_id}
            assert {one["loadbalancer_id"] for one in shown} == {None, *ids}
            group = (await plane.api.call("GET", f"/octavia/amphora-groups/{group_id}")).body["amphora_group"]
            assert (group["provisioning_status"], group["operating_status"]) == ("ACTIVE", "ONLINE")
            assert await failovers(made, group_id) == ["FailoverStarted", "FailoverFinished"]

    run(story())


@BOTH
def test_a_control_plane_that_ends_at_any_step_of_the_failover_of_a_host_leaves_one_owner(
    roles: tuple[str, ...],
) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            group_id, (lb_id,) = await standing(made)
            old = next(iter(on(made, lb_id)))

            def retire(tx: Any) -> None:
                tx.retire([old])
                tx.touch(group_id)

            with checks.one_owner(made.world, lb_id, await vip(made, lb_id)):
                await commit(made.store, retire)
                assert await made.run_with_crashes(group_id) > 4
                await made.start()
                await until_whole(made, lb_id)
            assert len(made.world.servers) == 2
            assert old not in made.world.servers

    run(story())


def test_a_control_plane_that_ends_at_any_step_of_the_deletion_of_a_group_leaves_nothing() -> None:
    async def story() -> None:
        async with site() as made:
            group_id = await made.write("amphora_group", name="web", size=1, capacity=1)
            plane = await made.start()
            await made.when_settled(group_id)
            assert made.world.server_groups == {group_id}
            await plane.kill()
            await made.delete("amphora_group", group_id)
            assert await made.run_with_crashes(group_id) > 4
            await checks.is_empty(made)

    run(story())


def test_a_host_is_drained_and_a_failover_without_a_free_place_is_refused() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            _, ids = await standing(made, balancers=2)
            plane = await made.start()
            drained = next(iter(on(made, ids[0])))
            assert (await plane.api.call("PUT", f"/octavia/amphorae/{drained}/drain")).status == 202
            seats = {one.amphora_id for key, one in made.world.seats.items() if key[0] == drained}
            await made.until(lambda: not seats & set(made.world.owners.values()))
            assert (await plane.api.call("DELETE", f"/octavia/amphorae/{drained}/drain")).status == 204
            refused = await plane.api.call("PUT", f"/lbaas/loadbalancers/{ids[0]}/failover")
            assert (refused.status, "no other amphora of its group" in str(refused.body)) == (409, True)

    run(story())


def test_load_balancers_of_a_group_that_is_booted_later_get_their_places_when_there_are_some() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            made.world.fail("boot", *(Unreachable("no valid host") for _ in range(6)))
            group_id = await made.write("amphora_group")
            lb_id = await balancer(made, group_id)
            plane = await made.start()
            await asyncio.sleep(2)
            shown = await made.show(plane, {"id": lb_id})
            assert shown["provisioning_status"] == "PENDING_CREATE"
            assert "none of its amphorae has a place" in shown["provisioning_error"]
            await until_whole(made, lb_id)
            await all_gone(made, group_id, [lb_id])

    run(story())


def test_a_load_balancer_leaves_a_host_that_goes_when_its_own_failover_makes_room_elsewhere() -> None:
    """While the failover is stuck it is on every host, so there is no other place for what is on the host that goes."""

    async def story() -> None:
        async with site(roles=PAIR) as made:
            group_id, (lb_id, _) = await standing(made, balancers=2)
            plane = await made.start()
            await rolls(made, group_id, size=3)
            await made.when_settled(group_id)
            (new,) = set(hosts(made, group_id)) - on(made, lb_id)
            made.world.fail("detach", *(Unreachable("it hangs") for _ in range(1000)))
            replaced = next(one for one in made.world.live(lb_id)).instance.amphora_id
            assert (await plane.api.call("PUT", f"/octavia/amphorae/{replaced}/failover")).status == 202
            await made.until(lambda: len(on(made, lb_id)) == 3)
            await rolls(made, group_id, size=2)
            await asyncio.sleep(60)
            assert new in on(made, lb_id)
            made.world.failures.clear()
            await made.until(lambda: new not in made.world.servers)
            await made.when_settled(group_id)
            assert await told(made, "AmphoraRetired", new) == "It is to be taken away: the group is smaller"
            await until_whole(made, lb_id)

    run(story())


def test_a_load_balancer_leaves_a_host_that_goes_when_another_one_makes_room() -> None:
    async def story() -> None:
        async with site(roles=SINGLE) as made:
            group_id, ids = await standing(made, balancers=2, capacity=1)
            plane = await made.start()
            made.world.fail("boot", *(Unreachable("no valid host") for _ in range(1000)))
            await rolls(made, group_id, flavor_id=await made.flavor(compute_flavor="large"))
            await asyncio.sleep(60)
            told = {id_: (await made.show(plane, {"id": id_}))["provisioning_error"] for id_ in ids}
            (lb_id,) = (id_ for id_, reason in told.items() if reason)
            assert "none of its amphorae has a place" in told[lb_id]
            (other,) = {*ids} - {lb_id}
            room = on(made, other)
            await made.delete("load_balancer", other)
            await made.until(lambda: on(made, lb_id) == room)
            await until_whole(made, lb_id)

    run(story())
