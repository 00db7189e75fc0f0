# SPDX-License-Identifier: Apache-2.0
"""Two real agents with haproxy and keepalived, each in a network namespace of its own on one bridge, as one pair.

A client on the bridge asks the VIPs, which are of both families.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from octavia_amphora.wire.config import Backend, Bind, Configuration, Frontend, Server
from octavia_amphora.wire.vrrp import VrrpState
from octavia_provider.render.keepalived import Address, Instance, vrrp

from .agents import BACKEND, BASE, LISTENER, POOL, Amphora
from .sandbox import Sandbox, until

VIP4, VIP6 = "10.9.0.99", "fd09::99"
ROUTER_ID = 51
ADVERT_INTERVAL = 0.2


class PairAmphora(Amphora):
    """One of a pair; ``number`` 1 is the one that has the greater priority."""

    def __init__(self, sandbox: Sandbox, directory: Path, number: int, load_balancer_id: str) -> None:
        directory.mkdir()
        self.number = number
        self.name = f"a{number}"
        self.priority = {1: 240, 2: 230}.get(number, 220)
        self.preempt = False
        enter = ("nsenter", f"--net=/run/netns/{self.name}")
        super().__init__(sandbox, directory, address=f"10.9.0.{number}", enter=enter, load_balancer_id=load_balancer_id)
        self.own = [Address(address=address, network_id="n") for address in (self.address, f"fd09::{number}")]

    def here(self, *command: str, check: bool = True) -> str:
        """Run it in the amphora's network."""
        enter = ["nsenter", "--target", str(self.sandbox.init), "--net", "--mount", "--pid", *self._enter]
        return subprocess.run([*enter, *command], check=check, capture_output=True, text=True).stdout

    @property
    def run_folder(self) -> Path:
        return Path(self.run_directory.name) / self.load_balancer_id

    @property
    def stats(self) -> Path:
        return self.run_folder / "stats.sock"

    def owned(self) -> set[str]:
        """The VIPs that the network is told of here."""
        text = self.here("ip", "-br", "address", "show", "dev", "eth1", check=False)
        return {vip for vip in (VIP4, VIP6) if f" {vip}/" in text}

    async def state(self) -> VrrpState:
        standing = await self.client.standing(self.host, self.load_balancer_id)
        return standing.vrrp if standing else ""

    def addresses(self, verb: str, these: Sequence[str]) -> None:
        """``add``, ``del`` or ``replace`` addresses, as the cloud does."""
        for one in these:
            nodad = ["nodad"] if ":" in one and verb != "del" else []
            self.here("ip", "address", verb, *one.split(), *nodad, check=verb != "del")

    def pids(self, name: str) -> list[int]:
        """Of its keepalived (parent and child) or haproxy, as the machine numbers them; the oldest first."""
        mine = (str(self.run_folder), str(self.directory / "state"))
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_text()
                if (path / "comm").read_text().strip() == name and any(one in words for one in mine):
                    found.append(int(path.name))
        return sorted(found)

    def signal(self, program: str, number: signal.Signals, which: slice = slice(None)) -> None:
        """Those of its processes that are there still: some end with others."""
        for pid in self.pids(program)[which]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class Pair:
    """Two amphorae and the configuration that both have."""

    def __init__(self, sandbox: Sandbox, directory: Path, numbers: tuple[int, ...] = (1, 2)) -> None:
        self.sandbox = sandbox
        self.load_balancer_id = str(uuid.uuid4())
        self._network(numbers)
        self.amphorae = [PairAmphora(sandbox, directory / f"a{n}", n, self.load_balancer_id) for n in numbers]
        self.servers: tuple[Server, ...] = ()
        self.backend_text = "    mode http\n    balance roundrobin\n"

    def inside(self, *command: str, text: str = "") -> str:
        """Run it on the bridge."""
        enter = ["nsenter", "--target", str(self.sandbox.init), "--net", "--mount", "--pid"]
        return subprocess.run([*enter, *command], input=text, check=True, capture_output=True, text=True).stdout

    def _network(self, numbers: tuple[int, ...]) -> None:
        self.inside("sh", "-ec", "mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns")
        self.inside("ip", "-batch", "-", text="\n".join([
            "link add br0 type bridge", "link set br0 up", "addr add 10.9.0.254/24 dev br0", "addr add fd09::fe/64 dev br0 nodad",
            *(line for n in numbers for line in (
                f"netns add a{n}", f"link add p{n} type veth peer name eth1 netns a{n}", f"link set p{n} master br0 up",
            )),
        ]))  # fmt: skip
        for n in numbers:
            self.inside("ip", "-n", f"a{n}", "-batch", "-", text="\n".join([
                "link set lo up", "link set eth1 up", f"addr add 10.9.0.{n}/24 dev eth1", f"addr add fd09::{n}/64 dev eth1 nodad",
                f"addr add {VIP4}/32 dev lo", f"addr add {VIP6}/128 dev lo nodad preferred_lft 0",
            ]))  # fmt: skip
            sysctls = ("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
            self.inside("nsenter", f"--net=/run/netns/a{n}", "sysctl", "-qw", *sysctls)

    def configuration(self, one: PairAmphora, *servers: Server, peers: bool = True) -> Configuration:
        """What that amphora is pushed."""
        section = "\npeers octavia-peers\n" + "".join(f"    peer {a.id} {a.address}:1025\n" for a in self.amphorae)
        body = f"    mode http\n    bind {VIP4}:8080\n    bind [{VIP6}]:8080\n    default_backend {BACKEND}\n"
        front = Frontend(LISTENER, body, (Bind(VIP4, 8080), Bind(VIP6, 8080)))
        backend = Backend(BACKEND, POOL, self.backend_text, {s.name: s for s in servers})
        instance = Instance(
            load_balancer_id=self.load_balancer_id, router_id=ROUTER_ID, priority=one.priority, preempt=one.preempt,
            own=one.own, peers=[address for other in self.amphorae if other is not one for address in other.own],
            vips=[Address(address=vip, network_id="n") for vip in (VIP4, VIP6)], advert_interval=ADVERT_INTERVAL,
        )  # fmt: skip
        base = BASE + (section if peers else "")
        return Configuration(self.load_balancer_id, base, {LISTENER: front}, {BACKEND: backend}, vrrp=vrrp(instance))

    async def push(self, *servers: Server) -> None:
        self.servers = servers
        await asyncio.gather(*(self.push_to(one) for one in self.amphorae))

    async def push_to(self, one: PairAmphora) -> None:
        await one.push(self.configuration(one, *self.servers))

    async def start(self, *servers: Server) -> None:
        """Both serve, and one owns the VIPs."""
        for one in self.amphorae:
            one.members(*(s.port for s in servers))
        await asyncio.gather(*(one.start() for one in self.amphorae))
        await self.push(*servers)
        await self.settled()

    async def settled(self) -> PairAmphora:
        """The one owner, once there is one alone that has all VIPs and all are served by it."""

        async def owner() -> PairAmphora | None:
            owned = {one: one.owned() for one in self.amphorae}
            owners = [one for one, vips in owned.items() if vips == {VIP4, VIP6}]
            others = [one for one, vips in owned.items() if vips and one not in owners]
            if len(owners) != 1 or others or await owners[0].state() != "MASTER":
                return None
            return owners[0]

        found = await until(owner, seconds=30)
        assert found
        return found

    def other(self, one: PairAmphora) -> PairAmphora:
        return next(a for a in self.amphorae if a is not one)

    async def ask(self, vip: str = VIP4, path: str = "/", *, close: bool = True) -> str:
        """The body of one answer; OSError where there is none."""
        family = socket.AF_INET6 if ":" in vip else socket.AF_INET
        opened = self.sandbox.socket(family)
        opened.setblocking(False)
        async with asyncio.timeout(20):
            await asyncio.get_running_loop().sock_connect(opened, (vip, 8080))
            reader, writer = await asyncio.open_connection(sock=opened)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            answer = (await reader.read()).decode()
            writer.close()
        head, _, body = answer.partition("\r\n\r\n")
        assert head.split()[1:2] == ["200"], answer
        return body

    async def connect(self, vip: str) -> Connection:
        """A connection that is kept."""
        opened = self.sandbox.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET)
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, (vip, 8080))
        return Connection(*await asyncio.open_connection(sock=opened))

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[list[str]]:
        """Meanwhile both VIPs are asked, by a new connection each time; what failed."""
        failed: list[str] = []
        asked, stop = Counter[str](), asyncio.Event()

        async def ask(vip: str) -> None:
            while not stop.is_set():
                try:
                    await self.ask(vip)
                    asked[vip] += 1
                except (OSError, AssertionError) as error:
                    failed.append(f"{vip}: {error!r}")

        asking = [asyncio.ensure_future(ask(vip)) for vip in (VIP4, VIP6)]
        try:
            yield failed
        finally:
            stop.set()
            await asyncio.gather(*asking)
        assert asked[VIP4]
        assert asked[VIP6]

    async def hand_over(self) -> PairAmphora:
        """The other one takes the VIPs because it is told to; it, once it alone has them."""
        owner = await self.settled()
        other = self.other(owner)
        priority, other.priority, other.preempt = other.priority, 254, True
        await self.push_to(other)
        assert await until(lambda: _is_alone(owner, other))
        other.priority, other.preempt = priority, False
        await self.push_to(other)
        assert await self.settled() is other
        return other

    async def answers(self) -> None:
        """Both VIPs answer, as soon as they do."""
        for vip in (VIP4, VIP6):

            async def once(vip: str = vip) -> bool:
                with contextlib.suppress(OSError, AssertionError):
                    return bool(await self.ask(vip))
                return False

            assert await until(once)


async def _is_alone(owner: PairAmphora, other: PairAmphora) -> bool:
    return other.owned() == {VIP4, VIP6} and not owner.owned()


class Connection:
    """A connection of a client's, for many requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, path: str = "/") -> str:
        await self.send(path)
        return await self.receive()

    async def send(self, path: str) -> None:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        await self._writer.drain()

    async def receive(self) -> str:
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.split()[1] == "200", head
            return (await self._reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))).decode()

    def close(self) -> None:
        self._writer.close()


async def pair_of(sandbox: Sandbox, directory: Path, *servers: Server) -> AsyncIterator[Pair]:
    """For a fixture: a pair that serves."""
    made = Pair(sandbox, directory)
    await made.start(*servers)
    yield made
    for one in made.amphorae:
        await one.close()


__all__ = ["Pair", "PairAmphora", "pair_of"]
