# SPDX-License-Identifier: Apache-2.0
"""Listeners of the embedded cloud on this machine's loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.holder.users import FIRST
from octavia_provider.model.errors import Refused

from .clouds import (
    agent_facts,
    cloud_in_own_home,
    free_port,
    get,
    order,
    outside,
    processes_of,
    program,
    publication,
    uid,
)
from .sandbox import until

pytestmark = pytest.mark.netns


@pytest_asyncio.fixture
async def cloud() -> AsyncIterator[NetnsCloud]:
    async for made, _ in cloud_in_own_home():
        yield made


def relays(cloud: NetnsCloud) -> list[int]:
    """Children of the holder that are haproxy; those of amphorae are further down."""
    holder = cloud.holder_pid
    children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
    return [int(pid) for pid in children if program(int(pid)) == "haproxy"]


async def test_it_passes_the_clients_address(cloud: NetnsCloud) -> None:
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    published = publication(booted, free_port())
    await cloud.publish(published)
    client = socket.socket()
    client.bind(("127.0.0.77", 0))
    assert await asyncio.to_thread(get, client, (published.address, published.port)) == "127.0.0.77 amphora-one"
    first = relays(cloud)
    await cloud.publish(published)
    assert relays(cloud) == first
    assert await cloud.publications() == [published]
    assert uid(first[0]) >= FIRST
    await cloud.withdraw(published.listener_id)
    await cloud.withdraw(published.listener_id)
    assert await cloud.publications() == relays(cloud) == []
    with pytest.raises(ConnectionRefusedError):
        await outside((published.address, published.port))
    await cloud.publish(published)  # the port is free again at once
    assert "amphora-one" in await outside((published.address, published.port))


async def test_no_connection_is_refused_while_the_relay_is_replaced_or_dies(cloud: NetnsCloud) -> None:
    one, two = await cloud.boot(order("one", "10.1.0.10")), await cloud.boot(order("two", "10.1.0.11"))
    await agent_facts(cloud, one)
    await agent_facts(cloud, two)
    port = free_port()
    await cloud.publish(publication(one, port))
    answers: list[str] = []
    done = asyncio.Event()

    async def load() -> None:
        while not done.is_set():
            answers.append((await outside(("127.0.0.1", port))).split()[1])

    async def answered(number: int) -> bool:
        return len(answers) >= number

    clients = [asyncio.create_task(load()) for _ in range(4)]
    for turn in range(6):
        await cloud.publish(publication((two, one)[turn % 2], port))
        await until(partial(answered, len(answers) + 20))
    assert not [client for client in clients if client.done()]  # nothing has failed in any way
    os.kill(relays(cloud)[-1], signal.SIGKILL)  # connections that it holds end; new ones wait for its successor
    done.set()
    results = await asyncio.gather(*clients, return_exceptions=True)
    assert not [r for r in results if isinstance(r, ConnectionRefusedError)]
    assert {"amphora-one", "amphora-two"} == set(answers)
    assert (await outside(("127.0.0.1", port))).endswith("amphora-one")


async def test_a_relay_that_is_stopped_is_replaced(cloud: NetnsCloud) -> None:
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    published = publication(booted, free_port())
    await cloud.publish(published)
    (stopped,) = relays(cloud)
    os.kill(stopped, signal.SIGSTOP)
    async with asyncio.timeout(20):
        assert "amphora-one" in await outside((published.address, published.port))
    assert stopped not in relays(cloud)


async def test_a_taken_port_is_named_with_who_has_it(cloud: NetnsCloud) -> None:
    booted = await cloud.boot(order())
    port = free_port()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Refused) as caught:
        await cloud.publish(publication(booted, port))
    assert f"127.0.0.1:{port} is in use on this machine" in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert await cloud.publications() == []
    await cloud.publish(publication(booted, port, "first"))
    with pytest.raises(Refused, match="in use on this machine by listener first"):
        await cloud.publish(dataclasses.replace(publication(booted, port, "second"), load_balancer_id="another"))
    nowhere = dataclasses.replace(publication(booted, port), address="203.0.113.1")
    with pytest.raises(Refused, match=r"cannot listen at 203\.0\.113\.1"):
        await cloud.publish(nowhere)


async def test_listeners_of_one_balancer_change_places_and_the_relays_stay(cloud: NetnsCloud) -> None:
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    one, two = free_port(), free_port()
    await cloud.publish(publication(booted, one, "a"))
    await cloud.publish(publication(booted, two, "b"))
    before = relays(cloud)
    await cloud.publish(publication(booted, two, "a"))
    await cloud.publish(publication(booted, one, "b"))
    assert relays(cloud) == before
    assert {p.listener_id: p.port for p in await cloud.publications()} == {"a": two, "b": one}
    await cloud.publish(publication(booted, two, "new"))  # one that had no place takes over the other's
    assert {p.listener_id: p.port for p in await cloud.publications()} == {"new": two, "b": one}
    await cloud.withdraw("b")
    assert "amphora-one" in await outside(("127.0.0.1", two))
    await cloud.withdraw("new")
    assert await cloud.publications() == relays(cloud) == []


async def test_it_moves_to_another_port(cloud: NetnsCloud) -> None:
    booted = await cloud.boot(order())
    await agent_facts(cloud, booted)
    old, new = free_port(), free_port()
    await cloud.publish(publication(booted, old))
    await cloud.publish(publication(booted, new))
    assert "amphora-one" in await outside(("127.0.0.1", new))
    with pytest.raises(ConnectionRefusedError):
        await outside(("127.0.0.1", old))
    assert len(relays(cloud)) == 1
    assert processes_of(cloud.holder_pid)
