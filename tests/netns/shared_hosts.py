# SPDX-License-Identifier: Apache-2.0
"""Two amphorae of the embedded cloud with real agents, and load balancers that share them, each a pair: what a group is made of.

The tests are the control plane: they give seats and push what is rendered. A member answers with the address that it was asked from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from builders import resource
from octavia_amphora.wire import config
from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import Applied, LoadBalancerStatus, Push, VersionStamp
from octavia_provider.agents import AgentClient
from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.specs import HostSpec, NetworkSpec
from octavia_provider.controller import amphorae as boot_files
from octavia_provider.controller import pairs
from octavia_provider.model.graph import Graph
from octavia_provider.pki import CertificateAuthority
from octavia_provider.ports import Amphora, AmphoraSpec, Instance, SeatSpec, Vip
from octavia_provider.render.haproxy import Placement, render

from .clouds import in_cloud, processes_of, program
from .processes import command
from .sandbox import until

NETWORK = NetworkSpec(id="front", cidr="10.1.0.0/16")
MEMBER = "10.1.0.50"
ANSWERS = """
import http.server, socket, threading
def datagrams():
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("", 80))
    while True:
        _, address = opened.recvfrom(2048)
        opened.sendto(address[0].encode(), address)
threading.Thread(target=datagrams, daemon=True).start()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
Server(("", 80), Handler).serve_forever()
"""
ROUTER = 77


def ids() -> Iterator[str]:
    """Of load balancers whose VRRP routers have all the same number: they may meet on an amphora."""
    numbers = (str(uuid.UUID(int=number, version=4)) for number in range(1 << 30))
    return (one for one in numbers if pairs.router_id(one) == ROUTER)


@dataclass
class Balancer:
    """A load balancer with a seat on each host: ``seats`` by host."""

    number: int
    id: str
    limit: int = -1
    udp: bool = False
    seats: dict[str, Amphora] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    preferred: str | None = None
    revision: int = 0

    def address(self, kind: int) -> str:
        return f"10.1.{kind}.{self.number + 1}"

    @property
    def vip(self) -> str:
        return self.address(1)

    def shared(self) -> Vip:
        return Vip(address=self.vip, network_id="front", prefix=16, gateway="10.1.0.1", shared=True)

    def graph(self) -> Graph:
        found = Graph(resource("load_balancer", self.id, vip_address=self.vip))
        web = {"connection_limit": self.limit, "timeout_client_data": 300_000}  # who is kept is silent meanwhile
        for one in (
            resource("listener", f"web-{self.id}", loadbalancer_id=self.id, **web),
            resource("pool", f"pool-{self.id}", listener_id=f"web-{self.id}"),
            resource("member", f"member-{self.id}", pool_id=f"pool-{self.id}", address=MEMBER, protocol_port=80),
        ):
            found.add(one)
        for one in self._udp() if self.udp else ():
            found.add(one)
        return found

    def _udp(self) -> Iterator[Any]:
        listener, pool = f"dns-{self.id}", f"dns-pool-{self.id}"
        yield resource("listener", listener, loadbalancer_id=self.id, protocol="UDP")
        yield resource("pool", pool, listener_id=listener, protocol="UDP")
        yield resource("member", f"dns-member-{self.id}", pool_id=pool, address=MEMBER, protocol_port=80)

    def configuration(self, host: str) -> Configuration:
        me, seat = self.seats[host], self.instances[host]
        placement = Placement(
            vips=(self.vip,), proxy_address=seat.proxy_address, health_address=seat.health_address,
            peers=pairs.peers(self.seats.values(), [self.vip]), sources=tuple(vip.address for vip in me.own),
        )  # fmt: skip
        vrrp = pairs.vrrp(
            me, self.seats.values(), [self.shared()], preferred=self.preferred == host, advert_interval=0.2
        )
        return msgspec.structs.replace(render(self.graph(), placement).configuration, vrrp=vrrp)


class Hosts:
    """The cloud, its hosts and their load balancers."""

    def __init__(self, home: Path) -> None:
        secrets: dict[str, bytes] = {}

        def secret(name: str, make: Any) -> bytes:
            return secrets.setdefault(name, secrets.get(name) or make())

        self.home = home
        self.cloud = NetnsCloud(home)
        self.authority = CertificateAuthority.load(secret, str(uuid.uuid4()))
        self.agents = AgentClient(self.cloud, self.authority)
        self.hosts: dict[str, Instance] = {}
        self.balancers: list[Balancer] = []
        self._ids = ids()

    async def start(self, *names: str, seats: int) -> None:
        await self.cloud.start()
        await self.cloud.ensure_network(NETWORK)
        await self.cloud.ensure_host(HostSpec(
            id="member", network_id="front", address=MEMBER, prefix=16, gateway="10.1.0.1", command=("python3", "-c", ANSWERS),
        ))  # fmt: skip
        for name in names:
            amphora = Amphora(id=name, load_balancer_id="group", heartbeat_key=b"k" * 32)
            files = partial(
                boot_files.files,
                amphora,
                self.authority,
                lambda: (self.cloud.heartbeat_receiver,),
                issued=lambda _: None,
            )
            order = AmphoraSpec(id=name, load_balancer_id="group", vips=(), files=files, seats=seats)
            self.hosts[name] = await self.cloud.boot(order)
        await asyncio.gather(*(self.agents.ready(one, 30) for one in self.hosts.values()))

    async def close(self) -> None:
        await self.agents.close()
        await self.cloud.stop()

    async def add(self, *, limit: int = -1, udp: bool = False) -> Balancer:
        """One more load balancer, with a seat on each host, the first of them in turn."""
        made = Balancer(len(self.balancers), next(self._ids), limit, udp)
        self.balancers.append(made)
        names = list(self.hosts) if made.number % 2 == 0 else list(reversed(self.hosts))
        for role, name in zip(("MASTER", "BACKUP"), names, strict=True):
            own = made.address(2 + list(self.hosts).index(name))
            vip = replace(made.shared(), address=own, served=False, shared=False)
            seat = Amphora(id=f"{name}-{made.number}", load_balancer_id=made.id, role=role, own=(vip,))
            made.seats[name] = seat
            spec = SeatSpec(id=seat.id, host_id=name, load_balancer_id=made.id, vips=(vip, made.shared()))
            made.instances[name] = await self.cloud.attach(spec, keep=False)
        await self.push(made)
        return made

    async def push(self, balancer: Balancer, *, change: Mapping[str, Any] | None = None) -> list[Applied]:
        """To all of its seats; ``change``: what else than what is rendered."""
        balancer.revision += 1
        return await asyncio.gather(*(self._push(balancer, name, change or {}) for name in balancer.seats))

    async def _push(self, balancer: Balancer, name: str, change: Mapping[str, Any]) -> Applied:
        new = msgspec.structs.replace(balancer.configuration(name), **change)
        return await self.agents.push(self.hosts[name], balancer.id, Push(self._stamp(balancer, new), new))

    def _stamp(self, balancer: Balancer, new: Configuration | None) -> VersionStamp:
        digest = config.digest(new) if new else ""
        return VersionStamp(epoch=0, fence=1, revision=balancer.revision, generation=balancer.revision, digest=digest)

    async def remove(self, balancer: Balancer) -> None:
        balancer.revision += 1
        for name in balancer.seats:
            await self.agents.remove(self.hosts[name], balancer.id, self._stamp(balancer, None))
            await self.cloud.detach(name, balancer.id)

    async def status(self, balancer: Balancer, host: str) -> LoadBalancerStatus:
        found = await self.agents.standing(self.hosts[host], balancer.id)
        assert found
        return found

    def owners(self) -> dict[str, set[str]]:
        """Shared address → the hosts that tell the network of it."""
        found: dict[str, set[str]] = {balancer.vip: set() for balancer in self.balancers}
        for name in self.hosts:
            text = in_cloud(self.cloud, "ip", "-n", f"amphora-{name}", "-br", "address", "show", "dev", "eth1")
            for word in text.split():
                if word.partition("/")[0] in found:
                    found[word.partition("/")[0]].add(name)
        return found

    async def owner(self, balancer: Balancer) -> str:
        """The one that has the address, once there is one alone that says so."""

        async def one() -> str | None:
            owners = self.owners()[balancer.vip]
            if len(owners) != 1 or (await self.status(balancer, next(iter(owners)))).vrrp != "MASTER":
                return None
            return next(iter(owners))

        found = await until(one, seconds=30)
        assert found
        return found

    def other(self, host: str) -> str:
        return next(name for name in self.hosts if name != host)

    def first_process(self, host: str) -> int:
        """The one with which all of the amphora ends."""
        return next(pid for pid in processes_of(self.cloud.holder_pid) if program(pid) == f"amphora-{host}")

    def processes(self, host: str, name: str = "") -> list[int]:
        """All of an amphora, or those of a program, as the machine numbers them."""
        return [pid for pid in processes_of(self.first_process(host)) if name in (program(pid), "")]

    def programs(self, host: str) -> list[int]:
        """What goes on when an agent ends."""
        return sorted((*self.processes(host, "haproxy"), *self.processes(host, "keepalived")))

    def haproxy(self, balancer: Balancer, host: str) -> list[int]:
        """Its master and its worker."""
        return [pid for pid in self.processes(host, "haproxy") if any(balancer.id in word for word in command(pid))]

    def signal(self, balancer: Balancer, host: str, number: signal.Signals) -> None:
        """To all of its haproxy's processes; some end with others."""
        for pid in self.haproxy(balancer, host):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
