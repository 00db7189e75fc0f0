# SPDX-License-Identifier: Apache-2.0
"""The image boots as Nova boots it, and is an amphora."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from octavia_amphora.wire import config
from octavia_amphora.wire.config import Backend, Bind, Configuration, Frontend, Server
from octavia_amphora.wire.interfaces import Address, Interface
from octavia_amphora.wire.messages import Push, VersionStamp

from .machine import KVM, MANAGEMENT, VIP, VIP_GATEWAY, VIP_MAC, Machine

BOOT_SECONDS = float(os.environ.get("AMPHORA_BOOT_SECONDS", "60" if KVM else "480"))
"""Without KVM a boot computes for a minute, and longer where other programs compute too."""
LISTENER, POOL = str(uuid.uuid4()), str(uuid.uuid4())
BASE = """defaults
    mode http
    timeout connect 20s
    timeout client 60s
    timeout server 60s
"""
pytestmark = pytest.mark.timeout(BOOT_SECONDS + 300)


class Member(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a member's answer")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def member() -> Iterator[int]:
    """The port of a member on this machine's loopback."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Member)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def balancer(machine: Machine, member: int) -> Configuration:
    name = f"{POOL}:{LISTENER}"
    text = f"    mode http\n    bind {VIP}:80\n    default_backend {name}\n"
    server = Server(str(uuid.uuid4()), Machine.HOST, member)
    return Configuration(
        machine.load_balancer_id, BASE, {LISTENER: Frontend(LISTENER, text, (Bind(VIP, 80),))},
        {name: Backend(name, POOL, "    mode http\n    balance roundrobin\n", {server.name: server}, True)},
        interfaces=(Interface(VIP_MAC, 1450, (Address(f"{VIP}/24", VIP_GATEWAY),)),),
    )  # fmt: skip


async def test_it_boots_and_balances_a_request(machine: Machine, member: int, image: Path) -> None:
    seconds = await machine.ready(BOOT_SECONDS)
    try:
        info = await machine.client.info(machine.host)
        assert info.amphora_id == machine.id
        described = json.loads(image.with_suffix(".json").read_text())["properties"]
        assert {f"octavia_amphora_{name}": value for name, value in info.image.items()} == {
            name: value for name, value in described.items() if name.startswith("octavia_amphora_")
        }
        said = machine.console.read_text(errors="replace")
        assert f"4 files, host amphora-{machine.id[:8]}, eth0 {MANAGEMENT}/24" in said
        kernel = re.findall(r"\[ *([0-9.]+)\][^\n]*serving on", said) or ["?"]
        print(
            f"\n{machine.how}: the agent serves {kernel[0]} s after the kernel began, answers {seconds:.1f} s after QEMU did"
        )

        wanted = balancer(machine, member)
        stamp = VersionStamp(epoch=0, fence=1, revision=1, generation=1, digest=config.digest(wanted))
        applied = await machine.client.push(machine.host, machine.load_balancer_id, Push(stamp, full=wanted))
        assert applied.outcome == "start"
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{machine.ports['web']}/") as answer:
            assert (answer.status, await answer.text()) == (200, "a member's answer")

        machine.heartbeats.setblocking(False)
        heartbeat = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(machine.heartbeats, 65536), 60)
        assert machine.id.replace("-", "") in heartbeat.hex() or machine.id.encode() in heartbeat
    finally:
        await machine.client.close()
