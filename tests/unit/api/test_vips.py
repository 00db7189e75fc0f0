# SPDX-License-Identifier: Apache-2.0
"""Addresses of both families through the API: what is chosen, what is refused, what is given back."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns.networks import NetnsNetworks
from unit.api import settling
from unit.api.settling import Answer, Plane

IPV6 = "fd00:1::/64"
NOWHERE = str(uuid.UUID(int=99))


@pytest_asyncio.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    async with settling.plane(tmp_path) as found:
        yield found


async def dual(plane: Plane, **more: Any) -> dict[str, Any]:
    return await plane.make("local_network", **{"name": "net", "cidr": "10.7.0.0/24", "ipv6_cidr": IPV6, **more})


async def update(plane: Plane, lb: dict[str, Any], *vips: dict[str, Any]) -> Answer:
    return await plane.call(
        "PUT", f"/lbaas/loadbalancers/{lb['id']}", {"loadbalancer": {"additional_vips": list(vips)}}, wait=10
    )


def refused(answer: Answer, path: tuple[str | int, ...], words: str, *statuses: int) -> None:
    assert answer.status in (statuses or (400, 409)), answer.body
    assert [p for p, _ in answer.violations] == [path], answer.violations
    assert words in answer.violations[0][1]


async def held(plane: Plane, lb: dict[str, Any]) -> set[str]:
    return {address for _, address in await plane.store.read(lambda tx: tx.addresses(lb["id"])) if address[:3] != "127"}


async def test_a_network_shows_its_subnets(plane: Plane) -> None:
    both, one = await dual(plane), await plane.make("local_network", name="one")
    assert (both["subnet_id"], one["subnet_id"], one["ipv6_subnet_id"]) == (both["id"], one["id"], None)
    assert both["ipv6_subnet_id"] not in (None, both["id"])
    for values, words in (
        ({"ipv6_cidr": "fd00:1::/60"}, "overlaps fd00:1::/64"),
        ({"ipv6_cidr": "fd00:1::/64"}, "overlaps"),
    ):
        refused(await plane.post("local_network", {"name": "x", **values}), ("ipv6_cidr",), words)


@pytest.mark.covers("load_balancer.vip_subnet_id", "load_balancer.vip_address")
async def test_the_vips_family_is_ipv4_unless_an_address_or_a_subnet_says_otherwise(plane: Plane) -> None:
    net = await dual(plane)
    by_network = await plane.make("load_balancer", vip_network_id=net["id"])
    assert (by_network["vip_address"], by_network["vip_subnet_id"]) == ("10.7.0.2", net["subnet_id"])
    by_address = await plane.make("load_balancer", vip_network_id=net["id"], vip_address="FD00:1:0::9")
    assert (by_address["vip_address"], by_address["vip_subnet_id"]) == ("fd00:1::9", net["ipv6_subnet_id"])
    by_subnet = await plane.make("load_balancer", vip_subnet_id=net["ipv6_subnet_id"])
    assert by_subnet["vip_network_id"] == net["id"]
    assert by_subnet["vip_address"].startswith("fd00:1::")
    assert by_subnet["additional_vips"] == []


async def test_what_is_refused_of_additional_vips(plane: Plane) -> None:
    net, other = await dual(plane), await dual(plane, name="other", cidr="10.8.0.0/24", ipv6_cidr="fd00:2::/64")
    lb = await plane.make(
        "load_balancer", vip_network_id=net["id"], additional_vips=[{"subnet_id": net["ipv6_subnet_id"]}]
    )
    for vips, path, words in (
        ([{"subnet_id": NOWHERE}], (0, "subnet_id"), "does not exist"),
        ([{"subnet_id": other["ipv6_subnet_id"]}], (0, "subnet_id"), "is not a subnet of network"),
        ([{"subnet_id": net["id"]}], (), "twice"),
        ([{"subnet_id": net["ipv6_subnet_id"], "ip_address": "fd00:2::5"}], (0, "ip_address"), "is not in fd00:1::/64"),
        ([{"subnet_id": net["ipv6_subnet_id"], "ip_address": "10.7.0.9"}], (0, "ip_address"), "is not in fd00:1::/64"),
        ([{"subnet_id": net["ipv6_subnet_id"], "ip_address": "fd00:1::1"}], (0, "ip_address"), "is the gateway"),
    ):
        refused(
            await plane.post("load_balancer", {"vip_network_id": net["id"], "additional_vips": vips}),
            ("additional_vips", *path),
            words,
        )
        refused(await update(plane, lb, *vips), ("additional_vips", *path), words)
    (mine,) = lb["additional_vips"]
    taken = {"subnet_id": mine["subnet_id"], "ip_address": mine["ip_address"]}
    second = {"vip_network_id": net["id"], "additional_vips": [taken]}
    refused(await plane.post("load_balancer", second), ("additional_vips", 0, "ip_address"), "is taken")
    by_subnet = {"vip_network_id": net["id"], "vip_subnet_id": other["ipv6_subnet_id"]}
    refused(await plane.post("load_balancer", by_subnet), ("vip_subnet_id",), "is not a subnet of network")
    refused(await plane.post("load_balancer", {"vip_subnet_id": NOWHERE}), ("vip_subnet_id",), "does not exist")
    assert len(await plane.records()) == 3


async def test_additional_vips_change_in_place__an_address_is_kept_until_no_amphora_carries_it(plane: Plane) -> None:
    net, networks = await dual(plane), NetnsNetworks()
    six = net["ipv6_subnet_id"]
    lb = await plane.make(
        "load_balancer", vip_network_id=net["id"], additional_vips=[{"subnet_id": six, "ip_address": "fd00:1::a"}]
    )
    assert lb["additional_vips"] == [{"subnet_id": six, "ip_address": "fd00:1::a", "port_id": None}]
    kept = await update(plane, lb, {"subnet_id": six})
    assert kept.body["loadbalancer"]["additional_vips"] == lb["additional_vips"]
    changed = await update(plane, lb, {"subnet_id": six, "ip_address": "fd00:1::b"})
    assert changed.body["loadbalancer"]["additional_vips"][0]["ip_address"] == "fd00:1::b"
    assert await held(plane, lb) == {"10.7.0.2", "fd00:1::a", "fd00:1::b"}
    for carried in (["fd00:1::a"], []):
        await plane.store.write(lambda tx, carried=carried: networks.give_back(tx, lb["id"], carried))
        assert await held(plane, lb) == {"10.7.0.2", "fd00:1::b", *carried}
    gone = await update(plane, lb)
    assert gone.body["loadbalancer"]["additional_vips"] == []
    await plane.store.write(lambda tx: networks.give_back(tx, lb["id"], []))
    left = await held(plane, lb)
    assert "fd00:1::b" not in left
    assert len(left) == 2, "its VIP, and an address by which its amphora reaches members of IPv6"
    record = next(r for r in await plane.records() if r.id == lb["id"])
    vips = await plane.store.read(lambda tx: networks.vips(tx, record))
    assert [(vip.served, ":" in vip.address) for vip in vips] == [(True, False), (False, True)]


async def test_a_balancer_that_goes_gives_back_all_its_addresses(plane: Plane) -> None:
    net = await dual(plane)
    lb = await plane.make(
        "load_balancer", vip_network_id=net["id"], additional_vips=[{"subnet_id": net["ipv6_subnet_id"]}]
    )
    await update(plane, lb)
    await plane.call("DELETE", f"/lbaas/loadbalancers/{lb['id']}", wait=10)
    assert await plane.store.read(lambda tx: tx.addresses(lb["id"])) == []


@pytest.mark.covers("local_host.ipv6_address", "local_host.address")
async def test_hosts_have_an_address_of_each_family(plane: Plane) -> None:
    net, plain = await dual(plane), await plane.make("local_network", name="plain")
    host = await plane.make("local_host", network_id=net["id"], command=["true"], ipv6_address="fd00:1::77")
    assert (host["address"], host["ipv6_address"]) == ("10.7.0.2", "fd00:1::77")
    assert (await plane.make("local_host", network_id=net["id"], command=["true"]))["ipv6_address"] == "fd00:1::2"
    assert (await plane.make("local_host", network_id=plain["id"], command=["true"]))["ipv6_address"] is None
    bad = {"network_id": plain["id"], "command": ["true"], "ipv6_address": "fd00:1::5"}
    refused(await plane.post("local_host", bad), ("ipv6_address",), "has no ipv6_cidr")


@pytest.mark.covers(
    "load_balancer.vip_port_id", "load_balancer.additional_vips.port_id", "load_balancer.vip_qos_policy_id",
    "load_balancer.vip_sg_ids",
)  # fmt: skip
async def test_what_the_embedded_cloud_has_not_is_refused_where_it_is_asked_for(plane: Plane) -> None:
    net = await dual(plane)
    asked: tuple[tuple[dict[str, Any], tuple[str | int, ...], str], ...] = (
        ({"vip_qos_policy_id": NOWHERE}, ("vip_qos_policy_id",), "no QoS policies"),
        ({"vip_sg_ids": [NOWHERE]}, ("vip_sg_ids",), "no security groups"),
        ({"vip_port_id": NOWHERE}, ("vip_port_id",), "no ports"),
        (
            {"additional_vips": [{"subnet_id": net["ipv6_subnet_id"], "port_id": NOWHERE}]},
            ("additional_vips", 0, "port_id"), "no ports",
        ),
    )  # fmt: skip
    for values, path, words in asked:
        refused(await plane.post("load_balancer", {"vip_network_id": net["id"], **values}), path, words)
    lb = await plane.make("load_balancer", vip_network_id=net["id"])
    answer = await plane.call(
        "PUT", f"/lbaas/loadbalancers/{lb['id']}", {"loadbalancer": {"vip_sg_ids": [NOWHERE]}}, wait=10
    )
    refused(answer, ("vip_sg_ids",), "no security groups")


@pytest.mark.covers("member.subnet_id", "member.request_sriov")
async def test_a_member_s_subnet_is_there_and_need_not_hold_its_address(plane: Plane) -> None:
    net = await dual(plane)
    lb = await plane.make("load_balancer", vip_network_id=net["id"])
    pool = await plane.make("pool", loadbalancer_id=lb["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")

    def body(**values: Any) -> dict[str, Any]:
        return {"pool_id": pool["id"], "address": "10.7.0.9", "protocol_port": 80, **values}

    refused(await plane.post("member", body(subnet_id=NOWHERE)), ("subnet_id",), "does not exist", 404)
    elsewhere = await plane.make("member", **body(address="10.200.0.9", subnet_id=net["ipv6_subnet_id"]))
    assert elsewhere["subnet_id"] == net["ipv6_subnet_id"]
    refused(await plane.post("member", body(request_sriov=True)), ("request_sriov",), "interfaces are virtual")
    nested = {"vip_network_id": net["id"], "pools": [{
        "name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
        "members": [{"address": "10.7.0.9", "protocol_port": 80, "subnet_id": NOWHERE}],
    }]}  # fmt: skip
    refused(await plane.post("load_balancer", nested), ("pools", 0, "members", 0, "subnet_id"), "does not exist", 404)
    member = (await plane.post("member", body(subnet_id=net["subnet_id"]))).body["member"]
    assert member["subnet_id"] == net["subnet_id"]
    members = f"/lbaas/pools/{pool['id']}/members"
    batch = [{"address": f"10.7.0.{n}", "protocol_port": 80, "subnet_id": NOWHERE if n == 7 else None} for n in (8, 7)]
    refused(await plane.call("PUT", members, {"members": batch}), ("members", 1, "subnet_id"), "does not exist", 404)
    path = f"{members}/{member['id']}"
    refused(
        await plane.call("PUT", path, {"member": {"subnet_id": NOWHERE}}, wait=10), ("subnet_id",), "does not exist"
    )


async def test_what_needs_a_family_can_be_changed_and_taken_away_after_its_vip(plane: Plane) -> None:
    net = await dual(plane)
    second = {"subnet_id": net["ipv6_subnet_id"]}
    lb = await plane.make("load_balancer", vip_network_id=net["id"], additional_vips=[second])
    pool = await plane.make("pool", loadbalancer_id=lb["id"], protocol="UDP", lb_algorithm="ROUND_ROBIN")
    both = ["fd00::/8", "10.0.0.0/8"]
    listener = await plane.make(
        "listener",
        loadbalancer_id=lb["id"],
        protocol="UDP",
        protocol_port=53,
        default_pool_id=pool["id"],
        allowed_cidrs=both,
    )
    member = await plane.make("member", pool_id=pool["id"], address="fd00:1::9", protocol_port=53)
    where = f"/lbaas/pools/{pool['id']}/members/{member['id']}"
    assert (await update(plane, lb)).status < 300

    assert (await plane.call("PUT", where, {"member": {"weight": 7}})).status < 300
    assert (await plane.call("PUT", where, {"member": {"address": "fd00:1::8"}})).status == 200
    batch = [{"address": "fd00:1::8", "protocol_port": 53, "weight": 3}, {"address": "fd00:1::7", "protocol_port": 53}]
    assert (await plane.call("PUT", f"/lbaas/pools/{pool['id']}/members", {"members": batch})).status == 202
    assert (await plane.call("PUT", f"/lbaas/listeners/{listener['id']}", {"listener": {"name": "dns"}})).status < 300
    fewer = {"listener": {"allowed_cidrs": ["fd01::/16", "fd00::/8"]}}
    answer = await plane.call("PUT", f"/lbaas/listeners/{listener['id']}", fewer)
    refused(answer, ("allowed_cidrs", 0), "is of IPv6, and no VIP")
    assert (await plane.call("DELETE", where)).status == 204
