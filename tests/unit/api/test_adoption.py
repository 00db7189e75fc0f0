# SPDX-License-Identifier: Apache-2.0
"""A create is made once: what a crash left behind is taken up, what the engine knows of never is."""

from __future__ import annotations

import uuid
from typing import Any

from unit.api.settling import WORDS, Answer, Plane

PROVIDER = str(uuid.uuid4())


def owner(urn: str = "urn:pulumi:dev::web::octavia:index:Thing::t", known: list[str] | None = None) -> dict[str, Any]:
    return {"provider": PROVIDER, "urn": urn, "known": known or []}


def object_of(answer: Answer, kind: str = "local_network") -> dict[str, Any]:
    assert answer.status in (200, 201), answer.body
    return answer.body[WORDS[kind]]


async def test_an_unconfirmed_leftover_is_taken_up_in_the_asked_form(plane: Plane) -> None:
    first = object_of(await plane.post("local_network", {"name": "t-1"}, owner=owner()))
    again = await plane.post("local_network", {"name": "t-2"}, owner=owner())
    assert (again.status, again.headers["X-Octavia-Adopted"]) == (200, "true")
    assert object_of(again)["id"] == first["id"]
    assert object_of(again)["name"] == "t-2"
    assert object_of(again)["cidr"] == first["cidr"]
    assert len(await plane.records()) == 1


async def test_a_known_one_is_not_taken_up(plane: Plane) -> None:
    """Create-before-delete: the engine knows the old one and rightly makes a second."""
    first = object_of(await plane.post("local_network", {}, owner=owner()))
    second = await plane.post("local_network", {}, owner=owner(known=[first["id"]]))
    assert second.status == 201
    assert "X-Octavia-Adopted" not in second.headers
    third = object_of(await plane.post("local_network", {}, owner=owner(known=[first["id"]])))
    assert third["id"] == object_of(second)["id"] != first["id"]


async def test_a_get_or_put_with_the_owner_confirms(plane: Plane) -> None:
    header = {"X-Octavia-Owner": f"{PROVIDER} urn:a%20b"}
    for method, body in (("GET", None), ("PUT", {"network": {"name": "n"}})):
        made = object_of(await plane.post("local_network", {}, owner=owner("urn:a b")))
        await plane.call(method, f"/local/networks/{made['id']}", body, **header)
        other = await plane.post("local_network", {}, owner=owner("urn:a b"))
        assert other.status == 201
        await plane.call("GET", f"/local/networks/{object_of(other)['id']}", **header)


async def test_another_owner_confirms_nothing_and_takes_up_nothing(plane: Plane) -> None:
    made = object_of(await plane.post("local_network", {}, owner=owner()))
    await plane.call("GET", f"/local/networks/{made['id']}", **{"X-Octavia-Owner": f"{uuid.uuid4()} urn:x"})
    for method, body in (("GET", None), ("PUT", {"network": {}})):
        malformed = await plane.call(method, f"/local/networks/{made['id']}", body, **{"X-Octavia-Owner": "zz"})
        assert (malformed.status, malformed.violations[0][0]) == (400, ("X-Octavia-Owner",))
    stranger = await plane.post("local_network", {}, owner={**owner(known=[made["id"]]), "provider": str(uuid.uuid4())})
    assert stranger.status == 201
    mine = await plane.post("local_network", {}, owner=owner())
    assert object_of(mine)["id"] == made["id"]


async def test_without_an_owner_each_post_makes_one(plane: Plane) -> None:
    await plane.post("local_network", {}, owner=owner())
    for _ in range(2):
        assert (await plane.post("local_network", {})).status == 201
    assert len(await plane.records()) == 3


async def test_a_leftover_that_needs_a_replacement_is_replaced(plane: Plane) -> None:
    first = object_of(await plane.post("local_network", {"cidr": "10.3.0.0/24"}, owner=owner()))
    second = await plane.post("local_network", {"cidr": "10.4.0.0/24"}, owner=owner())
    assert second.status == 201
    assert object_of(second)["id"] != first["id"]
    await plane.call("GET", f"/local/networks/{first['id']}", wait=10)
    assert [r.spec["cidr"] for r in await plane.records()] == ["10.4.0.0/24"]


async def test_a_leftover_that_others_use_is_not_replaced(plane: Plane) -> None:
    first = object_of(await plane.post("local_network", {"cidr": "10.3.0.0/24"}, owner=owner()))
    await plane.make("local_host", name="user", network_id=first["id"], command=["true"])
    answer = await plane.post("local_network", {"cidr": "10.4.0.0/24"}, owner=owner())
    assert answer.status == 409
    assert "host user uses it" in answer.body["faultstring"]
    assert len(await plane.records()) == 2


async def test_a_leftover_pool_and_member_are_taken_up(plane: Plane) -> None:
    lb = await plane.balancer()
    spec = {"loadbalancer_id": lb["id"], "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    pool = object_of(await plane.post("pool", spec, owner=owner("urn:pool")), "pool")
    again = await plane.post("pool", {**spec, "lb_algorithm": "SOURCE_IP"}, owner=owner("urn:pool"))
    assert object_of(again, "pool") | {"updated_at": None} == pool | {"lb_algorithm": "SOURCE_IP", "updated_at": None}
    member = {"pool_id": pool["id"], "address": "10.1.0.9", "protocol_port": 80}
    made = object_of(await plane.post("member", member, owner=owner("urn:m")), "member")
    taken = await plane.post("member", {**member, "weight": 5}, owner=owner("urn:m"))
    assert object_of(taken, "member")["id"] == made["id"]


async def test_one_that_is_being_deleted_is_not_taken_up(plane: Plane) -> None:
    made = object_of(await plane.post("local_network", {}, owner=owner()))
    plane.held.clear()
    await plane.call("DELETE", f"/local/networks/{made['id']}")
    answer = await plane.post("local_network", {}, wait=None, owner=owner())
    assert answer.status == 201
    assert object_of(answer)["id"] != made["id"]


async def test_an_owner_of_the_wrong_shape_is_refused(plane: Plane) -> None:
    for wrong in ("me", {"provider": 1, "urn": "u"}, {"provider": "p", "urn": "u", "known": "x"}):
        answer = await plane.post("local_network", {}, owner=wrong)
        assert answer.violations[0][0] == ("owner",)
    assert await plane.records() == []


async def test_what_a_run_confirms_at_its_end_is_no_leftover(plane: Plane) -> None:
    made = object_of(await plane.post("local_network", {"name": "n"}, owner=owner()))
    (left,) = (await plane.call("GET", "/octavia/leftovers")).body["leftovers"]
    assert (left["kind"], left["id"], left["name"]) == ("local_network", made["id"], "n")
    assert left["owner"] == {"provider": PROVIDER, "urn": owner()["urn"]}
    for provider, count in ((str(uuid.uuid4()), 1), (PROVIDER, 0)):
        body = {"provider": provider, "ids": [made["id"], str(uuid.uuid4())]}
        assert (await plane.call("POST", "/octavia/confirm", body)).status == 204
        assert len((await plane.call("GET", "/octavia/leftovers")).body["leftovers"]) == count
    assert (await plane.post("local_network", {}, owner=owner())).status == 201
    assert len(await plane.records()) == 2


async def test_what_is_known_under_another_urn_is_not_taken_up(plane: Plane) -> None:
    """An alias gave the first one another URN; the new resource of its old name is another object."""
    first = object_of(await plane.post("local_network", {}, owner=owner("urn:web")))
    await plane.post("local_network", {}, owner=owner("urn:other", known=[first["id"]]))
    second = await plane.post("local_network", {}, owner=owner("urn:web"))
    assert second.status == 201
    assert object_of(second)["id"] != first["id"]


async def test_a_zone_is_confirmed_by_its_name(plane: Plane) -> None:
    profile = {"name": "p", "provider_name": "amphora", "availability_zone_data": "{}"}
    made = await plane.make("availability_zone_profile", **profile)
    zone = {"name": "z", "availability_zone_profile_id": made["id"]}
    await plane.post("availability_zone", zone, owner=owner())
    await plane.call("POST", "/octavia/confirm", {"provider": PROVIDER, "ids": ["z"]})
    assert (await plane.post("availability_zone", {**zone, "name": "y"}, owner=owner())).status == 201


async def test_a_confirmation_of_the_wrong_shape_is_refused(plane: Plane) -> None:
    for wrong in ({}, {"provider": 1, "ids": []}, {"provider": "p", "ids": "x"}, {"provider": "p", "ids": [1]}):
        assert (await plane.call("POST", "/octavia/confirm", wrong)).status == 400


async def test_a_collision_with_what_is_known_by_another_name_says_what_to_do(plane: Plane) -> None:
    lb = await plane.balancer()
    spec = {"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": 80}
    await plane.post("listener", spec, owner=owner("urn:old"))
    refused = await plane.post("listener", spec, owner=owner("urn:new"))
    assert refused.status == 409
    assert "alias" in refused.violations[0][1]
    assert "alias" not in (await plane.post("listener", spec)).violations[0][1]


async def test_who_has_a_port_is_told_with_a_way_out_that_is_one(plane: Plane) -> None:
    """Of another URN: a resource that got a new name, which no order of deleting helps; of the same: what is retained."""
    lb = await plane.balancer()
    spec = {"loadbalancer_id": lb["id"], "protocol": "HTTP", "protocol_port": 80}
    first = object_of(await plane.post("listener", spec, owner=owner("urn:old")), "listener")
    renamed = await plane.post("listener", spec, owner=owner("urn:new", known=[first["id"]]))
    assert renamed.status == 409
    assert "under a new name, give it an alias of the old one; else remove the old one" in renamed.body["faultstring"]
    again = await plane.post("listener", spec, owner=owner("urn:old", known=[first["id"]]))
    assert again.status == 409
    assert "made for this resource before: import it, or let it be deleted first" in again.body["faultstring"]
    stranger = await plane.post("listener", spec)
    assert stranger.body["faultstring"].endswith(
        "is taken on this load balancer by listener " + (first["name"] or first["id"])
    )
    for answer in (renamed, again, stranger):
        assert "deleteBeforeReplace" not in answer.body["faultstring"]
