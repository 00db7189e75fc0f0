# SPDX-License-Identifier: Apache-2.0
"""Amphorae of the embedded cloud: where their files are, what survives what, and what is built again."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.specs import NetworkSpec
from octavia_provider.model.errors import Refused
from octavia_provider.ports import Instance, Vip

from .clouds import agent_facts, alive, cloud_in_own_home, in_cloud, inside, order, outer, processes_of, program
from .sandbox import until

pytestmark = pytest.mark.netns


@pytest_asyncio.fixture
async def made() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    async for cloud in cloud_in_own_home():
        yield cloud


def neighbours(cloud: NetnsCloud) -> dict[str, str]:
    """Which MAC address the fabric has for an IP address."""
    return {
        entry["dst"]: entry["lladdr"] for entry in json.loads(in_cloud(cloud, "ip", "-j", "neigh")) if "lladdr" in entry
    }


def names(cloud: NetnsCloud) -> list[str]:
    return sorted(line.split()[0] for line in in_cloud(cloud, "ip", "-br", "link").splitlines())


async def restarted(cloud: NetnsCloud, booted: Instance, starts: int) -> dict[str, Any]:
    async def again() -> dict[str, Any] | None:
        facts = await agent_facts(cloud, booted)
        return facts if facts["starts"] == starts else None

    facts = await until(again)
    assert facts
    return facts


async def test_it_has_its_addresses_its_files_and_its_agent(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    booted = await cloud.boot(order())
    assert booted.alive
    assert booted.proxy_address not in (None, booted.agent[0])
    facts = await agent_facts(cloud, booted)
    assert facts == {
        "pid": facts["pid"], "haproxy": facts["haproxy"], "starts": 1, "mode": "0o600", "memory": True,
        "host": "amphora-one", "namespaces": [],
    }  # fmt: skip
    assert (await inside(cloud, ("10.1.0.10", 8081))).endswith("amphora-one")
    assert (home / "cloud" / "amphorae" / "one" / "starts").read_text() == "1"

    async def told() -> bool:
        """By way of the first process, which may come to it late."""
        log = home / "log" / "amphora-one.log"
        return log.exists() and "GET /" in log.read_text()

    await until(told)
    assert list(await cloud.all_instances()) == [booted] == [await cloud.boot(order())]


async def test_an_agent_that_dies_comes_back_and_finds_its_haproxy(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    booted = await cloud.boot(order())
    before = await agent_facts(cloud, booted)
    os.kill(outer(cloud, "amphora-one", before["pid"]), signal.SIGKILL)
    after = await restarted(cloud, booted, 2)
    assert after["haproxy"] == before["haproxy"]
    assert after["pid"] != before["pid"]
    assert list(await cloud.all_instances()) == [booted]
    os.kill(outer(cloud, "amphora-one", after["haproxy"]), signal.SIGKILL)  # it is reaped, and no zombie stays

    async def reaped() -> bool:
        return not [pid for pid in processes_of(cloud.holder_pid) if program(pid) == "haproxy"]

    await until(reaped)


@pytest.mark.parametrize("harm", ["init", "namespace", "port"])
async def test_what_was_destroyed_is_seen_and_built_again(made: tuple[NetnsCloud, Path], harm: str) -> None:
    cloud, _ = made
    booted = await cloud.boot(order())
    facts = await agent_facts(cloud, booted)
    processes = processes_of(cloud.holder_pid)[1:]
    if harm == "init":
        os.kill(outer(cloud, "amphora-one", 1), signal.SIGKILL)
    elif harm == "namespace":
        in_cloud(cloud, "ip", "netns", "del", "amphora-one")
    else:
        in_cloud(cloud, "ip", "link", "del", in_cloud(cloud, "sh", "-c", "ip -br link | grep ^po").split("@")[0])

    async def seen() -> bool:
        return not (await cloud.all_instances())[0].alive

    await until(seen)
    again = await cloud.boot(order())
    assert again == booted
    assert (await restarted(cloud, again, 2))["haproxy"] > 0
    assert (await inside(cloud, ("10.1.0.10", 8081))).endswith("amphora-one")
    assert not [pid for pid in processes if alive(pid)]
    assert facts["starts"] == 1


async def test_an_address_moves_to_another_amphora_at_once(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.boot(order("one"))
    assert (await inside(cloud, ("10.1.0.10", 8081))).endswith("amphora-one")
    await cloud.delete("one")
    await cloud.boot(order("two"))
    known = neighbours(cloud)
    assert (await inside(cloud, ("10.1.0.10", 8081))).endswith("amphora-two")
    right = neighbours(cloud)["10.1.0.10"]
    assert known.get("10.1.0.10", right) == right, "an ARP entry that has to expire first"


@pytest.mark.parametrize(("vip", "own"), [("10.1.0.9", "10.1.0.1"), ("fd00:1::9", "fd00:1::")])
async def test_a_shared_address_is_answered_for_by_who_has_it(
    made: tuple[NetnsCloud, Path], vip: str, own: str
) -> None:
    """All can listen on it; the network is told of it by one alone, and at once when that is another."""
    cloud, _ = made
    await cloud.ensure_network(NetworkSpec(id="front", cidr="10.1.0.0/24", ipv6_cidr="fd00:1::/64"))
    prefix = 64 if ":" in vip else 24
    shared = Vip(address=vip, network_id="front", prefix=prefix, shared=True)
    fixed = dataclasses.replace(shared, shared=False)
    mine = {
        name: dataclasses.replace(fixed, address=f"{own}{n}", served=False)
        for n, name in enumerate(("one", "two"), start=2)
    }
    for name, address in mine.items():
        order_ = dataclasses.replace(order(name), vips=(address, shared, *([fixed] if name == "one" else [])))
        booted = await cloud.boot(order_)
        assert booted.shared == (vip,)
        await inside(cloud, (address.address, 8081))

    async def answers() -> str:
        return (await inside(cloud, (vip, 8081))).rpartition("-")[2]

    for old, new in (("one", "two"), ("two", "one")):
        for _ in range(5):
            in_cloud(cloud, "ip", "neigh", "flush", "all")
            assert await answers() == old
        await cloud.readdress(new, [mine[new], fixed, shared], keep=True)
        assert await answers() == new  # while the other one has it too: it was told
        await cloud.readdress(old, [mine[old], shared], keep=False)
        assert await answers() == new
    await cloud.readdress("one", [mine["one"], fixed], keep=False)
    assert await answers() == "one"


async def test_vips_on_several_networks(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.boot(order())
    await cloud.ensure_network(NetworkSpec(id="side", cidr="10.3.0.0/24"))
    wanted = order()
    more = (
        Vip(address="10.3.0.10", network_id="side", prefix=24),
        Vip(address="10.1.0.11", network_id="front", prefix=24),
    )
    booted = await cloud.boot(dataclasses.replace(wanted, vips=(*wanted.vips, *more)))
    for address in ("10.1.0.10", "10.1.0.11", "10.3.0.10"):
        assert (await inside(cloud, (address, 8081))).endswith("amphora-one")
    assert (await agent_facts(cloud, booted))["starts"] in (1, 2)


async def test_a_deleted_amphora_leaves_nothing(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    links = names(cloud)
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    await cloud.delete("one")
    await cloud.delete("one")
    assert processes_of(cloud.holder_pid) == [cloud.holder_pid]
    assert names(cloud) == links
    assert in_cloud(cloud, "ip", "netns").strip() == ""
    assert list((home / "cloud" / "amphorae").iterdir()) == []


async def test_files_stay_in_the_amphoras_own_folders(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    for path in ("/etc/passwd", "/etc/octavia-amphora/../passwd"):
        wrong = dataclasses.replace(order(), files=lambda *_, path=path: {path: (0o600, b"")})
        with pytest.raises(Refused, match="is not in"):
            await cloud.boot(wrong)
    assert [h.alive for h in await cloud.all_instances()] == [False]  # made, and no agent runs in it


async def test_what_ends_in_the_cloud_is_told_at_once(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.boot(order())
    listening = await asyncio.to_thread(cloud._client.watch)
    os.kill(outer(cloud, "amphora-one", 1), signal.SIGKILL)
    told = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(listening, 4096), 20)
    assert b"amphora-one" in told
    listening.close()
    ended = asyncio.ensure_future(_all(cloud))
    await cloud.stop()
    await asyncio.wait_for(ended, 20)
    await asyncio.wait_for(_all(cloud), 20)  # where there is no cloud, nothing ends in it


async def _all(cloud: NetnsCloud) -> None:
    async for _ in cloud.ended():
        pass


async def test_an_agent_is_started_anew_with_its_files__what_it_left_goes_on(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    booted = await cloud.boot(order())
    before = await agent_facts(cloud, booted)
    os.kill(outer(cloud, "amphora-one", before["pid"]), signal.SIGSTOP)
    await cloud.restart_agent(order())
    after = await restarted(cloud, booted, 2)
    assert after["haproxy"] == before["haproxy"]
    assert after["pid"] != before["pid"]
