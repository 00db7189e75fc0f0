# SPDX-License-Identifier: Apache-2.0
"""Amphorae of the embedded cloud that load balancers share: each comes and goes while the others are served."""

from __future__ import annotations

import dataclasses
import http.client
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.specs import NetworkSpec
from octavia_provider.model.errors import Refused, TransientError
from octavia_provider.ports import SeatSpec, Vip

from .clouds import agent_facts, cloud_in_own_home, in_cloud, inside, order

pytestmark = pytest.mark.netns


@pytest_asyncio.fixture
async def made() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    async for cloud in cloud_in_own_home():
        yield cloud


def seat(name: str, address: str, network: str = "front", **changes: object) -> SeatSpec:
    first = address.rpartition(".")[0]
    vip = Vip(address=address, network_id=network, prefix=24, gateway=f"{first}.1")
    return SeatSpec(**{"id": f"seat-{name}", "host_id": "one", "load_balancer_id": name, "vips": (vip,), **changes})


def links(cloud: NetnsCloud) -> list[str]:
    inner = in_cloud(cloud, "ip", "-n", "amphora-one", "-br", "link")
    return sorted(line.split()[0].partition("@")[0] for line in inner.splitlines())


def carried(cloud: NetnsCloud) -> set[str]:
    text = in_cloud(cloud, "ip", "-n", "amphora-one", "-br", "address", "show", "scope", "global")
    return {word.partition("/")[0] for line in text.splitlines() for word in line.split()[2:]}


async def test_seats__load_balancers_come_and_go__others_keep_addresses_and_connections(
    made: tuple[NetnsCloud, Path],
) -> None:
    cloud, _ = made
    await cloud.ensure_network(NetworkSpec(id="side", cidr="10.3.0.0/24"))
    host = await cloud.boot(dataclasses.replace(order(), load_balancer_id="group", vips=(), seats=2))
    assert (host.vips, host.host, links(cloud)) == ((), None, ["eth0", "lo"])
    facts = await agent_facts(cloud, host)
    first, second, third = seat("a", "10.1.0.10"), seat("b", "10.3.0.10", "side"), seat("c", "10.1.0.12")
    told = await cloud.attach(first, keep=False)
    assert told == await cloud.attach(first, keep=False)
    assert (told.amphora_id, told.host, told.agent, told.vips) == ("seat-a", "one", host.agent, ("10.1.0.10",))
    answer = await inside(cloud, ("10.1.0.10", 8081))
    kept = http.client.HTTPConnection("10.1.0.10", 8081)
    kept.sock = cloud.connect_socket()
    kept.sock.settimeout(20)
    kept.sock.connect(("10.1.0.10", 8081))

    def goes_on() -> bool:
        kept.request("GET", "/")
        return kept.getresponse().read().decode() == answer

    assert goes_on()
    others = [await cloud.attach(one, keep=False) for one in (second, third)]
    entrances = [address for one in (told, *others) for address in (one.proxy_address, one.health_address)]
    assert len({*entrances, *host.agent, host.proxy_address}) == len(entrances) + 3
    for address in ("10.1.0.10", "10.3.0.10", "10.1.0.12", *entrances):
        assert (await inside(cloud, (str(address), 8081))).endswith("amphora-one")
    assert links(cloud) == ["eth0", "eth1", "eth2", "lo"]
    assert {one.amphora_id for one in await cloud.all_instances()} == {"one", "seat-a", "seat-b", "seat-c"}
    assert list(await cloud.instances("b")) == [others[0]]
    with pytest.raises(TransientError, match="still used by amphora one"):
        await cloud.delete_network("side")
    await cloud.detach("one", "b")
    await cloud.detach("one", "c")
    await cloud.detach("one", "c")
    assert goes_on()
    assert links(cloud) == ["eth0", "eth1", "lo"]
    assert carried(cloud) == {*host.agent[:1], host.proxy_address, *entrances[:2], "10.1.0.10"}
    await cloud.delete_network("side")
    assert (await agent_facts(cloud, host))["pid"] == facts["pid"]
    kept.close()


async def test_seats__addresses_of_one_change__kept_until_they_are_not_wanted(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.boot(dataclasses.replace(order(), load_balancer_id="group", vips=(), seats=2))
    old, new = seat("a", "10.1.0.10"), seat("a", "10.1.0.11")
    shared = dataclasses.replace(new.vips[0], address="10.1.0.20", shared=True)
    await cloud.attach(old, keep=False)
    both = await cloud.attach(dataclasses.replace(new, vips=(*new.vips, shared)), keep=True)
    assert (set(both.vips), both.shared) == ({"10.1.0.10", "10.1.0.11"}, ("10.1.0.20",))
    assert {"10.1.0.10", "10.1.0.11", "10.1.0.20"} <= carried(cloud)  # the shared one on the loopback
    one = await cloud.attach(new, keep=False)
    assert (one.vips, one.shared) == (("10.1.0.11",), ())
    assert not {"10.1.0.10", "10.1.0.20"} & carried(cloud)
    assert (await inside(cloud, ("10.1.0.11", 8081))).endswith("amphora-one")


async def test_seats__no_host_or_a_load_balancers_own__refused(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    with pytest.raises(TransientError, match="it is gone"):
        await cloud.attach(seat("a", "10.1.0.10"), keep=False)
    await cloud.detach("one", "a")
    await cloud.boot(order())
    with pytest.raises(Refused, match="not one of a group"):
        await cloud.attach(seat("a", "10.1.0.11"), keep=False)
