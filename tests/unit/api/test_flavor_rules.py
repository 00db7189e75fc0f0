# SPDX-License-Identifier: Apache-2.0
"""Flavors, availability zones and their profiles: Octavia's paths and words, enforced on those who use them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from octavia_provider.clouds.netns.networks import NetnsNetworks
from octavia_provider.ports import Amphora, Transaction
from unit.api.settling import WORDS, Answer, Plane

NOWHERE = "00000000-0000-0000-0000-000000000063"
SINGLE = '{"loadbalancer_topology": "SINGLE"}'


async def a_flavor(plane: Plane, name: str = "small", data: str = SINGLE, **more: Any) -> dict[str, Any]:
    provider = more.pop("provider", "amphora")
    profile = await plane.make("flavor_profile", name=f"{name}-profile", provider_name=provider, flavor_data=data)
    return await plane.make("flavor", name=name, flavor_profile_id=profile["id"], **more)


async def a_zone(plane: Plane, name: str = "nova", data: str = "{}", **more: Any) -> dict[str, Any]:
    given = {"provider_name": more.pop("provider", "amphora"), "availability_zone_data": data}
    profile = await plane.make("availability_zone_profile", name=f"{name}-profile", **given)
    return await plane.make("availability_zone", name=name, availability_zone_profile_id=profile["id"], **more)


def refused(answer: Answer, status: int, path: tuple[Any, ...], words: str) -> None:
    assert answer.status == status, answer.body
    assert words in answer.body["faultstring"]
    if path:
        assert answer.violations[0][0] == path


async def test_they_are_in_force_as_soon_as_written_and_gone_as_soon_as_deleted(plane: Plane) -> None:
    plane.held.clear()  # nobody has to bring anything about
    flavor = await a_flavor(plane)
    zone = await a_zone(plane, "west 1")
    assert {flavor["provisioning_status"], zone["provisioning_status"]} == {"ACTIVE"}
    assert (zone["id"], flavor["enabled"]) == ("west 1", True)
    for url, words in (
        (f"/lbaas/flavors/{flavor['id']}", "flavors"),
        (f"/lbaas/flavorprofiles/{flavor['flavor_profile_id']}", "flavorprofiles"),
        ("/lbaas/availabilityzones/west%201", "availability_zones"),
        (f"/lbaas/availabilityzoneprofiles/{zone['availability_zone_profile_id']}", "availability_zone_profiles"),
    ):
        listed = await plane.call("GET", url.rpartition("/")[0])
        assert len(listed.body[words]) == 1
        shown = await plane.call("GET", url)
        assert shown.body == {words[:-1]: listed.body[words][0]}
        changed = await plane.call(
            "PUT", url, {words[:-1]: {"description": "d"} if "profile" not in url else {"name": "p2"}}
        )
        assert (changed.status, changed.body[words[:-1]]["provisioning_status"]) == (200, "ACTIVE")
    for url in (f"/lbaas/flavors/{flavor['id']}", "/lbaas/availabilityzones/west%201"):
        assert (await plane.call("DELETE", url)).status == 204
        assert (await plane.call("GET", url)).status == 404


async def test_a_zone_of_a_name_is_made_once_for_its_owner_and_replaced_by_another_name(plane: Plane) -> None:
    profile = (await a_zone(plane))["availability_zone_profile_id"]
    owner = {"provider": "p", "urn": "urn:zone"}
    spec = {"name": "east", "availability_zone_profile_id": profile}
    first = await plane.post("availability_zone", spec, owner=owner)
    again = await plane.post("availability_zone", spec, owner=owner)
    assert (first.status, again.status) == (201, 200)
    other = await plane.post("availability_zone", {**spec, "name": "south"}, owner={**owner, "known": ["east"]})
    assert other.status == 201
    names = [z["name"] for z in (await plane.call("GET", "/lbaas/availabilityzones")).body["availability_zones"]]
    assert names == ["east", "nova", "south"]


async def test_names_are_unique_and_profiles_must_exist(plane: Plane) -> None:
    flavor, zone = await a_flavor(plane), await a_zone(plane)
    same = {"name": "small", "flavor_profile_id": flavor["flavor_profile_id"]}
    refused(await plane.post("flavor", same), 409, ("name",), "there is a flavor small already")
    same = {"name": "nova", "availability_zone_profile_id": zone["availability_zone_profile_id"]}
    refused(await plane.post("availability_zone", same), 409, ("name",), "there is an availability zone nova already")
    nowhere = {"name": "x", "flavor_profile_id": NOWHERE}
    refused(await plane.post("flavor", nowhere), 400, ("flavor_profile_id",), "does not exist")
    nowhere = {"name": "x", "availability_zone_profile_id": NOWHERE}
    refused(await plane.post("availability_zone", nowhere), 400, ("availability_zone_profile_id",), "does not exist")


@pytest.mark.covers(
    "flavor_profile.flavor_data.compute_flavor", "flavor_profile.flavor_data.amp_image_tag",
    "flavor_profile.flavor_data.sriov_vip", "flavor_profile.flavor_data.allow_member_sriov",
    "availability_zone_profile.availability_zone_data.compute_zone",
    "availability_zone_profile.availability_zone_data.volume_zone",
    "availability_zone_profile.availability_zone_data.management_network",
)  # fmt: skip
@pytest.mark.parametrize(
    ("kind", "attribute", "name", "value"),
    [
        ("flavor_profile", "flavor_data", "compute_flavor", '"m1"'),
        ("flavor_profile", "flavor_data", "amp_image_tag", '"new"'),
        ("flavor_profile", "flavor_data", "sriov_vip", "true"),
        ("flavor_profile", "flavor_data", "allow_member_sriov", "true"),
        ("availability_zone_profile", "availability_zone_data", "compute_zone", '"nova"'),
        ("availability_zone_profile", "availability_zone_data", "volume_zone", '"nova"'),
        ("availability_zone_profile", "availability_zone_data", "management_network", f'"{NOWHERE}"'),
    ],
)
async def test_what_this_cloud_cannot_do_is_refused_with_its_path(
    plane: Plane, kind: str, attribute: str, name: str, value: str
) -> None:
    spec = {"name": "p", "provider_name": "amphora", attribute: f'{{"{name}": {value}}}'}
    refused(await plane.post(kind, spec), 400, (attribute, name), "embedded cloud")
    made = await plane.make(kind, **{**spec, attribute: "{}"})
    url = f"{plane.place(kind, spec)}/{made['id']}"
    changed = await plane.call("PUT", url, {WORDS[kind]: {attribute: spec[attribute]}})
    refused(changed, 400, (attribute, name), "embedded cloud")


async def test_capabilities_are_those_of_this_cloud(plane: Plane) -> None:
    providers = (await plane.call("GET", "/lbaas/providers")).body["providers"]
    assert {p["name"] for p in providers} == {"amphora", "octavia"}
    flavored = ["loadbalancer_topology", "vrrp_advertisement_interval"]
    for what, names in (("flavor", flavored), ("availability_zone", ["valid_vip_networks"])):
        found = (await plane.call("GET", f"/lbaas/providers/amphora/{what}_capabilities")).body[f"{what}_capabilities"]
        assert [c["name"] for c in found] == names
        assert all(c["description"] for c in found)
    words = "The load balancer topology. One of: SINGLE - One amphora per load balancer. ACTIVE_STANDBY - Two amphora per load balancer."
    for query in ("name=loadbalancer_topology&fields=description", f"description={words}&fields=description"):
        answer = await plane.call("GET", f"/lbaas/providers/amphora/flavor_capabilities?{query}")
        assert answer.body["flavor_capabilities"] == [{"description": words}], "as clients look for it"
    refused(
        await plane.call("GET", "/lbaas/providers/ovn/flavor_capabilities"), 400, ("provider",), "'ovn' is not one of"
    )


async def test_a_profile_in_use_keeps_all_but_its_name_and_what_is_used_is_not_deleted(plane: Plane) -> None:
    flavor, zone = await a_flavor(plane), await a_zone(plane)
    network = await plane.make("local_network")
    lb = await plane.make(
        "load_balancer", name="lb", vip_network_id=network["id"], flavor_id=flavor["id"], availability_zone="nova"
    )
    profiles = (
        ("flavorprofiles", "flavorprofile", flavor["flavor_profile_id"], {"flavor_data": "{}"}, "flavor small"),
        ("flavorprofiles", "flavorprofile", flavor["flavor_profile_id"], {"provider_name": "octavia"}, "flavor small"),
        ("availabilityzoneprofiles", "availability_zone_profile", zone["availability_zone_profile_id"],
         {"provider_name": "octavia"}, "availability zone nova"),
    )  # fmt: skip
    for collection, word, id_, change, user in profiles:
        url = f"/lbaas/{collection}/{id_}"
        refused(await plane.call("PUT", url, {word: change}), 409, (), f"{user} uses it")
        refused(await plane.call("DELETE", url), 409, (), f"{user} uses it")
        assert (await plane.call("PUT", url, {word: {"name": "renamed"}})).status == 200
    used = (f"/lbaas/flavors/{flavor['id']}", "/lbaas/availabilityzones/nova")
    for url in used:
        refused(await plane.call("DELETE", url), 409, (), "load balancer lb uses it")
    assert (await plane.call("DELETE", f"/lbaas/loadbalancers/{lb['id']}", wait=10)).status == 204
    for url in (*used, *(f"/lbaas/{collection}/{id_}" for collection, _, id_, _, _ in profiles[1:])):
        assert (await plane.call("DELETE", url)).status == 204, url


@pytest.mark.covers(
    "flavor.enabled", "availability_zone.enabled", "load_balancer.provider=amphora", "load_balancer.provider=octavia",
    "flavor_profile.provider_name=amphora", "flavor_profile.provider_name=octavia",
    "availability_zone_profile.provider_name=amphora", "availability_zone_profile.provider_name=octavia",
    "load_balancer.flavor_id", "load_balancer.availability_zone",
)  # fmt: skip
async def test_who_may_use_a_flavor_or_a_zone(plane: Plane) -> None:
    network, other = await plane.make("local_network"), await plane.make("local_network")
    off = await a_flavor(plane, "off", enabled=False)
    foreign = await a_flavor(plane, "foreign", provider="octavia")
    await a_zone(plane, "off", enabled=False)
    await a_zone(plane, "foreign", provider="octavia")
    await a_zone(plane, "narrow", f'{{"valid_vip_networks": ["{other["id"].upper()}"]}}')
    spec = {"vip_network_id": network["id"]}
    cases: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({"flavor_id": NOWHERE}, "flavor_id", "does not exist"),
        ({"flavor_id": off["id"]}, "flavor_id", "flavor off is disabled"),
        ({"flavor_id": foreign["id"]}, "flavor_id", "is for provider octavia, and this is amphora"),
        ({"availability_zone": "nowhere"}, "availability_zone", "does not exist"),
        ({"availability_zone": "off"}, "availability_zone", "is disabled"),
        ({"availability_zone": "foreign"}, "availability_zone", "is for provider octavia"),
        ({"availability_zone": "narrow"}, "vip_network_id", f"allows VIPs in {other['id']} only"),
    )
    before = await plane.records()
    for change, at, words in cases:
        refused(await plane.post("load_balancer", {**spec, **change}), 400, (at,), words)
        nested = {**spec, **change, "pools": [{"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}]}
        refused(await plane.post("load_balancer", nested), 400, (at,), words)
    by_subnet = {"vip_subnet_id": spec["vip_network_id"], "availability_zone": "narrow"}
    refused(await plane.post("load_balancer", by_subnet), 400, ("vip_subnet_id",), f"allows VIPs in {other['id']} only")
    assert await plane.records() == before
    await plane.make("load_balancer", vip_network_id=other["id"], availability_zone="narrow")
    await plane.make("load_balancer", **spec, provider="octavia", flavor_id=foreign["id"])


async def test_a_flavor_changes_in_place_and_one_that_was_disabled_since_is_left_alone(plane: Plane) -> None:
    small, large = await a_flavor(plane), await a_flavor(plane, "large", "{}")
    off = await a_flavor(plane, "off", enabled=False)
    lb = await plane.balancer()
    url = f"/lbaas/loadbalancers/{lb['id']}"

    async def to(flavor_id: str | None) -> Answer:
        return await plane.call("PUT", url, {"loadbalancer": {"flavor_id": flavor_id}}, wait=10)

    for flavor_id in (small["id"], large["id"], None, small["id"]):
        changed = (await to(flavor_id)).body["loadbalancer"]
        assert (changed["id"], changed["flavor_id"], changed["provisioning_status"]) == (lb["id"], flavor_id, "ACTIVE")
    refused(await to(off["id"]), 400, ("flavor_id",), "flavor off is disabled")
    await plane.call("PUT", f"/lbaas/flavors/{small['id']}", {"flavor": {"enabled": False}})
    renamed = await plane.call("PUT", url, {"loadbalancer": {"name": "other"}}, wait=10)
    assert (renamed.status, renamed.body["loadbalancer"]["flavor_id"]) == (200, small["id"])
    zone = await plane.call("PUT", url, {"loadbalancer": {"availability_zone": "x"}})
    refused(zone, 400, ("availability_zone",), "cannot be changed")


async def test_a_pair_that_has_too_few_addresses_in_its_network_is_refused_before_anything_is_made(
    plane: Plane,
) -> None:
    pair = await a_flavor(
        plane, "pair", '{"loadbalancer_topology": "ACTIVE_STANDBY", "vrrp_advertisement_interval": 0.1}'
    )
    network = await plane.make("local_network", cidr="10.9.0.0/29")  # five beside the gateway
    spec = {"vip_network_id": network["id"]}
    lb = await plane.make("load_balancer", **spec, flavor_id=pair["id"])
    before = await plane.records()
    words = "too few addresses are free in 10.9.0.0/29"
    refused(await plane.post("load_balancer", {**spec, "flavor_id": pair["id"]}), 409, ("vip_network_id",), words)
    by_subnet = {"vip_subnet_id": network["subnet_id"], "flavor_id": pair["id"]}
    refused(await plane.post("load_balancer", by_subnet), 409, ("vip_subnet_id",), words)
    assert await plane.records() == before

    async def to(balancer: dict[str, Any], flavor_id: str | None) -> Answer:
        url = f"/lbaas/loadbalancers/{balancer['id']}"
        return await plane.call("PUT", url, {"loadbalancer": {"flavor_id": flavor_id}}, wait=10)

    single = await plane.make("load_balancer", **spec)
    refused(await to(single, pair["id"]), 409, ("flavor_id",), words)
    assert (await to(lb, None)).status == 200, "which gives back what was set aside"
    assert (await to(single, pair["id"])).status == 200


async def test_a_failover_that_has_too_few_addresses_in_its_network_is_refused_before_anything_is_touched(
    plane: Plane,
) -> None:
    network = await plane.make("local_network", name="narrow", cidr="10.9.0.0/29")  # five beside the gateway
    lb = await plane.make("load_balancer", name="small", vip_network_id=network["id"])
    amphora = Amphora(id="a", load_balancer_id=lb["id"], role="STANDALONE", status="ALLOCATED")
    await plane.store.write(lambda tx: tx.put_amphora(amphora))
    hosts = [await plane.make("local_host", name=f"h{n}", network_id=network["id"], command=["x"]) for n in range(3)]
    paths = (f"/lbaas/loadbalancers/{lb['id']}/failover", "/octavia/amphorae/a/failover")

    async def facts() -> Any:
        return await plane.store.read(lambda tx: (tx.scopes(), tx.amphorae(), tx.addresses(lb["id"])))

    before = await facts()
    for path in paths:
        answer = await plane.call("PUT", path)
        assert answer.status == 409
        assert "load balancer small: a replacement needs 2 free addresses in network narrow (10.9.0.0/29)" in str(
            answer.body
        )
        assert "it has 1" in str(answer.body)
        assert "delete a host" in str(answer.body)
        assert await facts() == before
    for host in hosts[:1]:
        assert (await plane.call("DELETE", f"/local/hosts/{host['id']}", wait=10)).status == 204
    for path in paths:
        assert (await plane.call("PUT", path)).status == 202
    assert await plane.store.read(lambda tx: tx.amphorae()[0].retiring)


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_failover_replaces_all_amphorae_but_those_that_another_failover_is_booting(
    plane: Plane, goes_on: bool
) -> None:
    lb = await plane.post("load_balancer", {"vip_network_id": (await plane.make("local_network"))["id"]})
    id_ = lb.body["loadbalancer"]["id"]
    served = Amphora(id="a", load_balancer_id=id_, role="MASTER", status="ALLOCATED", retiring=goes_on)
    stuck = Amphora(id="b", load_balancer_id=id_, role="BACKUP")
    await plane.store.write(lambda tx: [tx.put_amphora(one) for one in (served, stuck)])
    assert (await plane.call("PUT", f"/lbaas/loadbalancers/{id_}/failover")).status == 202
    found = await plane.store.read(lambda tx: tx.amphorae(id_))
    assert {one.id: one.retiring for one in found} == {"a": True, "b": not goes_on}


async def test_a_failover_of_a_pair_needs_one_address_in_each_subnet_and_of_what_was_never_made_none(
    plane: Plane,
) -> None:
    pair = await a_flavor(plane, "pair", '{"loadbalancer_topology": "ACTIVE_STANDBY"}')
    network = await plane.make("local_network", name="narrow", cidr="10.9.0.0/29", ipv6_cidr="fd12:9::/64")
    lb = await plane.make("load_balancer", name="small", vip_network_id=network["id"], flavor_id=pair["id"])
    made = [
        Amphora(id=id_, load_balancer_id=lb["id"], role=role, status="ALLOCATED")
        for id_, role in (("a", "MASTER"), ("b", "BACKUP"))
    ]
    for amphora in made:

        def boot(tx: Transaction, amphora: Amphora = amphora) -> None:
            balancer = tx.get("load_balancer", lb["id"])
            assert balancer is not None
            tx.put_amphora(replace(amphora, own=NetnsNetworks().own(tx, balancer, amphora.id)))

        await plane.store.write(boot)
    hosts = [await plane.make("local_host", name=f"h{n}", network_id=network["id"], command=["x"]) for n in range(2)]
    answer = await plane.call("PUT", "/octavia/amphorae/b/failover")
    assert answer.status == 409
    assert "needs 1 free address in network narrow (10.9.0.0/29)" in str(answer.body)
    await plane.store.write(lambda tx: tx.put_amphora(replace(made[1], status="BOOTING")))
    assert (await plane.call("PUT", "/octavia/amphorae/b/failover")).status == 202
    assert (await plane.call("DELETE", f"/local/hosts/{hosts[0]['id']}", wait=10)).status == 204
    assert (await plane.call("PUT", f"/lbaas/loadbalancers/{lb['id']}/failover")).status == 202
