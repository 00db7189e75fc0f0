# SPDX-License-Identifier: Apache-2.0
"""From a POST to the first answered request: of a new load balancer, and of one more member; the boot of an amphora."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import time
from collections.abc import Iterator
from typing import Any

from netns.clouds import cloud_in_own_home, order
from netns.installation import Installation

from .rows import Row, at_most, median
from .site import balancer, host, remove, site
from .topics import Say

RUNS = 5
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["NAME"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
"""
PATIENCE = 30.0


def answer(url: str, path: str = "/") -> str:
    """The body of one answered request on a connection of its own; empty when it was not answered well."""
    address, port = url.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(address, int(port), timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", path, headers={"Connection": "close"})
        found = connection.getresponse()
        return found.read().decode() if found.status == 200 else ""
    return ""


def until_answered(url: str, by: str) -> None:
    """Ask without pause until this member answers."""
    deadline = time.monotonic() + PATIENCE
    while answer(url) != by:
        assert time.monotonic() < deadline, f"{by} does not answer at {url}"


def of_a_balancer(made: Installation) -> float:
    """Seconds from the POST of a load balancer to the first request answered through its published URL.

    The host of its member is there and runs; the network, too. Balancer, listener, pool and member are made one after
    the other, each waiting until it is in force, as a program's dependencies have it.
    """
    network = made.create("local_network", name="net")
    server = host(made, network, "m1", SERVER)
    began = time.monotonic()
    found = {"local_network": network}
    found["load_balancer"] = made.create("load_balancer", name="lb", vip_network_id=network["id"])
    listener = made.create(
        "listener", name="web", loadbalancer_id=found["load_balancer"]["id"], protocol="HTTP", protocol_port=80
    )
    pool = made.create("pool", name="p", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    _member(made, pool, server)
    until_answered(listener["url"], "m1")
    taken = time.monotonic() - began
    remove(made, found, [server])
    return taken


def of_members(made: Installation) -> Iterator[float]:
    """Milliseconds from the POST of one more member to the first request that it answers, for each of five members."""
    monitor: dict[str, Any] = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1}
    found = balancer(made, **monitor)
    servers = [host(made, found["local_network"], f"m{n}", SERVER) for n in range(RUNS + 1)]
    _member(made, found["pool"], servers[0])
    until_answered(found["listener"]["url"], "m0")
    for server in servers[1:]:
        began = time.monotonic()
        _member(made, found["pool"], server)
        until_answered(found["listener"]["url"], server["name"])
        yield (time.monotonic() - began) * 1000
    remove(made, found, servers)


def _member(made: Installation, pool: dict[str, Any], server: dict[str, Any]) -> None:
    made.create("member", parent=pool["id"], name=server["name"], address=server["address"], protocol_port=80)


async def of_amphorae() -> list[float]:
    """Milliseconds that the embedded cloud takes to boot an amphora whose agent does next to nothing, several times."""
    taken = []
    async for cloud, _ in cloud_in_own_home():
        for number in range(2 * RUNS):
            began = time.perf_counter()
            await cloud.boot(order(f"n{number}", f"10.1.0.{20 + number}"))
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def measure(say: Say) -> Iterator[Row]:
    """All of them."""
    with site() as made:
        say(f"a load balancer, {RUNS} times")
        cold = of_a_balancer(made)
        balancers = [of_a_balancer(made) for _ in range(RUNS)]
        yield Row(
            "balancer.first_answer", median(balancers), "s", at_most(2), RUNS,
            f"POST of the balancer, then listener, pool, member, to a 200; the very first one {cold:.2f} s",
        )  # fmt: skip
        say(f"one more member, {RUNS} times")
        yield Row("member.first_answer", median(of_members(made)), "ms", at_most(300), RUNS, "in a pool with a monitor")
    say(f"an amphora of the embedded cloud, {2 * RUNS} times")
    booted = asyncio.run(of_amphorae())
    yield Row("amphora.boot", median(booted), "ms", at_most(150), len(booted), f"the quickest {min(booted):.0f} ms")
