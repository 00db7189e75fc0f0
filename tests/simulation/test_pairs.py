# SPDX-License-Identifier: Apache-2.0
"""Amphorae that are replaced, become a pair, or are left alone, with a control plane that ends at any step of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from octavia_provider.controller import pairs
from octavia_provider.model.errors import Unreachable
from octavia_provider.ports import CertificateExpired

from . import checks
from .cloud import NETWORK
from .loop import run
from .site import PAIR, SINGLE, Site, site
from .store import commit

Change = Callable[[Site, str], Awaitable[None]]
BOTH = pytest.mark.parametrize("roles", [SINGLE, PAIR], ids=["single", "pair"])


async def becomes_a_pair(made: Site, lb_id: str) -> None:
    await made.change("load_balancer", lb_id, flavor_id=made.flavors[PAIR])


async def becomes_one(made: Site, lb_id: str) -> None:
    await made.change("load_balancer", lb_id, flavor_id=None)


async def gets_another_flavor(made: Site, lb_id: str) -> None:
    pair = made.world.live(lb_id)[1:]
    flavor_id = await made.flavor(
        compute_flavor="large", **({"loadbalancer_topology": "ACTIVE_STANDBY"} if pair else {})
    )
    await made.change("load_balancer", lb_id, flavor_id=flavor_id)


async def fails_over(made: Site, lb_id: str) -> None:
    await retire(made, lb_id, slice(None))


async def replaces_its_owner(made: Site, lb_id: str) -> None:
    await retire(made, lb_id, slice(1))


async def retire(made: Site, lb_id: str, which: slice) -> None:
    def work(tx: Any) -> None:
        tx.retire([amphora.id for amphora in tx.amphorae(lb_id)][which])
        tx.touch(lb_id)

    await commit(made.store, work)


CASES: dict[str, tuple[tuple[str, ...], Change, int]] = {
    "one becomes a pair": (SINGLE, becomes_a_pair, 1),
    "a pair becomes one": (PAIR, becomes_one, 1),
    "one gets another flavor": (SINGLE, gets_another_flavor, 0),
    "a pair gets another flavor": (PAIR, gets_another_flavor, 0),
    "one fails over": (SINGLE, fails_over, 0),
    "a pair fails over": (PAIR, fails_over, 0),
    "the owner of a pair is replaced": (PAIR, replaces_its_owner, 1),
}
ALL = pytest.mark.parametrize(("roles", "change", "stay"), CASES.values(), ids=CASES.keys())


async def standing(made: Site) -> str:
    """A load balancer that serves, and no control plane."""
    lb_id = await made.write("load_balancer", vip_network_id=NETWORK)
    await made.write("listener", loadbalancer_id=lb_id, protocol="HTTP", protocol_port=80)
    plane = await made.start()
    await made.when_settled(lb_id)
    await made.until(lambda: all(server.standing for server in made.world.live(lb_id)))
    await plane.stop()
    return lb_id


async def vip(made: Site, lb_id: str) -> str:
    root = await made.store.read(lambda tx: tx.get("load_balancer", lb_id))
    assert root is not None
    return str(root.spec["vip_address"])


async def until_whole(made: Site, lb_id: str) -> None:
    async with asyncio.timeout(2000):
        while True:
            try:
                return await checks.is_whole(made, lb_id)
            except (AssertionError, KeyError):
                await asyncio.sleep(1.0)


@ALL
def test_the_vip_has_one_owner_that_serves_at_each_step(roles: tuple[str, ...], change: Change, stay: int) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            lb_id = await standing(made)
            before = set(made.world.servers)
            with checks.one_owner(made.world, lb_id, await vip(made, lb_id)):
                await change(made, lb_id)
                await made.start()
                await made.when_settled(lb_id)
                await until_whole(made, lb_id)
            assert len(before & set(made.world.servers)) == stay
            await made.delete("load_balancer", lb_id)
            await made.when_settled(lb_id)
            await checks.is_empty(made)

    run(story())


@ALL
def test_a_control_plane_that_ends_at_any_step_leaves_one_owner_and_the_next_one_goes_on(
    roles: tuple[str, ...], change: Change, stay: int
) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            lb_id = await standing(made)
            before = set(made.world.servers)
            with checks.one_owner(made.world, lb_id, await vip(made, lb_id)):
                await change(made, lb_id)
                assert await made.run_with_crashes(lb_id) > 4
                await made.start()
                await until_whole(made, lb_id)
            assert len(before & set(made.world.servers)) == stay

    run(story())


def test_a_lost_amphora_of_a_pair_is_replaced_while_the_other_one_serves() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            lb_id = await standing(made)
            plane = await made.start()
            shown = (await plane.api.call("GET", "/octavia/amphorae")).body["amphorae"]
            assert {(one["role"], one["vrrp_priority"]) for one in shown} == {("MASTER", 253), ("BACKUP", 252)}
            assert {one["vrrp_id"] for one in shown} == {pairs.router_id(lb_id)}
            lost = next(i for i in made.world.servers if made.world.vrrp_state(i, lb_id) == "MASTER")
            del made.world.servers[lost]
            with checks.one_owner(made.world, lb_id, await vip(made, lb_id)):
                await made.until(lambda: len(made.world.live(lb_id)) == 2)
                await until_whole(made, lb_id)
            assert lost not in made.world.servers

    run(story())


def test_a_pair_of_which_both_are_lost_is_made_anew() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            lb_id = await standing(made)
            await made.start()
            lost = set(made.world.servers)
            made.world.servers.clear()
            await made.until(lambda: len(made.world.live(lb_id)) == 2)
            await until_whole(made, lb_id)
            assert lost.isdisjoint(made.world.servers)

    run(story())


def test_an_agent_that_cannot_be_started_again_has_its_amphora_replaced() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            lb_id = await standing(made)
            await made.start()
            hung, other = made.world.servers
            made.world.servers[hung].answering = made.world.servers[hung].beating = False
            made.world.fail("restart_agent", *(Unreachable("no answer") for _ in range(3)))
            await made.until(lambda: hung not in made.world.servers)
            await until_whole(made, lb_id)
            assert other in made.world.servers

    run(story())


@BOTH
def test_who_takes_a_certificate_for_expired_after_it_was_renewed_replaces_no_amphora(roles: tuple[str, ...]) -> None:
    """It is the clock of the control plane that is wrong then."""

    async def story() -> None:
        async with site(roles=roles) as made:
            lb_id = await standing(made)
            await made.start()
            before = set(made.world.servers)
            hung = next(iter(before))
            made.world.servers[hung].answering = made.world.servers[hung].beating = False
            made.world.fail("restart_agent", *(CertificateExpired("it has expired") for _ in range(3)))
            await made.until(lambda: made.world.servers[hung].answering)
            await until_whole(made, lb_id)
            assert set(made.world.servers) == before

    run(story())
