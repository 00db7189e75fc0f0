# SPDX-License-Identifier: Apache-2.0
"""A real agent with a real haproxy in a sandbox, spoken to through the real client."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from octavia_amphora.wire import config
from octavia_amphora.wire.config import Backend, Bind, Configuration, Frontend, Server
from octavia_amphora.wire.messages import AgentConfig, Applied, Push, VersionStamp
from octavia_provider.agents import AgentClient
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import Credential, Instance

from .sandbox import Sandbox, inner, until

HERE = Path(__file__).parent
VIP = "127.0.0.9"
LISTENER = "11111111-1111-4111-8111-111111111111"
POOL = "22222222-2222-4222-8222-222222222222"
BACKEND = f"{POOL}:{LISTENER}"
CHECK = "check inter 100 fall 2 rise 2"
KEY = b"k" * 32
BASE = """global
    maxconn 600000
defaults
    mode http
    retries 3
    option redispatch
    option idle-close-on-response
    load-server-state-from-file global
    timeout connect 1s
    timeout client 2m
    timeout server 2m
    timeout check 1s
"""


def server(port: int, *, weight: int = 1, admin: config.Admin = "ready", options: str = "") -> Server:
    """The member that listens on 127.0.0.1:port."""
    return Server(str(uuid.uuid5(uuid.NAMESPACE_OID, str(port))), "127.0.0.1", port, weight, admin, options)


def frontend(port: int = 8080, *, text: str = "", name: str = LISTENER, backend: str = BACKEND) -> Frontend:
    body = f"    mode http\n    bind {VIP}:{port}\n{text}    default_backend {backend}\n"
    return Frontend(name, body, (Bind(VIP, port),))


def configuration(
    load_balancer_id: str,
    *servers: Server,
    frontends: tuple[Frontend, ...] = (frontend(),),
    balance: str = "roundrobin",
    dynamic: bool = True,
    mode: str = "http",
) -> Configuration:
    text = f"    mode {mode}\n    balance {balance}\n"
    backend = Backend(BACKEND, POOL, text, {one.name: one for one in servers}, dynamic)
    fronts = [msgspec.structs.replace(one, text=one.text.replace("mode http", f"mode {mode}")) for one in frontends]
    return Configuration(load_balancer_id, BASE, {one.name: one for one in fronts}, {BACKEND: backend})


class Amphora:
    """An agent, its haproxy, its members; ``revision`` counts pushes."""

    def __init__(
        self, sandbox: Sandbox, directory: Path, *, receiver: str = "", finish: float = 1.0, haproxy: str = "haproxy",
        address: str = "127.0.0.1", enter: tuple[str, ...] = (), load_balancer_id: str = "",
    ) -> None:  # fmt: skip
        self.address = address
        self._enter = enter
        self.finish = finish
        self.haproxy = haproxy
        self.sandbox = sandbox
        self.directory = directory
        self.id = str(uuid.uuid4())
        self.load_balancer_id = load_balancer_id or str(uuid.uuid4())
        self._secrets: dict[str, bytes] = {}
        self.control_plane_id = str(uuid.uuid4())
        self.authority = self.authority_at(lambda: dt.datetime.now(dt.UTC))
        self.revision = 0
        self.host = Instance(amphora_id=self.id, load_balancer_id=self.load_balancer_id, agent=(address, 9443))
        self.client = AgentClient(sandbox, self.authority)  # type: ignore[arg-type]
        self._receiver = receiver
        self.run_directory = tempfile.TemporaryDirectory(prefix="oct-", ignore_cleanup_errors=True)  # short: sockets
        self._process: subprocess.Popen[bytes] | None = None
        self._members: subprocess.Popen[bytes] | None = None
        self.settle(self.authority.issue_amphora(self.id, address))

    def authority_at(self, clock: Callable[[], dt.datetime]) -> CertificateAuthority:
        """The authority, with another clock than the machine's."""

        def secret(name: str, make: Callable[[], bytes]) -> bytes:
            return self._secrets.setdefault(name, self._secrets.get(name) or make())

        return CertificateAuthority.load(secret, self.control_plane_id, clock=clock)

    def settle(self, mine: Credential, *, key: str = "cert") -> None:
        """Write the files of the agent; ``key``: the file of its key."""
        (self.directory / "ca").write_bytes(mine.authority)
        (self.directory / key).write_bytes(mine.key)
        with (self.directory / "cert").open("ab" if key == "cert" else "wb") as file:
            file.write(mine.certificate)
        settings = AgentConfig(
            amphora_id=self.id,
            listen_address=self.address,
            listen_port=9443,
            certificate=str(self.directory / "cert"),
            key=str(self.directory / key),
            authority=str(self.directory / "ca"),
            controller=self.authority.controller_name,
            heartbeat_key=KEY.hex(),
            receivers=(self._receiver,) if self._receiver else (),
            heartbeat_interval=0.5,
            finish=self.finish,
            haproxy=self.haproxy,
            state_directory=str(self.directory / "state"),
            run_directory=self.run_directory.name,
        )
        (self.directory / "agent.json").write_bytes(msgspec.json.encode(settings))

    # ── Processes ────────────────────────────────────────────────────────────────────────────────────────────────────
    async def start(self) -> None:
        log = (self.directory / "agent.log").open("ab")
        command = (sys.executable, "-m", "octavia_amphora.main", "--config", str(self.directory / "agent.json"))
        self._process = self.sandbox.run(*self._enter, *command, stdout=log, stderr=log)
        log.close()
        await self.client.ready(self.host, 60.0)

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self._process
        os.kill(inner(self._process), number)
        self._process.wait(30)

    def agent_pid(self) -> int:
        assert self._process
        return inner(self._process)

    def members(self, *ports: int) -> None:
        command = (sys.executable, str(HERE / "members.py"), *map(str, ports))
        self._members = self.sandbox.run(*self._enter, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._members.stdout
        assert self._members.stdout.readline() == b"ready\n"

    def tell_members(self, words: str) -> None:
        assert self._members
        assert self._members.stdin
        assert self._members.stdout
        self._members.stdin.write(f"{words}\n".encode())
        self._members.stdin.flush()
        assert self._members.stdout.readline() == b"done\n"

    def running(self) -> list[str]:
        """What is in the directory of what runs."""
        return sorted(path.name for path in Path(self.run_directory.name).iterdir())

    def log(self) -> str:
        return (self.directory / "agent.log").read_text()

    async def close(self) -> None:
        await self.client.close()
        self.run_directory.cleanup()

    # ── What the control plane says ──────────────────────────────────────────────────────────────────────────────────
    def stamp(self, new: Configuration, *, revision: int | None = None) -> VersionStamp:
        if revision is None:
            self.revision += 1
        number = self.revision if revision is None else revision
        return VersionStamp(epoch=0, fence=1, revision=number, generation=number, digest=config.digest(new))

    async def push(self, new: Configuration, *, revision: int | None = None) -> Applied:
        return await self.client.push(
            self.host, self.load_balancer_id, Push(self.stamp(new, revision=revision), full=new)
        )

    async def push_delta(self, old: Configuration, new: Configuration) -> Applied:
        push = Push(self.stamp(new), delta=config.difference(old, new))
        return await self.client.push(self.host, self.load_balancer_id, push)

    def configuration(self, *servers: Server, **options: object) -> Configuration:
        return configuration(self.load_balancer_id, *servers, **options)  # type: ignore[arg-type]

    async def state_of(self, one: Server) -> str:
        """What the agent says of it, once it knows: it does not where haproxy was not asked, or did not answer in time."""

        async def known() -> str | None:
            states = await self.client.states(self.host, self.load_balancer_id)
            assert states
            state = states.servers[BACKEND][one.name]
            return None if state == "unknown" else state

        state = await until(known)
        assert state
        return state

    # ── What a client of the balancer sees ───────────────────────────────────────────────────────────────────────────
    async def connect(self, port: int = 8080, address: str = VIP) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opened = self.sandbox.socket()
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, (address, port))
        return await asyncio.open_connection(sock=opened)

    async def get(self, path: str = "/", port: int = 8080, address: str = VIP, cookie: str = "") -> tuple[int, str]:
        """Status and body of one request on a connection of its own."""
        reader, writer = await self.connect(port, address)
        try:
            more = f"Cookie: {cookie}\r\n" if cookie else ""
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n{more}Connection: close\r\n\r\n".encode())
            answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        finally:
            writer.close()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body

    async def hold(self) -> tuple[int, Callable[[], Awaitable[str]]]:
        """A request whose answer stops half-way: the member's port, and a way to wait for all of the body."""
        reader, writer = await self.connect()
        writer.write(b"GET /hold HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()

        async def rest() -> str:
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()

        return int(head.partition("x-member: ")[2].split()[0]), rest

    async def bodies(self, count: int) -> list[str]:
        found = []
        for _ in range(count):
            status, body = await self.get()
            assert status == 200, body
            found.append(body)
        return found


async def serving(sandbox: Sandbox, directory: Path, **settings: float) -> AsyncIterator[Amphora]:
    """An agent that has nothing in force yet, and three members."""
    made = Amphora(sandbox, directory, **settings)  # type: ignore[arg-type]
    made.members(8001, 8002, 8003)
    await made.start()
    yield made
    await made.close()


class Load:
    """Requests, one after the other, until ``stop``; ``failed`` has what was not a 200."""

    def __init__(self, amphora: Amphora) -> None:
        self._amphora = amphora
        self._task = asyncio.ensure_future(self._run())
        self._stopping = False
        self.bodies: list[str] = []
        self.failed: list[str] = []

    async def _run(self) -> None:
        while not self._stopping:
            try:
                status, body = await self._amphora.get()
            except (OSError, IndexError, TimeoutError) as error:
                self.failed.append(repr(error))
                continue
            self.bodies.append(body)
            if status != 200:
                self.failed.append(f"{status} {body}")

    async def stop(self) -> None:
        self._stopping = True
        await self._task
        assert self.bodies
        assert self.failed == []
