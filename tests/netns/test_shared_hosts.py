# SPDX-License-Identifier: Apache-2.0
"""Load balancers that share two amphorae, with real agents: each is a pair of its own, and none feels what befalls another one.

The routers of all have the same number, which is the worst that can happen.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_provider.ports import AgentRefused

from .clouds import get, in_cloud, inside
from .processes import agents_among
from .sandbox import until
from .shared_hosts import Balancer, Hosts

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]


@pytest_asyncio.fixture
async def hosts() -> AsyncIterator[Hosts]:
    with tempfile.TemporaryDirectory(prefix="oct-") as folder:  # short: sockets
        made = Hosts(Path(folder))
        try:
            await made.start("one", "two", seats=8)
            yield made
        finally:
            await made.close()


ASK = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
    opened.settimeout(10)
    opened.sendto(b"?", (sys.argv[1], 80))
    print(opened.recv(2048).decode())
"""


class Kept:
    """A connection that is kept; ``ask`` fails where it does not go on."""

    def __init__(self, hosts: Hosts, balancer: Balancer) -> None:
        self._connection = http.client.HTTPConnection(balancer.vip, 80)
        self._connection.sock = hosts.cloud.connect_socket()
        self._connection.sock.settimeout(10)
        self._connection.sock.connect((balancer.vip, 80))

    def ask(self) -> str:
        self._connection.request("GET", "/")
        return self._connection.getresponse().read().decode()

    def close(self) -> None:
        self._connection.close()


@contextlib.asynccontextmanager
async def asking(hosts: Hosts, *balancers: Balancer) -> AsyncIterator[list[str]]:
    """Ask these without a pause meanwhile; what failed."""
    failed: list[str] = []
    ended = asyncio.Event()

    async def ask(balancer: Balancer) -> None:
        while not ended.is_set():
            try:
                await asyncio.to_thread(get, hosts.cloud.connect_socket(), (balancer.vip, 80))
            except (OSError, http.client.HTTPException) as error:
                failed.append(f"{balancer.number}: {error!r}")

    tasks = [asyncio.ensure_future(ask(one)) for one in balancers]
    try:
        yield failed
    finally:
        ended.set()
        await asyncio.gather(*tasks)


def answer(hosts: Hosts, balancer: Balancer) -> str:
    """What its UDP listener answers: the address that the member sees."""
    return in_cloud(hosts.cloud, "python3", "-c", ASK, balancer.vip).strip()


async def moved(hosts: Hosts, balancer: Balancer, owner: str) -> None:
    async def has_it() -> bool:
        return hosts.owners()[balancer.vip] == {owner}

    assert await until(has_it, seconds=30)
    await inside(hosts.cloud, (balancer.vip, 80))


async def test_load_balancers_side_by_side__none_feels_what_befalls_another_one(hosts: Hosts) -> None:
    hurt, full, well = [await hosts.add(limit=limit) for limit in (-1, 1, -1)]
    first, second = "one", "two"
    for balancer, owner in ((hurt, first), (full, second), (well, first)):  # both amphorae work
        for preferred in (owner, None):
            balancer.preferred = preferred
            await hosts.push(balancer)
            await moved(hosts, balancer, owner)
    for one in hosts.balancers:
        owner = await hosts.owner(one)
        assert await inside(hosts.cloud, (one.vip, 80)) == one.seats[owner].own[0].address
    kept = Kept(hosts, full)
    assert kept.ask()  # from now on it takes no other connection
    async with asking(hosts, well) as failed:
        with pytest.raises(AgentRefused):
            await hosts.push(hurt, change={"base": "global\n    no-such-word\n"})
        await inside(hosts.cloud, (hurt.vip, 80))
        hosts.signal(hurt, first, signal.SIGKILL)
        await moved(hosts, hurt, hosts.other(first))
        hosts.signal(hurt, hosts.other(first), signal.SIGSTOP)
        await moved(hosts, hurt, first)
        await hosts.remove(hurt)
    assert failed == []
    assert kept.ask()
    kept.close()
    hosts.balancers.remove(hurt)
    assert [await hosts.owner(one) for one in (full, well)] == [second, first]


async def test_handovers_and_agents_that_die__connections_of_all_go_on(hosts: Hosts) -> None:
    both = [await hosts.add(udp=udp) for udp in (False, True)]
    owners = [await hosts.owner(balancer) for balancer in both]
    kept = [Kept(hosts, balancer) for balancer in both]
    sources = [one.seats[owner].own[0].address for one, owner in zip(both, owners, strict=True)]
    assert [connection.ask() for connection in kept] == sources
    assert await asyncio.to_thread(answer, hosts, both[1]) == sources[1]
    async with asking(hosts, *both) as failed:
        for balancer in (*both, *both):
            balancer.preferred = hosts.other(await hosts.owner(balancer))
            await hosts.push(balancer)
            await moved(hosts, balancer, balancer.preferred)
            assert [await asyncio.to_thread(connection.ask) for connection in kept] == sources
        for name in hosts.hosts:
            programs = hosts.programs(name)
            (agent,) = agents_among(hosts.processes(name))
            os.kill(agent, signal.SIGKILL)
            await hosts.agents.ready(hosts.hosts[name], 30)
            assert [(await hosts.status(balancer, name)).serving for balancer in both] == [True, True]
            assert hosts.programs(name) == programs
        assert [await hosts.owner(balancer) for balancer in both] == owners
    assert failed == []
    for connection in kept:
        assert connection.ask()
        connection.close()
