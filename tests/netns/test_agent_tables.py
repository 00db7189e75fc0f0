# SPDX-License-Identifier: Apache-2.0
"""Session persistence by stick tables outlives a reload: a client stays at its member."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest

from octavia_amphora.haproxy import runtime, stick_tables
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.wire.config import Configuration, Server

from .agents import BACKEND, VIP, Amphora, frontend, server
from .sandbox import until

pytestmark = pytest.mark.netns

A, B, C = (server(port) for port in (8001, 8002, 8003))
SOURCE_IP = "    stick-table type ipv6 size 10k\n    stick on src\n"
APP_COOKIE = (
    "    stick-table type string len 64 size 10k\n"
    '    stick store-response "res.cook(\\"SID\\")"\n    stick match "req.cook(\\"SID\\")"\n'
)
CLIENTS = [f"127.0.1.{n}" for n in range(1, 25)]


def sticky(amphora: Amphora, persistence: str, *servers: Server, number: int = 0) -> Configuration:
    """``number`` stands in a line that only a reload can change."""
    text = f"    http-response set-header X-Number {number}\n"
    plain = amphora.configuration(*servers, frontends=(frontend(text=text),))
    backend = plain.backends[BACKEND]
    return msgspec.structs.replace(
        plain, backends={BACKEND: msgspec.structs.replace(backend, text=backend.text + persistence)}
    )


async def ask(amphora: Amphora, *, source: str = "127.0.0.1", path: str = "/", cookie: str = "") -> str:
    """The member that answers a client of this address."""
    opened = amphora.sandbox.socket()
    opened.setblocking(False)
    opened.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(opened, (VIP, 8080))
    reader, writer = await asyncio.open_connection(sock=opened)
    header = f"Cookie: SID={cookie}\r\n" if cookie else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n{header}Connection: close\r\n\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(), 10)).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 200"), answer
    return answer.rpartition("\r\n\r\n")[2]


async def seats(amphora: Amphora) -> dict[str, str]:
    return {client: await ask(amphora, source=client) for client in CLIENTS}


def paths(amphora: Amphora) -> Paths:
    return Paths.for_load_balancer(
        str(amphora.directory / "state"), amphora.run_directory.name, amphora.load_balancer_id
    )


async def test_source_ip__clients_stay_over_reloads__over_agents__and_when_numbers_change(amphora: Amphora) -> None:
    await amphora.push(sticky(amphora, SOURCE_IP, A, B, C))
    first = await seats(amphora)
    assert set(Counter(first.values()).values()) == {8}
    assert (await amphora.push(sticky(amphora, SOURCE_IP, A, B, C, number=1))).outcome == "reload"
    assert await seats(amphora) == first
    amphora.kill()
    await amphora.start()
    assert await seats(amphora) == first
    # A is gone and the others' numbers are new ones: its clients move, nobody else does.
    assert (await amphora.push(sticky(amphora, SOURCE_IP, C, B, number=2))).outcome == "reload"
    then = await seats(amphora)
    assert {client: seat for client, seat in then.items() if first[client] != "8001"} == {
        client: seat for client, seat in first.items() if seat != "8001"
    }
    assert (await amphora.push(sticky(amphora, SOURCE_IP, C, B, number=3))).outcome == "reload"
    assert await seats(amphora) == then
    assert not paths(amphora).tables.exists()


async def test_an_agent_killed_in_the_middle_of_a_reload__the_next_one_puts_the_entries_back(amphora: Amphora) -> None:
    new = sticky(amphora, SOURCE_IP, A, B, C)
    await amphora.push(new)
    first, where = await seats(amphora), paths(amphora)
    amphora.kill()
    await stick_tables.save(where, new)
    await runtime.execute(where.stats_socket, f"clear table {BACKEND}")
    assert "used:0" in await runtime.execute(where.stats_socket, f"show table {BACKEND}")
    await amphora.start()
    await until(lambda: asyncio.to_thread(lambda: not where.tables.exists()))
    assert await seats(amphora) == first


async def test_app_cookie__whatever_is_in_the_cookie(amphora: Amphora) -> None:
    values = ["plain", "a'b\"q", "x\\y=z", "a|b$c`d&&<<", "k\\\\", "<<", "@#!%20", "L" * 64]
    await amphora.push(sticky(amphora, APP_COOKIE, A, B, C))
    given = {value: await ask(amphora, path=f"/login?{value.encode().hex()}") for value in values}
    for number in (1, 2):
        assert (await amphora.push(sticky(amphora, APP_COOKIE, A, B, C, number=number))).outcome == "reload"
        assert {value: await ask(amphora, cookie=value) for value in values} == given
    assert {await amphora.state_of(one) for one in (A, B, C)} == {"no_check"}


async def test_ten_thousand_entries__and_another_kind_of_table_begins_empty(amphora: Amphora) -> None:
    await amphora.push(sticky(amphora, SOURCE_IP, A, B))
    stats = paths(amphora).stats_socket
    many = [f"set table {BACKEND} key fd00::{n:x} data.server_id 2" for n in range(10_000)]
    await runtime.execute_all(stats, many)
    assert (await amphora.push(sticky(amphora, SOURCE_IP, A, B, number=1))).outcome == "reload"
    shown = await runtime.execute(stats, f"show table {BACKEND}")
    assert "used:10000" in shown
    assert shown.count("server_id=2 ") == 10_000
    assert (await amphora.push(sticky(amphora, APP_COOKIE, A, B))).outcome == "reload"
    assert "type: string" in (shown := await runtime.execute(stats, f"show table {BACKEND}"))
    assert "used:0" in shown
