# SPDX-License-Identifier: Apache-2.0
"""Rules that are replaced while thousands of packets a second come by them: none is lost, whatever the rules' sets and maps hold."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from .installation import until

pytestmark = pytest.mark.netns

CHANGES, FLOOD = 60, 5_000
# In the amphora's namespace: one configuration after the other, as the agent puts them in force; so many, and until it reads "stop".
CHANGER = """
import asyncio, itertools, select, sys
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.nftables.kernel import Kernel
from octavia_amphora.nftables.ruleset import ruleset
from octavia_amphora.wire.config import Backend, Bind, Configuration, Datagrams, Frontend, Server
CHANGES, STORY = int(sys.argv[1]), sys.argv[2]
def configuration(*frontends, **backends):
    return Configuration("lb", "", {one.name: one for one in frontends}, backends)
def udp(number):
    weights = [(2, 1, 1), (1, 2, 1), (3, 1, 2)][number % 3]
    servers = {f"s{n}": Server(f"s{n}", "10.2.0.2", 5000 + n, weight) for n, weight in enumerate(weights)}
    networks = ("10.0.0.0/8", f"192.168.0.0/{16 + number % 2}")
    sticky = Datagrams("pool", persistence=60 if number % 2 else 0)
    web = Frontend("web", "", (Bind("10.1.0.2", 53),), allowed=networks, datagrams=sticky)
    return [web], {"pool": Backend("pool", "", "", servers)}
def made(number):
    if STORY == "networks of a TCP listener come and go":
        return configuration(Frontend("web", "", (Bind("10.1.0.2", 80),), allowed=("10.0.0.0/8", "172.16.0.0/12")[: number % 2 * 2]))
    frontends, backends = udp(0 if STORY != "other weights" else number)
    if STORY == "another listener without members":
        empty = Datagrams("none", persistence=60 + number)
        frontends.append(Frontend("other", "", (Bind("10.1.0.2", 54),), datagrams=empty))
    return configuration(*frontends, **backends)
async def main():
    kernel = Kernel("lb_lb", Claims())
    await kernel.apply(ruleset(made(0)))
    print("ready", flush=True)
    sys.stdin.readline()
    print("going", flush=True)
    for number in itertools.count(1):
        if number > CHANGES and select.select([sys.stdin], [], [], 0)[0]:
            break
        if STORY == "an agent that starts again":
            kernel = Kernel("lb_lb", Claims())
        await kernel.apply(ruleset(made(number)), ruleset(made(number - 1)), linger=True)
    print("done", flush=True)
asyncio.run(main())
"""
STORIES = (
    "other weights", "an agent that starts again", "another listener without members",
    "networks of a TCP listener come and go",
)  # fmt: skip
# Datagrams from many ports; or packets of TCP connections that nobody has begun. Says when they are a flood; reads "stop".
SENDER = """
import select, socket, struct, sys
print("ready", flush=True)
sys.stdin.readline()
sent = 0
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
while not select.select([sys.stdin], [], [], 0)[0]:
    if sent == int(sys.argv[3]):
        print("enough", flush=True)
    for _ in range(100):
        port = 2000 + sent % 60000
        sent += 1
        if "TCP" in sys.argv[2]:
            raw.sendto(struct.pack("!HHLLBBHHH", port, 80, 0, 0, 5 << 4, 16, 64, 0, 0), ("10.1.0.2", 0))
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("", port))
            client.sendto(b"x", ("10.1.0.2", 53))
print(sent, flush=True)
"""


class Namespaces:
    """A client, an amphora and a server: ``10.1.0.1`` – ``10.1.0.2``, ``10.2.0.1`` – ``10.2.0.2``."""

    def __init__(self, stack: ExitStack) -> None:
        self._holders = {name: self._hold(stack) for name in ("client", "amphora", "server")}
        self.join("client", "10.1.0.1/24", "amphora", "10.1.0.2/24", "one")
        self.join("amphora", "10.2.0.1/24", "server", "10.2.0.2/24", "two")
        self.run("amphora", "sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=1")

    def _hold(self, stack: ExitStack) -> str:
        holder = stack.enter_context(
            subprocess.Popen(
                ["unshare", "--net", "sh", "-c", "echo; read end"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        assert holder.stdout
        holder.stdout.readline()  # it is there
        return str(holder.pid)

    def join(self, one: str, address: str, other: str, its: str, link: str) -> None:
        there = self._holders[other]
        self.run(one, "ip", "link", "add", link, "type", "veth", "peer", "name", link, "netns", there)
        for side, own in ((one, address), (other, its)):
            self.run(side, "ip", "addr", "add", own, "dev", link)
            self.run(side, "ip", "link", "set", link, "up")

    def run(self, where: str, *command: str, text: str = "") -> str:
        return run(*self._enter(where), *command, text=text)

    def _enter(self, where: str) -> list[str]:
        return ["nsenter", "--target", self._holders[where], "--net"]

    def start(self, stack: ExitStack, where: str, program: str, story: str) -> subprocess.Popen[str]:
        command = [*self._enter(where), sys.executable, "-c", program, str(CHANGES), story, str(FLOOD)]
        started = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        )
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        return started


def tell(program: subprocess.Popen[str], word: str) -> str:
    """What it answers."""
    assert program.stdin
    assert program.stdout
    program.stdin.write(f"{word}\n")
    return program.stdout.readline().strip()


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("story", STORIES)
def test_each_packet_of_a_flood_arrives_while_rules_change(stack: ExitStack, story: str) -> None:
    namespaces = Namespaces(stack)
    where, hook, wanted = ("server", "prerouting", "udp dport 5000-5002")
    if "TCP" in story:
        where, hook, wanted = ("amphora", "input", "tcp dport 80")
    arriving = f"add table ip t; add chain ip t c {{ type filter hook {hook} priority 0; }}; add counter ip t seen; "
    arriving += f"add rule ip t c {wanted} counter name seen drop"
    namespaces.run(where, "nft", "-f", "-", text=arriving)
    changer = namespaces.start(stack, "amphora", CHANGER, story)
    sender = namespaces.start(stack, "client", SENDER, story)
    assert tell(changer, "go") == "going"
    assert tell(sender, "go") == "enough"
    assert tell(changer, "stop") == "done"
    sent = int(tell(sender, "stop"))
    assert sent > FLOOD

    def arrived() -> int:
        told = json.loads(namespaces.run(where, "nft", "-j", "list", "counter", "ip", "t", "seen"))["nftables"]
        return int(told[-1]["counter"]["packets"])

    with contextlib.suppress(AssertionError):  # said with numbers below
        until(lambda: arrived() == sent)
    assert arrived() == sent
