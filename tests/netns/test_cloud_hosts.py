# SPDX-License-Identifier: Apache-2.0
"""Hosts of the embedded cloud: commands as their users, forwarders to the machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.holder.users import FIRST
from octavia_provider.model.errors import Refused

from .clouds import cloud_in_own_home, host, in_cloud, inside, outer, processes_of, program, uid
from .sandbox import until

pytestmark = pytest.mark.netns

TELL = """import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.getuid()} {os.getcwd()} {os.environ.get('GREETING')} {sorted(os.environ)} {os.getpid()}".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
print("hello", file=open("/dev/stdout", "w"), flush=True)
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""
WEB = ("10.1.0.50", 80)


@pytest_asyncio.fixture
async def made() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    async for cloud in cloud_in_own_home():
        yield cloud


async def says(home: Path, word: str) -> bool:
    """Whether the host's log has it."""
    log = home / "log" / "host-web.log"
    return log.exists() and word in log.read_text()


@pytest.mark.covers("local_host.command", "local_host.environment", "local_host.user")
async def test_a_command_serves_as_nobody(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    await cloud.ensure_host(host(command=("python3", "-c", TELL), environment={"GREETING": "hi"}))
    user, folder, greeting, *names = (await inside(cloud, WEB)).split(" ")
    assert (user, folder, greeting) == ("65534", "/", "hi")
    allowed = {"GREETING", "HOME", "LANG", "LC_CTYPE", "PATH", "USER"}
    assert {name.strip("[]',") for name in names[:-1]} <= allowed
    await until(lambda: says(home, "hello"))  # by way of the first process, which may come to it late
    assert await cloud.host_running() == {"web": True}


async def test_it_is_started_again_when_it_ends(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    await cloud.ensure_host(host(command=("python3", "-c", TELL)))
    pid = int((await inside(cloud, WEB)).split()[-1])
    os.kill(outer(cloud, "host-web", pid), signal.SIGKILL)

    async def another() -> bool:
        return int((await inside(cloud, WEB)).split()[-1]) != pid

    await until(another)
    assert "was ended by signal 9" in (home / "log" / "host-web.log").read_text()


async def test_one_that_always_ends_does_not_run(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    await cloud.ensure_host(host(command=("false",)))

    async def stopped() -> bool:
        return not (await cloud.host_running())["web"]

    await until(stopped)
    assert "ended with status 1" in (home / "log" / "host-web.log").read_text()


@pytest.mark.covers("local_host.environment", "local_host.user")
async def test_a_changed_spec_starts_it_anew_in_the_same_place(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.ensure_host(host(command=("python3", "-c", TELL)))
    first = await inside(cloud, WEB)
    await cloud.ensure_host(host(command=("python3", "-c", TELL)))
    assert await inside(cloud, WEB) == first
    init = outer(cloud, "host-web", 1)
    await cloud.ensure_host(host(command=("python3", "-c", TELL), environment={"GREETING": "anew"}, user="root"))
    assert (await inside(cloud, WEB)).startswith("0 / anew")
    assert outer(cloud, "host-web", 1) == init


async def test_what_cannot_be_executed_is_named(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    with pytest.raises(Refused, match="cannot run '/no/such': No such file"):
        await cloud.ensure_host(host(command=("/no/such", "thing")))
    with pytest.raises(Refused, match="cannot run '/etc/passwd': Permission denied"):
        await cloud.ensure_host(host(command=("/etc/passwd",)))
    with pytest.raises(Refused, match="no user 'nemo'"):
        await cloud.ensure_host(host(user="nemo"))
    assert await cloud.host_running() == {}
    assert processes_of(cloud.holder_pid) == [cloud.holder_pid]


async def test_a_deleted_host_is_seen_and_built_again(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.ensure_host(host())
    await inside(cloud, WEB)
    in_cloud(cloud, "ip", "netns", "del", "host-web")
    assert await cloud.host_running() == {"web": False}
    await cloud.ensure_host(host())
    await inside(cloud, WEB)
    await cloud.delete_host("web")
    await cloud.delete_host("web")
    assert await cloud.host_running() == {}
    assert processes_of(cloud.holder_pid) == [cloud.holder_pid]


async def test_a_frozen_host_is_no_host_that_runs_and_is_built_again(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made
    await cloud.ensure_host(host())
    os.kill(outer(cloud, "host-web", 1), signal.SIGSTOP)
    assert await cloud.host_running() == {"web": False}
    await cloud.ensure_host(host())
    assert await cloud.host_running() == {"web": True}
    await inside(cloud, WEB)


@pytest.mark.covers("local_host.forward_port")
async def test_it_forwards_to_the_machine(made: tuple[NetnsCloud, Path]) -> None:
    cloud, _ = made

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\nfrom outside it")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await cloud.ensure_host(host(command=(), forward_port=port))
    assert await inside(cloud, ("10.1.0.50", port)) == "from outside it"
    assert await cloud.host_running() == {"web": True}
    forwarder = next(p for p in processes_of(cloud.holder_pid) if program(p) == "haproxy")
    assert uid(forwarder) >= FIRST  # a user that nobody else is
    await cloud.ensure_host(host())  # from forwarding to a command, in place
    await inside(cloud, WEB)
    server.close()
    await server.wait_closed()
