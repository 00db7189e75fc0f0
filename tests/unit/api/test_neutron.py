# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's clients look up elsewhere before they ask Octavia: networks, subnets, projects."""

from __future__ import annotations

from typing import Any

from unit.api.settling import PROJECT, Plane


async def found(plane: Plane, collection: str, query: str = "") -> list[Any]:
    return [one["id"] for one in (await plane.call("GET", f"/{collection}{query}")).body[collection]]


async def test_networks_and_subnets_are_found_by_id_and_by_name(plane: Plane) -> None:
    assert await found(plane, "networks", "?name=front") == []
    front = await plane.make("local_network", name="front", ipv6_cidr="fd12:3456:789a:1::/64")
    back = await plane.make("local_network", name="back")
    assert await found(plane, "networks") == [front["id"], back["id"]]
    assert (
        await found(plane, "networks", "?name=back")
        == await found(plane, "networks", f"?id={back['id']}")
        == [back["id"]]
    )
    assert await found(plane, "subnets", "?name=front") == [front["subnet_id"]]
    assert await found(plane, "subnets", "?name=front-ipv6") == [front["ipv6_subnet_id"]]
    assert await found(plane, "subnets", f"?network_id={front['id']}&ip_version=6") == [front["ipv6_subnet_id"]]
    assert await found(plane, "ports") == []
    network = (await plane.call("GET", f"/networks/{front['id']}")).body["network"]
    assert (network["name"], network["project_id"]) == ("front", PROJECT)
    assert network["subnets"] == [front["subnet_id"], front["ipv6_subnet_id"]]
    subnet = (await plane.call("GET", f"http://o/v2.0/subnets/{front['ipv6_subnet_id']}")).body["subnet"]
    assert (subnet["cidr"], subnet["ip_version"], subnet["network_id"]) == ("fd12:3456:789a:1::/64", 6, front["id"])
    for path in ("networks", "subnets", "ports"):
        assert (await plane.call("GET", f"/{path}/{PROJECT}")).status == 404
    assert (await plane.call("POST", "/networks", {"network": {}})).status == 405
    lb = await plane.make("load_balancer", vip_subnet_id=subnet["id"])
    assert lb["vip_network_id"] == front["id"]


async def test_a_network_that_is_being_deleted_is_not_offered(plane: Plane) -> None:
    network = await plane.make("local_network", name="front")
    plane.held.clear()
    await plane.call("DELETE", f"/local/networks/{network['id']}")
    assert await found(plane, "networks") == await found(plane, "subnets") == []


async def test_projects_may_not_be_looked_up_so_that_their_ids_are_taken(plane: Plane) -> None:
    for path in ("/projects/demo", "/projects?name=demo", "/load-balancer/projects/demo"):
        answer = await plane.call("GET", f"http://o{path}")
        assert (answer.status, "name one by its id" in answer.body["faultstring"]) == (403, True)
