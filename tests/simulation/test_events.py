# SPDX-License-Identifier: Apache-2.0
"""What the events tell of a life: each decision once, in its order; retries do not flood."""

from __future__ import annotations

import asyncio

import pytest

from octavia_amphora.wire.config import Configuration, compose
from octavia_amphora.wire.messages import Complaint, Refusal
from octavia_provider.controller import event_retention
from octavia_provider.controller.event_retention import EACH, FIRST, INTERVAL
from octavia_provider.model.errors import Unreachable
from octavia_provider.model.events import Reason
from octavia_provider.ports import Transaction

from .cloud import NETWORK
from .loop import run
from .site import PAIR, Site, site
from .store import commit


async def told(made: Site, load_balancer_id: str | None) -> list[str]:
    """The reasons, with how often where that is not once."""
    found = await made.events(load_balancer_id)
    return [event.reason + (f" ×{event.count}" if event.count > 1 else "") for event in found]


def test_a_life_without_trouble() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            made_of = ["LoadBalancerCreated", "VipAllocated", "AmphoraBooted", "AmphoraBooted"]
            assert await told(made, lb["id"]) == [*made_of, "ConfigurationApplied ×5"]
            await asyncio.sleep(100)
            await plane.api.make("listener", loadbalancer_id=lb["id"], protocol="TCP", protocol_port=81)
            await plane.api.call("DELETE", f"/lbaas/loadbalancers/{lb['id']}?cascade=true", wait=300)
            await plane.stop()
            found = await made.events()
            assert [event.reason for event in found] == [
                "ControlPlaneStarted", *made_of, "ConfigurationApplied", "RoleChanged", "ConfigurationApplied",
                "AmphoraDeleted", "AmphoraDeleted", "LoadBalancerDeleted", "ControlPlaneStopped",
            ]  # fmt: skip
            assert {event.load_balancer_name for event in found} == {"lb", None}
            assert {event.control_plane for event in found} == {"one", None}, "whoever answers may create"
            booted = [event for event in found if event.reason == "AmphoraBooted"]
            assert all(20 < event.data["seconds"] < 60 for event in booted)
            assert {event.amphora_id for event in booted} == {
                e.amphora_id for e in found if e.reason == "AmphoraDeleted"
            }
            assert [event.generation for event in found if event.reason == "ConfigurationApplied"] == [5, 6]

    run(story())


def test_what_is_lost_or_hangs() -> None:
    async def story() -> None:
        async with site(roles=PAIR) as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            await asyncio.sleep(10)
            found = await made.events(lb["id"])
            assert found[-1].reason == "RoleChanged"
            lost, hung = sorted(made.world.live(lb["id"]), key=lambda s: s.instance.amphora_id != found[-1].amphora_id)
            begin = len(found)
            del made.world.servers[lost.instance.amphora_id]
            await made.until(lambda: len(made.world.live(lb["id"])) == 2)
            await made.until(lambda: all(server.standing for server in made.world.live(lb["id"])))
            await asyncio.sleep(60)
            found = (await made.events(lb["id"]))[begin:]
            assert [event.reason for event in found if event.reason != "AgentSilent"] == [
                "AmphoraLost", "RoleChanged", "AmphoraBooted", "AmphoraDeleted", "FailoverFinished",
            ]  # fmt: skip
            (takeover,) = (event for event in found if event.reason == "RoleChanged")
            assert (takeover.amphora_id, takeover.data) == (
                hung.instance.amphora_id, {"before": lost.instance.amphora_id},
            )  # fmt: skip
            await plane.stop()
            plane = await made.start()
            await asyncio.sleep(10)
            found = await made.events(lb["id"])
            assert [event.reason for event in found].count("RoleChanged") == 2, "who is started anew tells no news"
            begin = len(found)
            hung.answering = hung.beating = False
            await made.until(lambda: hung.answering)
            hung.beating = True
            await asyncio.sleep(60)
            assert (await told(made, lb["id"]))[begin:] == ["AgentSilent", "AgentRestarted"]

    run(story())


def test_what_is_refused_is_told_at_its_object_once() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            lb = await made.balancer(plane)
            wanted = {"loadbalancer_id": lb["id"], "protocol": "TCP"}
            shut = (await plane.api.post("listener", {**wanted, "protocol_port": 666})).body["listener"]
            await asyncio.sleep(100)
            made.world.refuse = lambda _amphora, configuration: (
                Refusal("refused", "no", (Complaint("no such socket", line=line_of(configuration, ":4444")),))
                if line_of(configuration, ":4444")
                else None
            )
            refused = (await plane.api.post("listener", {**wanted, "protocol_port": 4444})).body["listener"]
            assert refused["provisioning_status"] == "ERROR"
            await plane.api.make("listener", **wanted, protocol_port=81)
            errors = [event for event in await made.events(lb["id"]) if event.severity == "error"]
            assert [(e.reason, e.object_kind, e.object_id, e.count) for e in errors] == [
                ("ListenerNotReachable", "listener", shut["id"], 1),
                ("ConfigurationRefused", "listener", refused["id"], 1),
            ]
            assert "not allowed by policy" in errors[0].message
            assert errors[1].message == "no such socket"

    run(story())


def line_of(configuration: Configuration, word: str) -> int:
    lines = compose(configuration).splitlines()
    return next((number for number, line in enumerate(lines, start=1) if line.endswith(word)), 0)


def test_retries_are_one_event__and_the_end_of_the_trouble_is_another() -> None:
    async def story() -> None:
        async with site() as made:
            plane = await made.start()
            made.world.fail("boot", *(Unreachable("gateway timeout") for _ in range(25)))
            lb_id = await made.write("load_balancer", vip_network_id=NETWORK)
            await made.when_settled(lb_id)
            assert plane.controller.troubles() == {}
            _created, _vip, trouble, _booted, _applied, recovered = await made.events(lb_id)
            assert (trouble.reason, trouble.message) == ("ReconcileFailed", "gateway timeout")
            assert 2 <= trouble.count < 10
            assert recovered.reason == "ReconcileRecovered"
            assert recovered.data["tries"] == 25

    run(story())


def test_who_takes_over_says_so() -> None:
    async def story() -> None:
        async with site() as made:
            first = await made.start(holder="one")
            lb = await made.balancer(first)
            await first.kill()
            await made.start(holder="two")
            await asyncio.sleep(120)
            taken = (await made.events(lb["id"]))[-1]
            assert (taken.reason, taken.control_plane, taken.data) == ("LeaseTaken", "two", {"fence": 2})

    run(story())


def test_events_are_forgotten_by_number_and_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_retention, "DAYS", INTERVAL / 2 / 86_400)

    async def story() -> None:
        async with site() as made:

            def fill(tx: Transaction) -> None:
                for number in range(EACH + 10):
                    tx.record(Reason.AmphoraBooted.event(str(number), load_balancer_id="busy"))
                tx.record(Reason.AmphoraBooted.event("alone", load_balancer_id="quiet"))

            await commit(made.store, fill)
            await made.start()
            await asyncio.sleep(FIRST + 1)
            assert [event.message for event in await made.events("busy")] == [str(n) for n in range(10, EACH + 10)]
            assert await told(made, "quiet") == ["AmphoraBooted"]
            await asyncio.sleep(INTERVAL)
            assert await told(made, None) == ["ControlPlaneStarted"], "the newest is kept, so that its place is"

    run(story())
