# SPDX-License-Identifier: Apache-2.0
"""Amphora groups: who is let in, and what keeps a group as large as it is. What becomes of them: ``tests/simulation``."""

from __future__ import annotations

from typing import Any

from octavia_provider.ports import Amphora
from unit.api.settling import Plane
from unit.api.test_flavor_rules import NOWHERE, a_flavor, refused

PAIR = '{"loadbalancer_topology": "ACTIVE_STANDBY"}'
GROUPS = "/octavia/amphora-groups"


async def a_balancer(plane: Plane, group: dict[str, Any], **more: Any) -> dict[str, Any]:
    network = await plane.make("local_network")
    return await plane.make("load_balancer", vip_network_id=network["id"], amphora_group_id=group["id"], **more)


async def change(plane: Plane, group: dict[str, Any], **values: Any) -> Any:
    return await plane.call("PUT", f"{GROUPS}/{group['id']}", {"amphora_group": values})


async def test_a_group_is_full_where_its_amphorae_have_no_place_left(plane: Plane) -> None:
    group = await plane.make("amphora_group", name="web", size=1, capacity=2)
    first, _ = await a_balancer(plane, group), await a_balancer(plane, group)
    network = await plane.make("local_network")
    third = {"vip_network_id": network["id"], "amphora_group_id": group["id"]}
    refused(
        await plane.post("load_balancer", third), 409, ("amphora_group_id",), "amphora group web is full: its size of 1"
    )
    other = await plane.make("load_balancer", vip_network_id=network["id"])
    body = {"loadbalancer": {"amphora_group_id": group["id"]}}
    refused(await plane.call("PUT", f"/lbaas/loadbalancers/{other['id']}", body), 409, ("amphora_group_id",), "is full")
    same = {"loadbalancer": {"name": "again", "amphora_group_id": group["id"]}}
    assert (await plane.call("PUT", f"/lbaas/loadbalancers/{first['id']}", same)).status == 200
    assert (await change(plane, group, capacity=3)).status == 200
    assert (await plane.call("PUT", f"/lbaas/loadbalancers/{other['id']}", body)).status == 200
    shown = (await plane.call("GET", f"{GROUPS}/{group['id']}")).body["amphora_group"]
    assert len(shown["loadbalancers"]) == 3


async def test_a_pair_needs_a_group_of_two_as_long_as_it_is_there(plane: Plane) -> None:
    pair = await a_flavor(plane, "pair", PAIR)
    group = await plane.make("amphora_group", name="web", size=1)
    network = await plane.make("local_network")
    spec = {"vip_network_id": network["id"], "amphora_group_id": group["id"], "flavor_id": pair["id"]}
    refused(await plane.post("load_balancer", spec), 409, ("amphora_group_id",), "has one amphora")
    single = await plane.make("load_balancer", vip_network_id=network["id"], amphora_group_id=group["id"])
    url, pairs = f"/lbaas/loadbalancers/{single['id']}", {"loadbalancer": {"flavor_id": pair["id"]}}
    refused(await plane.call("PUT", url, pairs), 409, ("amphora_group_id",), "a flavor of one (SINGLE)")
    assert (await change(plane, group, size=2)).status == 200
    assert (await plane.call("PUT", url, pairs)).status == 200
    refused(await change(plane, group, size=1), 409, ("size",), "has two amphorae in it")
    assert (await plane.call("PUT", url, {"loadbalancer": {"amphora_group_id": None}})).status == 200
    assert (await change(plane, group, size=1)).status == 200


async def test_a_group_does_not_get_too_small_for_those_that_are_in_it(plane: Plane) -> None:
    group = await plane.make("amphora_group", size=2, capacity=2)
    balancers = [await a_balancer(plane, group) for _ in range(3)]
    refused(await change(plane, group, size=1), 409, ("size",), "take 3 places")
    refused(await change(plane, group, capacity=1), 409, ("capacity",), "take 3 places")
    host = Amphora(id="h", load_balancer_id=group["id"], role="GROUP")
    seats = [Amphora(id=one["id"], load_balancer_id=one["id"], host_id="h") for one in balancers[:2]]
    await plane.store.write(lambda tx: [tx.put_amphora(one) for one in (host, *seats)])
    assert (await plane.call("DELETE", f"/lbaas/loadbalancers/{balancers[2]['id']}")).status == 204
    refused(await change(plane, group, capacity=1), 409, ("capacity",), "up to 2 on one amphora")


async def test_a_failover_of_its_amphora_is_told_in_the_history_of_the_group(plane: Plane) -> None:
    group = await plane.make("amphora_group")
    host = Amphora(id="h", load_balancer_id=group["id"], role="GROUP", status="ALLOCATED")
    await plane.store.write(lambda tx: tx.put_amphora(host))
    assert (await plane.call("PUT", "/octavia/amphorae/h/failover")).status == 202
    told = (await plane.call("GET", f"/octavia/events?amphora_group={group['id']}&reason=FailoverStarted")).body
    assert [event["data"]["amphorae"] for event in told["events"]] == [["h"]]


async def test_what_is_named_has_to_be_there_and_what_is_used_is_not_deleted(plane: Plane) -> None:
    network = await plane.make("local_network")
    nowhere = {"vip_network_id": network["id"], "amphora_group_id": NOWHERE}
    refused(
        await plane.post("load_balancer", nowhere),
        400,
        ("amphora_group_id",),
        f"amphora group {NOWHERE} does not exist",
    )
    refused(await plane.post("amphora_group", {"flavor_id": NOWHERE}), 400, ("flavor_id",), "does not exist")
    flavor = await a_flavor(plane, provider="octavia")
    group = await plane.make("amphora_group", name="web", flavor_id=flavor["id"])
    refused(await plane.call("DELETE", f"/lbaas/flavors/{flavor['id']}"), 409, (), "amphora group web uses it")
    balancer = await a_balancer(plane, group)
    used = await plane.call("DELETE", f"{GROUPS}/{group['id']}")
    refused(used, 409, (), f"load balancer {balancer['name'] or balancer['id']} uses it")
    assert (
        await plane.call("PUT", f"/lbaas/loadbalancers/{balancer['id']}", {"loadbalancer": {"amphora_group_id": None}})
    ).status == 200
    plane.held.clear()
    assert (await plane.call("DELETE", f"{GROUPS}/{group['id']}")).status == 204
    late = await plane.post("load_balancer", {**nowhere, "amphora_group_id": group["id"]})
    refused(late, 400, ("amphora_group_id",), "is being deleted")


async def test_the_overview_of_a_group_has_the_load_balancers_on_it(plane: Plane) -> None:
    group = await plane.make("amphora_group", name="web", size=1)
    on = await a_balancer(plane, group, name="on")
    await plane.balancer("elsewhere")
    for word, missing in {"web": [], "on": [], "nothing&load_balancer=web": ["nothing"]}.items():
        shown = (await plane.call("GET", f"/octavia/status?load_balancer={word}")).body["status"]
        assert ([one["id"] for one in shown["load_balancers"]], shown["missing"]) == ([on["id"]], missing), word
