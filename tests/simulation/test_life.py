# SPDX-License-Identifier: Apache-2.0
"""A whole control plane on a cloud that is none, in virtual time: what is made, changed and deleted."""

from __future__ import annotations

import pytest

from . import checks
from .cloud import IPV4, IPV6, NETWORK
from .loop import run
from .site import HELD, PAIR, SINGLE, site

BOTH = pytest.mark.parametrize("roles", [SINGLE, PAIR], ids=["single", "pair"])


@BOTH
def test_a_load_balancer_is_made_changed_and_deleted(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            shown = await made.show(plane, lb)
            assert (shown["provisioning_status"], shown["operating_status"]) == ("ACTIVE", "ONLINE")
            await checks.is_whole(made, lb["id"])
            for port in (81, 82):
                listener = await plane.api.make(
                    "listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=port
                )
            await checks.is_whole(made, lb["id"])
            moved = await plane.api.call(
                "PUT", f"/lbaas/listeners/{listener['id']}", {"listener": {"protocol_port": 83}}, wait=300
            )
            assert moved.status == 200
            await checks.is_whole(made, lb["id"])
            assert made.world.rules[listener["id"]] == (lb["id"], 83)
            assert (await plane.api.call("DELETE", f"/lbaas/loadbalancers/{lb['id']}")).status == 400
            gone = await plane.api.call("DELETE", f"/lbaas/loadbalancers/{lb['id']}?cascade=true", wait=300)
            assert gone.status == 204
            await checks.is_empty(made)

    run(story())


def test_a_post_that_does_not_wait_waits_for_no_cloud() -> None:
    """The address comes later, where the cloud has to be asked for it."""

    async def story() -> None:
        async with site() as made:
            made.world.times["create_port"] = 60.0
            plane = await made.start()
            lb = await plane.api.make_pending("load_balancer", vip_network_id=NETWORK)
            assert (lb["provisioning_status"], lb["vip_address"]) == ("PENDING_CREATE", None)
            other = await plane.api.call("POST", "/lbaas/flavorprofiles", {"flavorprofile": {
                "name": "other", "provider_name": "amphora", "flavor_data": "{}",
            }})  # fmt: skip
            assert other.status == 201, "another write is held up by nothing"
            assert made.world.calls["create_port"] == 0
            shown = await plane.api.call("GET", f"/lbaas/loadbalancers/{lb['id']}", wait=300)
            assert shown.body["loadbalancer"]["vip_address"] == "10.1.0.1"
            assert shown.body["loadbalancer"]["vip_subnet_id"] == IPV4
            await checks.is_whole(made, lb["id"])

    run(story())


@BOTH
def test_additional_vips_come_and_go_in_place(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            at = f"/lbaas/loadbalancers/{lb['id']}"
            servers = set(made.world.servers)
            more = {"loadbalancer": {"additional_vips": [{"subnet_id": IPV6}]}}
            put = await plane.api.call("PUT", at, more, wait=300)
            (vip,) = put.body["loadbalancer"]["additional_vips"]
            free = {SINGLE: "fd00::1", PAIR: "fd00::3"}  # an amphora of a pair has an address of its own there
            assert (vip["subnet_id"], vip["ip_address"]) == (IPV6, free[roles])
            await checks.is_whole(made, lb["id"])
            asked = made.world.calls["create_port"]
            again = await plane.api.call("PUT", at, more, wait=300)
            assert again.body["loadbalancer"]["additional_vips"] == [vip]
            assert made.world.calls["create_port"] == asked, "it keeps the address that it has in that subnet"
            put = await plane.api.call("PUT", at, {"loadbalancer": {"additional_vips": []}}, wait=300)
            assert put.status == 200
            await made.until(lambda: len(made.world.ports) == HELD[roles])
            await checks.is_whole(made, lb["id"])
            assert set(made.world.servers) == servers

    run(story())


def test_an_address_that_is_taken_is_an_error_at_the_load_balancer_and_leaves_nothing_behind() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            first = await made.balancer(plane)
            taken = await plane.api.post(
                "load_balancer", {"vip_network_id": NETWORK, "vip_address": first["vip_address"]}
            )
            shown = taken.body["loadbalancer"]
            assert shown["provisioning_status"] == "ERROR"
            assert f"{first['vip_address']} is in use" in str(shown)
            await checks.is_whole(made, first["id"])
            for lb in (shown, first):
                gone = await plane.api.call("DELETE", f"/lbaas/loadbalancers/{lb['id']}?cascade=true", wait=300)
                assert gone.status == 204
            await checks.is_empty(made)

    run(story())


def test_a_control_plane_that_is_started_anew_changes_nothing() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await plane.stop()
            calls, histories = made.world.calls.copy(), {i: list(s.history) for i, s in made.world.servers.items()}
            again = await made.start()
            await made.until(lambda: made.world.calls["push"] > calls["push"])
            await made.until(lambda: again.controller.troubles() == {})
            await checks.is_whole(made, lb["id"])
            for name in ("boot", "create_port", "delete_port", "delete_server", "set_rule", "readdress"):
                assert made.world.calls[name] == calls[name], name
            for id_, server in made.world.servers.items():
                assert server.history[-1].digest == histories[id_][-1].digest

    run(story())
