# SPDX-License-Identifier: Apache-2.0
"""What fails, ends or hangs, in virtual time: in the end all is as it should be, and nothing is left over."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from octavia_amphora.wire.config import Configuration, compose
from octavia_amphora.wire.messages import Complaint, Refusal
from octavia_provider.controller.controller import LEASE_SECONDS
from octavia_provider.model.errors import Refused, TransientError, Unreachable

from . import checks
from .cloud import IPV6, NETWORK
from .loop import run
from .site import HELD, PAIR, SINGLE, ControlPlane, Site, site
from .world import Server

BOTH = pytest.mark.parametrize("roles", [SINGLE, PAIR], ids=["single", "pair"])
CALLS = (
    "boot", "start_agent", "ready", "list_servers", "create_port", "list_ports", "delete_port", "delete_server", "push", "list_rules",
    "set_rule", "readdress", "authenticate", "list_all", "write",
)  # fmt: skip


async def put(plane: ControlPlane, kind: str, id_: str, **change: Any) -> Any:
    path, word = {"load_balancer": ("loadbalancers", "loadbalancer"), "listener": ("listeners", "listener")}[kind]
    return await plane.api.call("PUT", f"/lbaas/{path}/{id_}", {word: change}, wait=300)


async def add_listener(plane: ControlPlane, lb: dict[str, Any], port: int) -> dict[str, Any]:
    wanted = {"name": f"at {port}", "loadbalancer_id": lb["id"], "protocol": "TCP", "protocol_port": port}
    answer = await plane.api.post("listener", wanted)
    return dict(answer.body["listener"])


# ── calls that fail ──────────────────────────────────────────────────────────────────────────────────────────────────
@BOTH
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_fails_for_a_while_is_made_again(name: str, roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            plane = await made.start()
            made.world.fail(name, Unreachable("gateway timeout"), OSError("connection reset"), TransientError("busy"))
            lb_id = await made.write("load_balancer", vip_network_id=NETWORK)
            await made.write("listener", loadbalancer_id=lb_id, protocol="HTTP", protocol_port=80)
            await made.when_settled(lb_id)
            await put(plane, "load_balancer", lb_id, additional_vips=[{"subnet_id": IPV6}])
            await put(plane, "load_balancer", lb_id, additional_vips=[])
            await made.until(lambda: len(made.world.ports) == HELD[roles] and plane.controller.troubles() == {})
            await checks.is_whole(made, lb_id)
            await made.delete("load_balancer", lb_id)
            await made.when_settled(lb_id)
            await checks.is_empty(made)

    run(story())


def test_what_the_cloud_refuses_of_a_listener_is_an_error_at_that_listener() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            refused = await add_listener(plane, lb, 666)
            assert refused["provisioning_status"] == "ERROR"
            assert "not allowed by policy" in str(refused)
            assert (await add_listener(plane, lb, 81))["provisioning_status"] == "ACTIVE"
            moved = await put(plane, "listener", refused["id"], protocol_port=667)
            assert moved.body["listener"]["provisioning_status"] == "ACTIVE"
            await checks.is_whole(made, lb["id"])

    run(story())


@pytest.mark.parametrize("by_line", [True, False], ids=["by line", "by bisection"])
def test_what_one_of_a_pair_refuses_is_refused__and_both_serve_the_rest(by_line: bool) -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            second = sorted(made.world.servers)[1]

            def refuse(amphora_id: str, configuration: Configuration) -> Refusal | None:
                lines = compose(configuration).splitlines()
                found = [number for number, line in enumerate(lines, start=1) if line.endswith(":4444")]
                if not found or amphora_id != second:
                    return None
                complaints = tuple(Complaint("no such socket", line=number) for number in found) if by_line else ()
                return Refusal("refused", "no such socket", complaints)

            made.world.refuse = refuse
            answers = await asyncio.gather(*(add_listener(plane, lb, port) for port in (4444, 81)))
            assert [one["provisioning_status"] for one in answers] == ["ERROR", "ACTIVE"]
            await checks.is_whole(made, lb["id"])

    run(story())


def test_what_is_in_force_stays_known_while_pushes_are_refused__and_when_the_amphora_is_started_again() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            path = f"/octavia/loadbalancers/{lb['id']}/configuration"
            before = (await plane.api.call("GET", path)).body
            made.world.refuse = lambda _amphora, _configuration: Refusal("refused", "unknown keyword")
            plane.controller.poke(lb["id"], forget=True)
            await made.until(lambda: "unknown keyword" in plane.controller.troubles().get(lb["id"], ""))
            await asyncio.sleep(30)  # it is tried again, and heartbeats come
            assert (await plane.api.call("GET", path)).body == before
            assert (await made.show(plane, lb))["operating_status"] == "ONLINE"

            (server,) = made.world.live(lb["id"])
            server.instance, server.files = dataclasses.replace(server.instance, alive=False), {}
            await made.until(lambda: server.instance.alive)
            await asyncio.sleep(30)
            assert (await made.show(plane, lb))["operating_status"] == "ONLINE"
            assert (await plane.api.call("GET", path)).body == before

            del made.world.servers[server.instance.amphora_id]
            await made.until(lambda: len(made.world.live(lb["id"])) == 1 and made.world.calls["boot"] == 2)
            await asyncio.sleep(30)
            assert (await plane.api.call("GET", path)).status == 404, "the new one has nothing"
            assert (await made.show(plane, lb))["operating_status"] == "ERROR"

            made.world.refuse = lambda _amphora, _configuration: None
            await made.until(lambda: plane.controller.troubles() == {})
            assert (await plane.api.call("GET", path)).body == before
            await checks.is_whole(made, lb["id"])

    run(story())


# ── amphorae that fail ───────────────────────────────────────────────────────────────────────────────────────────────
def test_pair__an_agent_that_does_not_answer_holds_up_nobody_and_is_caught_up_later() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            deaf = made.world.live(lb["id"])[1]
            deaf.answering = False
            listener = await add_listener(plane, lb, 81)
            assert listener["provisioning_status"] == "ACTIVE"
            await made.until(lambda: lb["id"] in plane.controller.troubles())
            assert (await made.show(plane, lb))["operating_status"] == "ONLINE"
            deaf.answering = True
            await made.until(lambda: plane.controller.troubles() == {})
            await checks.is_whole(made, lb["id"])

    run(story())


def test_pair__an_agent_that_hangs_is_started_anew() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            hung = made.world.live(lb["id"])[0]
            hung.answering = hung.beating = False
            await made.until(lambda: hung.answering)
            await made.until(lambda: plane.controller.troubles() == {})
            await checks.is_whole(made, lb["id"])
            assert made.world.calls["restart_agent"] == 1

    run(story())


@BOTH
def test_a_server_that_is_lost_is_replaced__and_nobody_waits_for_that_where_another_one_serves(
    roles: tuple[str, ...],
) -> None:
    async def story() -> None:
        async with site(roles=roles, times={"boot": 120.0}) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            lost = made.world.live(lb["id"])[-1]
            del made.world.servers[lost.instance.amphora_id]
            began = asyncio.get_running_loop().time()
            assert (await add_listener(plane, lb, 81))["provisioning_status"] == "ACTIVE"
            waited = asyncio.get_running_loop().time() - began
            assert (waited < 60) == (len(roles) > 1)
            await made.until(lambda: len(made.world.live(lb["id"])) == len(roles))
            await made.until(
                lambda: plane.controller.troubles() == {} and all(s.standing for s in made.world.live(lb["id"]))
            )
            await made.when_settled(lb["id"])
            await checks.is_whole(made, lb["id"])

    run(story())


def test_pair__where_one_cannot_be_booted_the_other_serves() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            made.world.fail("boot", *(Refused("No valid host was found") for _ in range(5)))
            plane = await made.start()
            lb = await plane.api.make("load_balancer", vip_network_id=NETWORK, **made.with_flavor({}))
            assert lb["provisioning_status"] == "ERROR", "none could be booted"
            made.world.failures["boot"] = []
            other = await made.balancer(plane, "other")
            assert other["provisioning_status"] == "ACTIVE"

    run(story())


def test_pair__statuses_are_merged_and_counters_summed() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            member = next(r.id for r in await made.records(lb["id"]) if r.kind == "member")
            one, other = sorted(made.world.servers)

            async def status() -> tuple[str, str]:
                await asyncio.sleep(7)  # two heartbeats
                tree = (await plane.api.call("GET", f"/lbaas/loadbalancers/{lb['id']}/status")).body["statuses"]
                (seen,) = tree["loadbalancer"]["listeners"][0]["pools"]
                return seen["members"][0]["operating_status"], seen["operating_status"]

            made.world.down = {(one, member)}
            assert await status() == ("ONLINE", "ONLINE")
            made.world.down = {(one, member), (other, member)}
            assert await status() == ("ERROR", "DEGRADED")
            stats = await plane.api.call("GET", f"/lbaas/loadbalancers/{lb['id']}/stats")
            assert stats.body["stats"]["bytes_in"] == 20
            (own,) = (await plane.api.call("GET", f"/octavia/amphorae/{one}/stats")).body["amphora_stats"]
            assert own["bytes_in"] == 10

    run(story())


# ── control planes that end or hang ──────────────────────────────────────────────────────────────────────────────────
@BOTH
def test_invariant_03_a_control_plane_that_ends_at_any_step_is_followed_by_one_that_goes_on(
    roles: tuple[str, ...],
) -> None:
    """The next one comes one step further, until all is done: made, changed and deleted."""

    async def story() -> None:
        async with site(roles=roles) as made:
            lb_id = await made.write("load_balancer", vip_network_id=NETWORK)
            listener_id = await made.write("listener", loadbalancer_id=lb_id, protocol="HTTP", protocol_port=80)
            assert await made.run_with_crashes(lb_id) > 8
            await finish(made)
            await checks.is_whole(made, lb_id)
            await made.change("load_balancer", lb_id, additional_vips=[{"subnet_id": IPV6}])
            await made.change("listener", listener_id, protocol_port=81)
            assert await made.run_with_crashes(lb_id) > 4
            await made.change("load_balancer", lb_id, additional_vips=[])
            assert await made.run_with_crashes(lb_id) > 4
            await finish(made)
            await checks.is_whole(made, lb_id)
            await made.delete("load_balancer", lb_id)
            assert await made.run_with_crashes(lb_id) > 4
            await checks.is_empty(made)

    run(story())


async def finish(made: Site) -> None:
    """What nobody had to wait for is done too: the second amphora is there, what is not carried any more is released."""
    plane = await made.start()

    def done() -> bool:
        servers = made.world.servers.values()
        return (
            len(servers) == len(made.roles)
            and all(server.standing for server in servers)
            and len(made.world.ports) == HELD[made.roles]
        )

    await plane.stop_when(done)


@pytest.mark.parametrize("seconds", [LEASE_SECONDS / 2, LEASE_SECONDS * 2])
def test_a_control_plane_that_hangs_drops_its_work_when_another_has_taken_over(seconds: float) -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            first = await made.start(holder="first")
            lb = await made.balancer(first)
            second = await made.start(holder="second")
            assert second.controller.reconciler(lb["id"]) is None
            made.world.fail("push", Refused("the first one is told no"))
            await made.write("listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=81)
            await made.until(lambda: first.lifeline.effects[-1] in ("write", "push"))
            first.lifeline.going.clear()
            await asyncio.sleep(seconds)
            taken_over = second.controller.reconciler(lb["id"]) is not None
            assert taken_over == (seconds > LEASE_SECONDS)
            if taken_over:
                await made.when_settled(lb["id"])
                before = await made.records(lb["id"])
            first.lifeline.going.set()
            await made.when_settled(lb["id"])
            await asyncio.sleep(LEASE_SECONDS)
            await checks.is_whole(made, lb["id"])
            owners = [plane for plane in (first, second) if plane.controller.reconciler(lb["id"])]
            assert owners == ([second] if taken_over else [first])
            if taken_over:
                assert await made.records(lb["id"]) == before

    run(story())


def test_three_control_planes_share_load_balancers_and_one_takes_over_from_two() -> None:
    async def story() -> None:
        async with site() as made:
            planes: list[ControlPlane] = [await made.start(holder=f"plane {number}") for number in range(3)]
            ids = [await made.write("load_balancer", vip_network_id=NETWORK) for _ in range(6)]
            for lb_id in ids:
                await made.when_settled(lb_id)
            await planes[0].kill()
            await planes[1].stop()
            await made.until(lambda: all(planes[2].controller.reconciler(lb_id) for lb_id in ids))
            for lb_id in ids:
                await made.write("listener", loadbalancer_id=lb_id, protocol="TCP", protocol_port=80)
            await whole(made, ids)

    run(story())


async def whole(made: Site, ids: list[str]) -> None:
    for lb_id in ids:
        await made.when_settled(lb_id)
        await checks.is_whole(made, lb_id)


# ── ERROR is no dead end ─────────────────────────────────────────────────────────────────────────────────────────────
@BOTH
def test_what_ended_in_error_is_tried_again_with_growing_pauses_until_it_is_in_force(roles: tuple[str, ...]) -> None:
    async def story() -> None:
        async with site(roles=roles) as made:
            made.world.fail("boot", *(Refused("No valid host was found") for _ in range(5 * len(roles))))
            plane = await made.start()
            lb = await plane.api.make("load_balancer", vip_network_id=NETWORK, **made.with_flavor({}))
            assert lb["provisioning_status"] == "ERROR"
            assert "No valid host" in lb["provisioning_error"]
            listener_id = await made.write("listener", loadbalancer_id=lb["id"], protocol="HTTP", protocol_port=80)
            await made.until_active(plane, lb)
            await made.until(lambda: plane.controller.troubles() == {} and len(made.world.live(lb["id"])) == len(roles))
            await checks.is_whole(made, lb["id"])
            assert {r.id: r.error for r in await made.records(lb["id"])} == {lb["id"]: None, listener_id: None}

    run(story())


def test_a_listener_that_is_refused_is_tried_again__now_and_then__and_holds_up_nothing() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            bad = [True]

            def refuse(_amphora: str, configuration: Configuration) -> Refusal | None:
                found = any(":4444" in line for line in compose(configuration).splitlines())
                return Refusal("refused", "no such socket", ()) if found and bad[0] else None

            made.world.refuse = refuse
            assert (await add_listener(plane, lb, 4444))["provisioning_status"] == "ERROR"
            pushes = made.world.calls["push"]
            await asyncio.sleep(3600)
            assert 5 <= made.world.calls["push"] - pushes <= 100, "ten seconds at first, ten minutes at last"
            assert (await add_listener(plane, lb, 81))["provisioning_status"] == "ACTIVE"
            bad[0] = False
            await asyncio.sleep(1000)
            await made.when_settled(lb["id"])
            assert all(record.error is None for record in await made.records(lb["id"]))
            await checks.is_whole(made, lb["id"])

    run(story())


def test_an_amphora_that_a_late_call_to_the_cloud_made_is_taken_away() -> None:
    """A control plane was paused while it called, and another one has deleted what it was for meanwhile."""

    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await asyncio.sleep(30)
            (server,) = made.world.live(lb["id"])
            for id_, balancer in (("late", lb["id"]), ("later", "gone")):
                instance = dataclasses.replace(server.instance, amphora_id=id_, load_balancer_id=balancer)
                made.world.servers[id_] = Server(instance, server.files)
            await made.until(lambda: not {"late", "later"} & made.world.servers.keys())
            await checks.is_whole(made, lb["id"])

    run(story())
