# SPDX-License-Identifier: Apache-2.0
"""The door on TCP: requests go on as they came, and nobody else's go on at all."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from octavia_provider.api import serve_tcp
from octavia_provider.api.loopback_proxy import check_name, create_door, loopback
from octavia_provider.model.errors import Refused
from unit.api.settling import Plane

ASK = """
import encodings.idna, os, socket, sys
if sys.argv[3:]: os.setgid(65534); os.setuid(65534)
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(b"GET /v2/lbaas/pools HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
if sys.argv[4:]: s.shutdown(socket.SHUT_WR)
print(s.recv(65536).decode())
"""


@contextlib.asynccontextmanager
async def door(path: Path, host: str = "127.0.0.1", *names: str) -> AsyncIterator[tuple[str, int]]:
    server = await serve_tcp(create_door(lambda: path, names), host, 0)
    try:
        yield server.address
    finally:
        await server.close()


async def asked(address: tuple[str, int], *how: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASK, *map(str, address), *how, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode()


async def test_requests_go_on_as_they_came(plane: Plane) -> None:
    async with door(plane.path) as (host, port), aiohttp.ClientSession(f"http://{host}:{port}") as session:
        for name in ("a", "b c"):
            body = {"network": {"name": name}}
            async with session.post("/v2/local/networks", json=body, headers={"Prefer": "wait=10"}) as made:
                assert (made.status, made.headers["Preference-Applied"]) == (201, "wait=10")
                assert made.headers["X-Octavia-Control-Plane"] == plane.store.control_plane_id
        async with session.get("/v2/local/networks?name=b%20c&limit=1") as listed:
            (network,) = (await listed.json())["networks"]
        async with session.get("/v2/local/networks?limit=1") as listed:
            (link,) = (await listed.json())["networks_links"]
        assert link["href"].startswith(f"http://{host}:{port}/v2/local/networks?"), "where the client has to go on"
        async with session.delete(f"/v2/local/networks/{network['id']}") as deleted:
            assert deleted.status == 204
        async with session.get("/nowhere") as absent:
            assert (absent.status, absent.content_type) == (404, "application/json")


@pytest.mark.parametrize(("pack", "status"), [(gzip.compress, 201), (bytes, 400)])
async def test_a_body_that_is_encoded_is_decoded_once(
    plane: Plane, pack: Callable[[bytes], bytes], status: int
) -> None:
    async with door(plane.path) as (host, port), aiohttp.ClientSession(f"http://{host}:{port}") as session:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        async with session.post(
            "/v2/local/networks", data=pack(b'{"network": {"name": "a"}}'), headers=headers
        ) as made:
            assert made.status == status, await made.text()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_only_its_user_is_answered(plane: Plane, host: str) -> None:
    async with door(plane.path, host) as address:
        assert (await asked(address)).startswith("HTTP/1.1 200")
        if os.geteuid() != 0:
            pytest.skip("needs root to become somebody else")
        refused = await asked(address, "other")
        assert refused.startswith("HTTP/1.1 403")
        assert "the caller has uid 65534" in refused
        assert not (await asked(address, "other", "half closed")).startswith("HTTP/1.1 200"), "shown as root's, maybe"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://o"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "same-origin"},
    ],
)  # fmt: skip
async def test_a_web_page_is_not_answered(plane: Plane, headers: dict[str, str]) -> None:
    async with (
        door(plane.path) as (host, port),
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"http://{host}:{port}/v2/octavia/control-plane/stop") as refused,
    ):
        assert refused.status == 403
    assert plane.stopped == []


async def said(address: tuple[str, int], head: str) -> str:
    """What is answered to these lines, in which ``PORT`` stands for the door's."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{head.replace('PORT', str(address[1]))}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:PORT", 200), ("localhost:PORT", 200), ("LocalHost:PORT", 200), ("localhost.:PORT", 200),
        ("[::1]:PORT", 200), ("localhost", 200), ("api.test", 200), ("api.test:PORT", 200), ("tunnel.test:7", 200),
        ("localhost:8", 421), ("api.test:7", 421), ("tunnel.test", 421), ("tunnel.test:PORT", 421),
        ("rebound.example:PORT", 421), ("rebound.example", 421), ("127.0.0.1.rebound.example:PORT", 421),
        ("localhost.rebound.example", 421), ("127.0.0.2:PORT", 421), ("user@localhost:PORT", 421), ("::1", 421),
        ("localhost:", 421), ("localhost, rebound.example", 421), ("", 421), ("localhost/", 421), ("[::1", 421),
        ("loc%61lhost:PORT", 421), ("ⓛocalhost", 421), ("localhost:99999999999", 421),
    ],
)  # fmt: skip
async def test_it_answers_to_its_own_names_alone(plane: Plane, host: str, status: int) -> None:
    async with door(plane.path, "127.0.0.1", "api.test", "tunnel.test:7") as address:
        answer = await said(address, f"GET /v2/lbaas/pools HTTP/1.1\r\nHost: {host}")
    found = int(answer.split()[1])
    assert found == status or (status == 421 and found == 400), answer
    if found == 421:
        assert "it answers to localhost" in answer


@pytest.mark.parametrize(
    "head",
    [
        "GET /v2/lbaas/pools HTTP/1.0",
        "GET http://rebound.example/v2/lbaas/pools HTTP/1.1\r\nHost: localhost:PORT",
        "GET http://localhost:PORT/v2/lbaas/pools HTTP/1.1\r\nHost: rebound.example",
        "GET /v2/lbaas/pools HTTP/1.1\r\nHost: localhost\r\nHost: rebound.example",
        "POST /v2/octavia/control-plane/stop HTTP/1.1\r\nHost: rebound.example:PORT\r\nContent-Length: 0",
    ],
)
async def test_other_ways_to_say_another_name(plane: Plane, head: str) -> None:
    async with door(plane.path) as address:
        assert (await said(address, head)).split()[1] in {"400", "421"}
    assert plane.stopped == []


@pytest.mark.parametrize("name", ["", "a b", "http://a", "a:b", "a:1:2", "user@a", "a/b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        check_name(name)


async def test_a_control_plane_that_ended_is_looked_for_again(plane: Plane) -> None:
    found: list[int] = []
    moved = plane.path.with_name("t")

    def find() -> Path:
        found.append(1)
        if moved.exists():
            moved.rename(plane.path)
        return plane.path

    server = await serve_tcp(create_door(find), "127.0.0.1", 0)
    host, port = server.address
    plane.path.rename(moved)
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/v2/lbaas/pools") as answer:
        assert (answer.status, len(found)) == (200, 2)
    await server.close()


@pytest.mark.parametrize(("host", "address"), [("localhost", "127.0.0.1"), ("127.3.0.1", "127.3.0.1"), ("::1", "::1")])
def test_loopback_addresses(host: str, address: str) -> None:
    assert loopback(host) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", ""])
def test_what_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(Refused):
        loopback(host)
