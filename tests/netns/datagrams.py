# SPDX-License-Identifier: Apache-2.0
"""UDP for tests: members that answer with their names, clients that say who answered."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.kit import paths

from .installation import Installation, until

# Answers with its name and the address that it was asked from.
SERVER = """
import os, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 5000))
while True:
    data, client = server.recvfrom(2048)
    if data:
        server.sendto(f"{os.environ['NAME']} {client[0]}".encode(), client)
"""

# Each question on a port of its own, from each source in turn; an answer's first word, "refused" or "silence".
CLIENT = """
import json, socket, subprocess, sys
target, port, count, sources = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].split(",")
timeout, first = float(sys.argv[5]), int(sys.argv[6])
answers = []
for source in sources:
    if source:
        subprocess.run(["ip", "addr", "replace", f"{source}/32", "dev", "lo"], check=True)
for number in range(count):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(timeout)
    client.bind((sources[number % len(sources)], first + number))
    client.connect((target, port))
    try:
        client.send(b"?")
        answers.append(client.recv(2048).decode())
    except ConnectionRefusedError:
        answers.append("refused")
    except TimeoutError:
        answers.append("silence")
    client.close()
print(json.dumps(answers))
"""

# One flow for ever: asks, prints who answered ("silence" after two seconds: a busy machine takes its time), asks again.
FLOW = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(2)
client.connect((sys.argv[1], int(sys.argv[2])))
while True:
    try:
        client.send(b"?")
        print(client.recv(2048).decode().split()[0], flush=True)
    except ConnectionRefusedError:
        print("refused", flush=True)
    except TimeoutError:
        print("silence", flush=True)
    if not sys.stdin.readline():
        break
"""

# So many datagrams a second, each from a port of its own (none of those that the kernel gives to others), until it reads "stop".
# Then it tells how many they were, how many had no answer, and which: number, what became of it, seconds since the start.
LOAD = """
import collections, select, socket, sys, time
target, rate, sent, waiting, lost = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3]), 0, collections.deque(), []
start = time.monotonic()
def answered(timeout):
    number, client = waiting[0]
    client.settimeout(timeout)
    try:
        client.recv(2048)
    except BlockingIOError:
        return False
    except OSError as error:
        lost.append(f"{number}:{type(error).__name__}:{number / rate:.3f}")
    waiting.popleft()
    client.close()
    return True
while not select.select([sys.stdin], [], [], 0)[0]:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("", 10000 + sent % 20000))
    client.connect(target)
    client.send(b"?")
    waiting.append((sent, client))
    sent += 1
    if sent == 100:
        print("going", flush=True)
    while waiting and answered(0.0):
        pass
    time.sleep(max(0.0, start + sent / rate - time.monotonic()))
while waiting:
    answered(10.0 if not lost else 0.01)
print(sent, len(lost), *lost, flush=True)
"""


@dataclass
class UdpStack:
    """A load balancer with a UDP listener on port 53, a pool and members ``u1``…"""

    site: Installation
    network: dict[str, Any] = field(default_factory=dict)
    load_balancer: dict[str, Any] = field(default_factory=dict)
    listener: dict[str, Any] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)
    hosts: list[dict[str, Any]] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    _asked: int = 0

    @property
    def vip(self) -> str:
        return str(self.load_balancer["vip_address"])

    def source(self, number: int) -> str:
        """An address of the fabric on the members' network: a client of its own."""
        return f"{self.vip.rpartition('.')[0]}.{200 + number}"

    def ask(
        self, count: int = 1, *, sources: tuple[str, ...] = ("",), port: int = 53, timeout: float = 10.0
    ) -> list[str]:
        # No source port comes twice: one that did would belong to a flow that has its member already.
        first, self._asked = 1024 + self._asked, self._asked + count
        done = self.site.inside(
            "python3", "-c", CLIENT, self.vip, str(port), str(count), ",".join(sources), str(timeout), str(first)
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    def shares(self, count: int, **how: Any) -> Counter[str]:
        return Counter(answer.split()[0] for answer in self.ask(count, **how))

    def shares_in_order(self, sources: tuple[str, ...]) -> list[str]:
        """Who answers each of these clients."""
        return [answer.split()[0] for answer in self.ask(len(sources), sources=sources)]

    def start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        """A client in the fabric, spoken to line by line."""
        enter = ["nsenter", "--target", str(self.site.holder), "--net", "--pid", "--mount"]
        command = [*enter, "python3", "-c", program, self.vip, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def in_amphora(self, *command: str) -> str:
        """Run a command in the amphora's network namespace."""
        listed = self.site.inside("ip", "netns", "list").stdout.split()
        name = next(word for word in listed if word.startswith("amphora-"))
        done = self.site.inside("ip", "netns", "exec", name, *command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def statistics(self) -> dict[str, int]:
        """What the API tells of the listener's traffic."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(str(paths.api_socket(self.site.home)))
        try:
            connection.request("GET", f"/v2/lbaas/listeners/{self.listener['id']}/stats")
            return dict(json.loads(connection.getresponse().read())["stats"])
        finally:
            connection.close()

    def member(self, name: str) -> dict[str, Any]:
        return next(m for m in self.members if m["name"] == name)

    def update_member(self, name: str, **values: Any) -> dict[str, Any]:
        return self.site.update("member", self.member(name)["id"], parent=self.pool["id"], **values)

    def status(self, name: str) -> str:
        return str(self.site.get("member", self.member(name)["id"], parent=self.pool["id"])["operating_status"])

    def serve(self, name: str, *, command: str = SERVER) -> None:
        """A host's program is this from now on."""
        host = next(h for h in self.hosts if h["name"] == name)
        self.site.update("local_host", host["id"], command=["python3", "-c", command])


def make_udp_stack(
    site: Installation, *, members: int = 3, monitor: dict[str, Any] | None = None, **pool: Any
) -> UdpStack:
    stack = UdpStack(site)
    stack.network = site.create("local_network", name="net")
    stack.load_balancer = site.create("load_balancer", name="lb", vip_network_id=stack.network["id"])
    stack.listener = site.create(
        "listener", name="dns", loadbalancer_id=stack.load_balancer["id"], protocol="UDP", protocol_port=53
    )
    stack.pool = site.create(
        "pool", name="pool", listener_id=stack.listener["id"],
        **{"protocol": "UDP", "lb_algorithm": "ROUND_ROBIN", **pool},
    )  # fmt: skip
    if monitor is not None:
        site.create("health_monitor", pool_id=stack.pool["id"], **monitor)
    for number in range(1, members + 1):
        host = site.create(
            "local_host", name=f"u{number}", network_id=stack.network["id"], command=["python3", "-c", SERVER],
            environment={"NAME": f"u{number}"},
        )  # fmt: skip
        stack.hosts.append(host)
    for host in stack.hosts:
        member = site.create(
            "member", parent=stack.pool["id"], name=host["name"], address=host["address"], protocol_port=5000
        )
        assert member["provisioning_status"] == "ACTIVE", member
        stack.members.append(member)
    names = {str(host["name"]) for host in stack.hosts}
    sources = tuple(stack.source(number) for number in range(20))
    until(lambda: set(stack.shares(20, sources=sources, timeout=0.2)) == names, what="every member to answer")
    return stack


def asked_once(address: str, port: int) -> str:
    """What a client of this machine hears; ``silence`` where nothing comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)
        client.connect((address, port))
        try:
            client.send(b"?")
            return client.recv(2048).decode()
        except TimeoutError:
            return "silence"
