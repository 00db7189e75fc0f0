# SPDX-License-Identifier: Apache-2.0
"""What tests of the embedded cloud share: a cloud in a home of its own, orders, requests into it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from octavia_provider.clouds.netns import NetnsCloud, ranges
from octavia_provider.clouds.netns.specs import HostSpec, NetworkSpec, Publication
from octavia_provider.ports import AmphoraSpec, Instance, Vip

from .sandbox import until

STAND_IN = Path(__file__).with_name("stand_in_agent.py")
NETWORK = NetworkSpec(id="front", cidr="10.1.0.0/24")


def make_cloud(home: Path, *, shared: bool = False) -> NetnsCloud:
    return NetnsCloud(home, agent_command=(sys.executable, str(STAND_IN)), shared=shared)


async def cloud_in_own_home() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    """For a fixture: a started cloud with one network, and its home."""
    home = Path(tempfile.mkdtemp(prefix="octavia-"))
    cloud = make_cloud(home)
    try:
        await cloud.start()
        await cloud.ensure_network(NETWORK)
        yield cloud, home
    finally:
        await cloud.stop()
        shutil.rmtree(home)


def order(amphora_id: str = "one", address: str = "10.1.0.10") -> AmphoraSpec:
    def files(agent: str, port: int) -> Mapping[str, tuple[int, bytes]]:
        settings = json.dumps({"address": agent, "port": port}).encode()
        return {
            "/etc/octavia-amphora/agent.json": (0o600, settings),
            "/etc/octavia-amphora/tls/key.pem": (0o400, b"\xff\x00"),
        }

    vip = Vip(address=address, network_id="front", prefix=24, gateway="10.1.0.1")
    return AmphoraSpec(id=amphora_id, load_balancer_id="lb", vips=(vip,), files=files)


def host(host_id: str = "web", **changes: Any) -> HostSpec:
    """A web server, as nobody, on port 80."""
    spec: dict[str, Any] = {
        "id": host_id, "network_id": "front", "address": "10.1.0.50", "prefix": 24, "gateway": "10.1.0.1",
        "command": ("python3", "-m", "http.server", "80"),
    }  # fmt: skip
    return HostSpec(**{**spec, **changes})


def publication(host: Instance, port: int, listener_id: str = "listener") -> Publication:
    assert host.proxy_address
    return Publication(
        listener_id=listener_id, load_balancer_id="lb", address="127.0.0.1", port=port, target=(host.proxy_address, 8080)
    )  # fmt: skip


GIVEN: set[int] = set()


def free_port() -> int:
    """None of those that the kernel gives to clients, one of whom might have it by the time it is used; other tests draw too."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)  # not random's, which begins alike in each test
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in GIVEN:
                GIVEN.add(port)
                return port


def get(opened: socket.socket, address: tuple[str, int], path: str = "/") -> str:
    """One request over a socket that is not connected yet; OSError when that fails."""
    connection = http.client.HTTPConnection(*address)
    with opened:
        opened.settimeout(20)
        opened.connect(address)
        connection.sock = opened
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        assert answer.status == 200, body
        return body


async def inside(cloud: NetnsCloud, address: tuple[str, int], path: str = "/") -> str:
    """What answers a request from the fabric, as soon as something does."""

    async def once() -> str | None:
        try:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            return await asyncio.to_thread(get, cloud.connect_socket(family), address, path)
        except (OSError, http.client.HTTPException):
            return None

    answer = await until(once)
    assert answer is not None
    return answer


async def outside(address: tuple[str, int]) -> str:
    """What answers a request of the machine's own."""
    return await asyncio.to_thread(get, socket.socket(), address)


async def agent_facts(cloud: NetnsCloud, host: Instance) -> dict[str, Any]:
    facts = json.loads(await inside(cloud, host.agent))
    assert isinstance(facts, dict)
    return facts


def in_cloud(cloud: NetnsCloud, *command: str) -> str:
    """Run a command in the holder's own namespaces."""
    enter = ["nsenter", "--target", str(cloud.holder_pid), "--net", "--mount", "--pid"]
    return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout


def processes_of(pid: int) -> list[int]:
    """A process and all that it brought forth, as the machine numbers them."""
    found = [pid]
    for parent in found:
        try:
            found += [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def program(pid: int) -> str:
    """The name of a process's program, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def uid(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def outer(cloud: NetnsCloud, namespace: str, pid: int) -> int:
    """The machine's number of a process that has the number ``pid`` in the PID namespace of a container's host name."""
    for process in processes_of(cloud.holder_pid):
        numbers = [
            line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("NSpid")
        ]
        if int(numbers[0].split()[-1]) == pid and hostname(process) == namespace:
            return process
    raise AssertionError(f"{namespace} has no process {pid}")


def hostname(pid: int) -> str:
    done = subprocess.run(
        ["nsenter", "--target", str(pid), "--uts", "hostname"], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


BYSTANDER = "bystander-"
"""What a test makes of the machine's own, in the folders that ``machine`` looks at, has a name that begins so."""
OTHERS = {"/run/netns", str(ranges.REGISTRY)}
"""What is there from then on when the first of all tests needs it: of pairs, and of control planes."""
OTHER_HOMES = ("/tmp/oct-", f"{tempfile.gettempdir()}/oct-")
"""Where tests mount disks of their own; no cloud of ``cloud_in_own_home`` is there."""


def machine() -> tuple[str, list[str], list[str]]:
    """What of the machine must not change: interfaces, rules and routes; mounts; folders that the cloud has its own of.

    Other tests run at the same time: what is theirs is left out.
    """
    links = "".join(
        subprocess.run(["ip", *what], check=True, capture_output=True, text=True).stdout
        for what in (["-br", "link"], ["-br", "addr"], ["route"], ["rule"])
    )
    places = (line.split()[1] for line in Path("/proc/mounts").read_text().splitlines())
    mounts = sorted(place for place in places if not place.startswith(OTHER_HOMES))
    folders = [Path(folder) for folder in ("/run", "/etc", "/var/lib", "/run/netns")]
    found = (path for folder in folders if folder.is_dir() for path in folder.iterdir())
    names = (str(path) for path in found if not path.name.startswith(BYSTANDER))
    return links, mounts, sorted(name for name in names if name not in OTHERS)
