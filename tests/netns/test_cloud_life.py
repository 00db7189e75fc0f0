# SPDX-License-Identifier: Apache-2.0
"""The embedded cloud comes, stays when the control plane goes, and goes without a trace."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud, doctor
from octavia_provider.clouds.netns.specs import NetworkSpec
from octavia_provider.model.errors import Refused, TransientError, Unreachable

from .clouds import (
    agent_facts,
    alive,
    cloud_in_own_home,
    free_port,
    host,
    in_cloud,
    inside,
    machine,
    make_cloud,
    order,
    outside,
    processes_of,
    publication,
)  # fmt: skip
from .sandbox import until

pytestmark = pytest.mark.netns


@pytest_asyncio.fixture
async def made() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    async for cloud in cloud_in_own_home():
        yield cloud


async def test_invariant_04_nothing_of_the_machine_changes_and_nothing_remains() -> None:
    before = machine()
    async for cloud, home in cloud_in_own_home():
        booted = await cloud.boot(order())
        await cloud.ensure_host(host())
        published = publication(booted, free_port())
        await cloud.publish(published)
        await agent_facts(cloud, booted)
        assert machine() == before
        processes = processes_of(cloud.holder_pid)
        assert len(processes) >= 7  # holder, two inits, agent, its haproxy, web server, relay
        await cloud.stop()
        assert not [pid for pid in processes if alive(pid)]
        assert sorted(path.name for path in home.iterdir()) == ["log"]
        with pytest.raises(ConnectionRefusedError):
            await outside((published.address, published.port))
        assert await cloud.all_instances() == await cloud.networks() == await cloud.publications() == []
        assert await cloud.host_running() == {}
    assert machine() == before


async def test_it_goes_on_when_the_control_plane_goes(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    booted = await cloud.boot(order())
    await cloud.ensure_host(host())
    published = publication(booted, free_port())
    await cloud.publish(published)
    facts, holder = await agent_facts(cloud, booted), cloud.holder_pid
    await cloud.close()
    assert "127.0.0.1" in await outside((published.address, published.port))
    again = make_cloud(home)
    await again.start()
    assert again.holder_pid == holder
    assert await again.all_instances() == [booted]
    assert await again.networks() == ["front"]
    assert await again.host_running() == {"web": True}
    assert await again.publications() == [published]
    assert await again.boot(order()) == booted
    assert await agent_facts(again, booted) == facts
    await again.close()


async def test_the_end_of_the_holder_is_the_end_of_all_and_it_is_built_again(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    cloud.heartbeat_socket().close()
    lost = asyncio.create_task(cloud.lost())
    processes, port = processes_of(cloud.holder_pid), free_port()
    await cloud.publish(publication(booted, port))
    os.kill(cloud.holder_pid, signal.SIGKILL)
    await asyncio.wait_for(lost, 60)  # true as soon as it answers no more: its processes may still be dying then

    async def all_ended() -> bool:
        return not [pid for pid in processes if alive(pid)]

    await until(all_ended)
    assert await cloud.all_instances() == await cloud.networks() == await cloud.publications() == []
    with pytest.raises(Unreachable):
        cloud.connect_socket(socket.AF_INET)
    with pytest.raises(TransientError, match="network front does not exist"):
        await cloud.boot(order())
    await cloud.ensure_network(NetworkSpec(id="front", cidr="10.1.0.0/24"))
    booted = await cloud.boot(order())
    assert (await agent_facts(cloud, booted))["starts"] == 2  # what the agent keeps on disk is there again
    await asyncio.wait_for(cloud.lost(), 60)  # the one that heartbeats came from is gone, though another one runs
    await cloud.publish(publication(booted, port))


async def test_two_that_start_it_at_once_share_it() -> None:
    async for cloud, home in cloud_in_own_home():
        await cloud.stop()
        others = [make_cloud(home) for _ in range(3)]
        await asyncio.gather(*(other.start() for other in others))
        assert len({other.holder_pid for other in others}) == 1
        for other in others:
            await other.close()


async def test_a_socket_that_was_left_over_is_no_cloud(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    await cloud.stop()
    (home / "cloud").mkdir()
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind(str(home / "cloud" / "holder.sock"))
    left_over.close()
    assert await cloud.all_instances() == []
    await cloud.start()
    assert await cloud.networks() == []


async def test_a_home_that_was_moved_gets_a_cloud_of_its_own(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    old = cloud.holder_pid
    moved = home.with_name(f"{home.name}-moved")
    home.rename(moved)
    there = make_cloud(moved)
    try:
        await there.start()
        assert there.holder_pid != old
        assert not alive(old)
    finally:
        await there.stop()
        home.mkdir()
        shutil.rmtree(moved)


async def test_what_cannot_be_is_refused_in_words(made: tuple[NetnsCloud, Path], tmp_path: Path) -> None:
    cloud, _ = made
    with pytest.raises(Refused, match=r"10\.1\.0\.0/16 overlaps 10\.1\.0\.0/24 of network front"):
        await cloud.ensure_network(NetworkSpec(id="wide", cidr="10.1.0.0/16"))
    await cloud.ensure_host(host())
    with pytest.raises(TransientError, match="still used by host web"):
        await cloud.delete_network("front")
    deep = NetnsCloud(tmp_path / ("x" * 90))
    with pytest.raises(Refused, match="shorter OCTAVIA_HOME"):
        await deep.start()


async def test_networks_reach_each_other_but_not_the_management_network(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.ensure_network(NetworkSpec(id="back", cidr="10.2.0.0/24"))
    await cloud.ensure_host(host(network_id="back", address="10.2.0.5", gateway="10.2.0.1"))
    booted = await cloud.boot(order())
    await inside(cloud, ("10.2.0.5", 80))
    await agent_facts(cloud, booted)
    await inside(cloud, ("10.1.0.10", 8081))
    look = ("ip", "netns", "exec", "host-web", "curl", "-sS", "-m")
    assert "10.2.0.5" in in_cloud(cloud, *look, "30", "http://10.1.0.10:8081/")
    refused = in_cloud(cloud, "sh", "-c", f"{' '.join(look)} 1 http://{booted.agent[0]}:9443/ 2>&1 || echo cut off")
    assert "cut off" in refused


async def test_a_network_is_deleted_and_made_again(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.delete_network("front")
    await cloud.delete_network("front")
    assert await cloud.networks() == []
    await cloud.ensure_network(NetworkSpec(id="front", cidr="10.9.0.0/24"))
    in_cloud(cloud, "ip", "link", "del", in_cloud(cloud, "sh", "-c", "ip -br link | grep ^bn | tail -1").split()[0])
    assert await cloud.networks() == []
    await cloud.ensure_network(NetworkSpec(id="front", cidr="10.9.0.0/24"))
    assert await cloud.networks() == ["front"]


async def test_bridges_that_somebody_deleted_come_back_under_what_was_on_them(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    booted = await cloud.boot(order())
    facts = await agent_facts(cloud, booted)
    for bridge in in_cloud(cloud, "sh", "-c", "ip -br link | grep ^bn").splitlines():
        in_cloud(cloud, "ip", "link", "del", bridge.split()[0])
    assert [h.alive for h in await cloud.all_instances()] == [False]
    await cloud.ensure_network(NetworkSpec(id="front", cidr="10.1.0.0/24"))
    assert await cloud.boot(order()) == booted
    assert await agent_facts(cloud, booted) == facts
    await inside(cloud, ("10.1.0.10", 8081))


async def test_heartbeats_come_in(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    with cloud.heartbeat_socket() as receiving:
        address, port = cloud.heartbeat_receiver.split(":")
        with pytest.raises(Refused, match="other control plane"):
            cloud.heartbeat_socket()
        send = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'alive', ('{address}', {port}))"
        in_cloud(cloud, "ip", "netns", "exec", "amphora-one", "python3", "-c", send)
        loop = asyncio.get_running_loop()
        data, sender = await asyncio.wait_for(loop.sock_recvfrom(receiving, 100), 60)
        assert (data, sender[0]) == (b"alive", booted.agent[0])


async def test_the_holder_lets_none_but_its_owner_in(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    for path in (home, home / "cloud"):
        path.chmod(0o755)
    (home / "cloud" / "holder.sock").chmod(0o666)
    ask = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('" + str(home / "cloud" / "holder.sock") + "');"
        "print(s.recv(4096).decode())"
    )
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3", "-c", ask, user="nobody", stdout=asyncio.subprocess.PIPE, cwd="/"
    )
    said, _ = await process.communicate()
    assert b"may not command this cloud" in said
    assert await cloud.networks() == ["front"]


def test_the_doctor_finds_this_machine_fit() -> None:
    before = machine()
    assert [check.name for check in doctor.check() if not check.ok] == []
    assert machine() == before


async def test_stop_waits_for_nothing_that_is_not_there(tmp_path: Path) -> None:
    cloud = make_cloud(tmp_path)
    await cloud.stop()
    assert await cloud.all_instances() == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208
