# SPDX-License-Identifier: Apache-2.0
"""The real agent and the real haproxy: crashes, roll back, counters, servers that leave, heartbeats."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from octavia_amphora.apply.disk import Disk, PushRecord
from octavia_amphora.wire import config
from octavia_amphora.wire.config import Configuration, Server
from octavia_amphora.wire.heartbeat import Assembler, Heartbeat, states
from octavia_amphora.wire.messages import AgentOptions
from octavia_provider.model.errors import TransientError
from octavia_provider.ports import AgentRefused

from .agents import BACKEND, CHECK, KEY, LISTENER, Amphora, Load, frontend, server
from .processes import session
from .sandbox import Sandbox, until

pytestmark = pytest.mark.netns

A, B, C = (server(port, options=CHECK) for port in (8001, 8002, 8003))
RECEIVER = ("127.0.0.8", 5555)


@pytest_asyncio.fixture
async def amphora(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Amphora]:
    made = Amphora(walls, tmp_path, receiver=f"{RECEIVER[0]}:{RECEIVER[1]}")
    made.members(8001, 8002, 8003)
    await made.start()
    yield made
    await made.close()


async def workers(amphora: Amphora) -> tuple[int, ...]:
    """Of the haproxy that serves; empty while none does."""
    standing = await amphora.client.standing(amphora.host, amphora.load_balancer_id)
    return standing.workers if standing and standing.serving else ()


async def in_force(amphora: Amphora, new: Configuration) -> bool:
    standing = await amphora.client.standing(amphora.host, amphora.load_balancer_id)
    return bool(standing and standing.serving and standing.stamp.digest == config.digest(new))


async def test_haproxy_outlives_its_agent_and_is_found_again(amphora: Amphora) -> None:
    new = amphora.configuration(A, B)
    before = (await amphora.push(new)).workers
    load = Load(amphora)
    amphora.kill()
    await amphora.start()
    await until(lambda: in_force(amphora, new))
    assert await workers(amphora) == before
    assert (await amphora.push_delta(new, amphora.configuration(A, B, C))).outcome == "runtime"
    amphora.kill(signal.SIGTERM)
    await load.stop()


async def test_a_push_that_a_crash_cut_off_is_finished(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A, B))
    amphora.kill()
    # As if it had been killed after it wrote down what it was told.
    new = amphora.configuration(A)
    (directory,) = (amphora.directory / "state").glob("*-*")
    Disk(directory).save_newest(PushRecord(amphora.stamp(new), new))
    await amphora.start()
    await until(lambda: in_force(amphora, new))
    assert set(await amphora.bodies(4)) == {"8001"}


async def test_a_push_that_was_cut_off_after_its_reload_is_not_taken_for_a_conflict(amphora: Amphora) -> None:
    old, new = amphora.configuration(A), amphora.configuration(A, frontends=(frontend(), frontend(8081, name="other")))
    await amphora.push(old)
    serving = (await amphora.push(new)).workers
    amphora.kill()
    (directory,) = (amphora.directory / "state").glob("*-*")
    disk = Disk(directory)
    newest = disk.newest()
    assert newest
    for options, outcome in (("", serving), ("weight 5", None)):
        disk.save_newest(PushRecord(amphora.stamp(old), old))
        disk.accept_newest()
        disk.save_newest(newest)
        if options:
            haproxy_says(amphora, f"set server {BACKEND}/{A.name} {options}")
        await amphora.start()
        await until(lambda: in_force(amphora, new))
        assert (await workers(amphora) == outcome) is (outcome is not None)
        assert (await amphora.get(port=8081))[0] == 200
        amphora.kill()


async def test_a_push_of_other_checks_that_was_cut_off_is_finished(amphora: Amphora) -> None:
    """haproxy does not tell a server's options: they are not taken for in force."""
    first = (await amphora.push(amphora.configuration(A))).workers
    amphora.kill()
    new = amphora.configuration(msgspec.structs.replace(A, options="check inter 50"))
    (directory,) = (amphora.directory / "state").glob("*-*")
    Disk(directory).save_newest(PushRecord(amphora.stamp(new), new))
    await amphora.start()
    await until(lambda: in_force(amphora, new))
    assert await workers(amphora) != first


async def test_a_haproxy_that_is_not_as_on_disk_is_put_right(amphora: Amphora) -> None:
    new = amphora.configuration(A, B)
    await amphora.push(new)
    amphora.kill()
    haproxy_says(amphora, f"set server {BACKEND}/{B.name} weight 7")
    await amphora.start()
    await until(lambda: in_force(amphora, new))
    assert Counter(await amphora.bodies(10)) == {"8001": 5, "8002": 5}


async def test_agents_killed_at_any_moment(amphora: Amphora) -> None:
    """Whatever was under way: the next agent brings it about, one haproxy serves, no request fails."""
    rng = random.Random(os.environ.get("PYTEST_SEED", "amphora"))
    await amphora.push(amphora.configuration(A))
    load = Load(amphora)
    for number in range(6):
        text = f"    http-response set-header X-Number {number}\n" if number % 2 else ""
        new = amphora.configuration(*rng.sample((A, B, C), 2), frontends=(frontend(text=text),))
        push = asyncio.ensure_future(amphora.push(new))
        await asyncio.sleep(rng.uniform(0, 0.12))  # the moment of death is what is random here
        amphora.kill()
        await asyncio.gather(push, return_exceptions=True)
        await amphora.start()
        await amphora.push(new, revision=amphora.revision)
        servers = new.backends[BACKEND].servers
        # Which one answers us is up to the load beside us; nobody else may.
        assert set(await amphora.bodies(4)) <= {str(one.port) for one in servers.values()}
        assert [await amphora.state_of(one) for one in servers.values()] == ["up", "up"]
    await load.stop()
    await until(lambda: asyncio.to_thread(lambda: len(masters(amphora)) == 1))


def masters(amphora: Amphora) -> list[int]:
    """Sessions led by a haproxy with this agent's files."""
    return [pid for pid in haproxies(amphora) if session(pid) == pid]


def haproxies(amphora: Amphora) -> list[int]:
    """All with this agent's files."""
    wanted = amphora.run_directory.name.encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"-S" in words and any(wanted in word for word in words):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


async def test_a_haproxy_that_dies_is_started_again(amphora: Amphora) -> None:
    new = amphora.configuration(A, B)
    await amphora.push(new)
    (master,) = masters(amphora)
    os.kill(master, signal.SIGKILL)
    await until(lambda: asyncio.to_thread(lambda: masters(amphora) not in ([master], [])))
    await until(lambda: in_force(amphora, new))
    assert Counter(await amphora.bodies(10)) == {"8001": 5, "8002": 5}


async def test_invariant_05_a_reload_that_does_not_come_up_is_rolled_back(amphora: Amphora) -> None:
    await amphora.push(amphora.configuration(A, B))
    # A bind that the agent is not told of, on a member's port: -c and the trial pass, the reload fails.
    hidden = frontend(text="    bind 127.0.0.1:8003\n")
    with pytest.raises(AgentRefused) as caught:
        await amphora.push(amphora.configuration(A, B, frontends=(hidden,)))
    assert caught.value.refusal.kind == "failed"
    assert "127.0.0.1:8003" in caught.value.refusal.message
    assert "former configuration is in force" in caught.value.refusal.message
    assert Counter(await amphora.bodies(10)) == {"8001": 5, "8002": 5}
    text = "    http-response set-header X-Good 1\n"
    assert (await amphora.push(amphora.configuration(A, B, frontends=(frontend(text=text),)))).outcome == "reload"


async def test_no_connection_is_lost_from_the_counters_over_reloads(amphora: Amphora) -> None:
    """Whichever worker accepted it, and when ever that one ends."""

    async def counted() -> tuple[int, int]:
        found = await amphora.client.states(amphora.host, amphora.load_balancer_id)
        assert found
        counters = found.listeners[LISTENER].counters
        return counters.total_connections, counters.active_connections

    await amphora.push(amphora.configuration(A))
    first, rest = await amphora.hold()
    loads = [Load(amphora) for _ in range(4)]
    for number in range(4):
        text = f"    http-response set-header X-Reload {number}\n"
        assert (await amphora.push(amphora.configuration(A, frontends=(frontend(text=text),)))).outcome == "reload"
    await asyncio.gather(*(load.stop() for load in loads))
    expected = 1 + sum(len(load.bodies) for load in loads)
    await until(lambda: is_counted(counted, (expected, 1)))
    assert (await amphora.get("/release", port=first, address="127.0.0.1"))[0] == 200
    assert await rest() == str(first) * 2
    await until(lambda: is_counted(counted, (expected, 0)))
    await until(lambda: asyncio.to_thread(lambda: len(haproxies(amphora)) == 2))  # a master and a worker
    assert await counted() == (expected, 0)


async def is_counted(counted: Callable[[], Awaitable[tuple[int, int]]], expected: tuple[int, int]) -> bool:
    return await counted() == expected


async def test_counters_go_on_over_reloads_and_restarts(amphora: Amphora) -> None:
    async def counted() -> tuple[int, int]:
        found = await amphora.client.states(amphora.host, amphora.load_balancer_id)
        assert found
        counters = found.listeners[LISTENER].counters
        return counters.total_connections, counters.bytes_out

    async def all_counted(connections: int) -> tuple[int, int] | None:
        """While it looks, or follows an old worker, the agent answers with what it saw before."""
        found = await counted()
        return found if found[0] == connections else None

    await amphora.push(amphora.configuration(A))
    await amphora.bodies(7)
    await until(lambda: all_counted(7))
    text = "    http-response set-header X-Reload 1\n"
    await amphora.push(amphora.configuration(A, frontends=(frontend(text=text),)))
    await amphora.bodies(5)
    _, out = await until(lambda: all_counted(12))
    amphora.kill(signal.SIGTERM)
    await amphora.start()
    await until(lambda: in_force(amphora, amphora.configuration(A, frontends=(frontend(text=text),))))
    _, out_now = await until(lambda: all_counted(12))
    assert out_now >= out
    (master,) = masters(amphora)
    os.kill(master, signal.SIGKILL)
    await until(lambda: asyncio.to_thread(lambda: masters(amphora) not in ([master], [])))
    await until(lambda: workers(amphora))
    await until(lambda: all_counted(12))


@pytest.mark.parametrize("killed", [False, True], ids=["agent lives", "agent is killed meanwhile"])
async def test_a_removed_server_with_a_live_connection_leaves_later(amphora: Amphora, killed: bool) -> None:
    old = amphora.configuration(A, B)
    await amphora.push(old)
    port, rest = await amphora.hold()
    held, other = (A, B) if port == A.port else (B, A)
    assert (await amphora.push_delta(old, amphora.configuration(other))).outcome == "runtime"
    assert set(await amphora.bodies(6)) == {str(other.port)}
    assert held.name in servers_known(amphora)
    if killed:
        amphora.kill()
        await amphora.start()
    assert (await amphora.get("/release", port=held.port, address="127.0.0.1"))[0] == 200
    assert await rest() == str(held.port) * 2
    await until(lambda: asyncio.to_thread(lambda: held.name not in servers_known(amphora)))


@pytest.mark.parametrize("killed", [False, True], ids=["agent lives", "agent is killed meanwhile"])
async def test_a_server_that_comes_back_while_it_has_idle_connections_costs_no_reload(
    amphora: Amphora, killed: bool
) -> None:
    old, without = amphora.configuration(A, B), amphora.configuration(A)
    workers = (await amphora.push(old)).workers
    for _ in range(3):
        load = Load(amphora)
        await until(lambda: asyncio.sleep(0, len(set(load.bodies)) == 2))  # noqa: B023
        await amphora.push_delta(old, without)
        if killed:
            amphora.kill()
            await amphora.start()
        assert (await amphora.push_delta(without, old)).outcome == "runtime"
        await load.stop()
    assert (await amphora.push(amphora.configuration(A, B))).workers == workers


def servers_known(amphora: Amphora) -> str:
    return haproxy_says(amphora, "show servers state")


def haproxy_says(amphora: Amphora, command: str) -> str:
    path = next(Path(amphora.run_directory.name).glob("*/stats.sock"))
    with socket.socket(socket.AF_UNIX) as cli:
        cli.connect(str(path))
        cli.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: cli.recv(65536), b"")).decode()


class Ear:
    """Hears heartbeats inside the sandbox."""

    def __init__(self, amphora: Amphora) -> None:
        self._socket = amphora.sandbox.socket(kind=socket.SOCK_DGRAM)
        self._socket.bind(RECEIVER)
        self._socket.setblocking(False)
        self._assembler = Assembler()

    async def next(self, since: float = 0.0) -> Heartbeat:
        """The next one that was sent since then: others may wait to be heard."""
        while True:
            datagram = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
            beat = self._assembler.feed(datagram, lambda _: KEY)
            assert not self._assembler.rejected
            if beat and beat.time >= since:
                return beat

    def close(self) -> None:
        self._socket.close()


async def test_heartbeats_tell_of_a_dead_member_before_the_next_is_due(amphora: Amphora) -> None:
    new = amphora.configuration(A, B)
    ear = Ear(amphora)
    first = await ear.next()
    assert first.balancers == ()
    told_before = (await amphora.push(new)).heartbeat
    assert (first.boot, first.sequence) <= told_before

    async def told(state_of_b: str) -> Heartbeat:
        while True:
            beat = await ear.next()
            found = states(beat.balancers[0], new, config.digest(new)) if beat.balancers else None
            if found and found.servers[BACKEND][B.name] == state_of_b:
                return beat

    up = await told("up")
    assert (up.amphora_id, up.balancers[0].generation, up.balancers[0].serving) == (amphora.id, 1, True)
    amphora.tell_members("stop 8002")
    down = await told("down")
    amphora.tell_members("start 8002")
    back = await told("up")
    amphora.kill()
    await amphora.start()
    again = await told("up")
    assert up.sequence < down.sequence < back.sequence
    assert again.boot > back.boot
    assert told_before < (up.boot, up.sequence)
    await amphora.client.configure(amphora.host, AgentOptions(heartbeat_interval=0.06))
    last = await ear.next()
    while (one := await ear.next()).time - last.time > 0.3:  # the interval it was started with is 0.5 s
        last = one
    ear.close()


async def test_checked_servers_are_looked_at_once_a_heartbeat_and_when_haproxy_tells_of_them(amphora: Amphora) -> None:
    """Nobody polls: haproxy counts connections to its own socket (and its checks, so these are rare): one a heartbeat."""

    def conversations() -> int:
        return int(haproxy_says(amphora, "show info").partition("CumConns: ")[2].split()[0])

    ear = Ear(amphora)
    rarely = [server(port, options="check inter 1h") for port in (8001, 8002)]
    await amphora.push(amphora.configuration(*rarely))
    beats = [await ear.next() for _ in range(3)]  # what the push itself asked for is over
    beats, before = [await ear.next(time.time())], conversations()
    beats += [await ear.next() for _ in range(6)]
    asked = conversations() - before - 1
    sent = (await ear.next(time.time())).sequence - beats[0].sequence - 1  # those that came meanwhile, too
    assert asked <= sent + 1, f"{asked} conversations in {sent} heartbeats"
    ear.close()


async def test_requests_to_an_agent_that_is_gone_are_unreachable(amphora: Amphora) -> None:
    amphora.kill()
    with pytest.raises(TransientError, match=amphora.id):
        await amphora.client.info(amphora.host)
    with pytest.raises(TransientError, match="did not come up"):
        await amphora.client.ready(amphora.host, 0.2)


async def test_a_reload_takes_tls_and_the_place_of_checks_from_the_new_file(amphora: Amphora) -> None:
    """haproxy would take both from the states of the old worker (srv_use_ssl, srv_check_addr, srv_check_port)."""
    await amphora.push(amphora.configuration(A))
    await until(lambda: is_in(amphora, A, "up"))
    for options, expected in (
        (f"{CHECK} ssl verify none", "down"),  # the member speaks no TLS
        (CHECK, "up"),
        (f"{CHECK} addr 127.0.0.99 port 8999", "down"),  # nobody is there
        (f"{CHECK} addr [::ffff:127.0.0.1] port 8002", "up"),
        (f"{CHECK} port 8999", "down"),
        (CHECK, "up"),
    ):
        await amphora.push(amphora.configuration(msgspec.structs.replace(A, options=options)))
        await until(lambda expected=expected: is_in(amphora, A, expected))


async def is_in(amphora: Amphora, one: Server, wanted: str) -> bool:
    return await amphora.state_of(one) == wanted
