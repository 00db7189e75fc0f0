# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ASYNC221, ASYNC240, PTH116 - a moment in which nothing else is to be done
"""The boundaries of docs/explanation/security.md, attacked from inside, as each user that runs there.

``attacker.py`` makes the attempts, in the real confinement of each kind of process: as a host's command, in the place of
an agent and as that one's haproxy, and as a relay. What succeeds and is not expected here is a hole.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.clouds.netns.client import Client
from octavia_provider.clouds.netns.holder import limits, users
from octavia_provider.clouds.netns.specs import NetworkSpec

from .clouds import (
    BYSTANDER,
    cloud_in_own_home,
    free_port,
    get,
    host,
    in_cloud,
    inside,
    order,
    processes_of,
    program,
    publication,
    uid,
)
from .installation import Installation, make_stack
from .sandbox import until

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
ATTACKER = (HERE / "attacker.py").read_text()
KEY = "the key of this installation"
SERVE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"attempts": attempts(json.loads(sys.argv[1])), "status": status()}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", 80), Handler).serve_forever()
"""
ATTACK = ATTACKER.partition('if __name__ == "__main__":')[0]
REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2]))).close(); print('reached')"
WEB = ("10.1.0.50", 80)
OTHER = ("10.3.0.50", 80)
BOTH = ("python3", "-m", "http.server", "80", "--bind", "::")
OTHER_6 = {"ipv6_address": "fd00:3::50", "ipv6_prefix": 64, "ipv6_gateway": "fd00:3::1"}
WEB_6 = {"ipv6_address": "fd00:1::50", "ipv6_prefix": 64, "ipv6_gateway": "fd00:1::1"}


@pytest_asyncio.fixture
async def made() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    async for cloud, home in cloud_in_own_home():
        (home / "octavia.key").write_text(KEY)
        (home / "octavia.key").chmod(0o644)  # not even then: the folder is what is hidden
        home.chmod(0o755)
        yield cloud, home


@contextlib.contextmanager
def machine(home: Path) -> Iterator[dict[str, Any]]:
    """Things of the machine that everybody on it may use, and nobody behind the walls: files and sockets."""
    with contextlib.ExitStack() as stack:
        files, sockets = [str(home / "octavia.key")], [str(home / "cloud" / "holder.sock")]
        for folder in ("/tmp", "/run", "/dev/shm", "/var/tmp"):
            there = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=BYSTANDER, dir=folder)))
            there.chmod(0o755)
            (there / "file").write_text("of the machine")
            files.append(str(there / "file"))
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(there / "socket"))
            (there / "socket").chmod(0o777)
            listening.listen()
            sockets.append(str(there / "socket"))
        yield {"read": files, "sockets": sockets, "list": [str(home), "/run/user"]}


def holes(told: dict[str, Any], *expected: str) -> dict[str, str]:
    """What succeeded and should not have, or did not and should; and calls that the filter did not refuse itself.

    What is sent says nothing of whether it comes: the test looks at the other end.
    """
    attempts: dict[str, str] = {n: a for n, a in told["attempts"].items() if not n.startswith("send to")}
    done = {name: answer for name, answer in attempts.items() if answer.startswith("done") != name.startswith(expected)}
    filtered = {"refused: EPERM", "refused: ENOSYS"}
    called = {name: answer for name, answer in attempts.items() if name.startswith("call ") and answer not in filtered}
    assert len(attempts) > 70
    assert attempts["fork"] == "refused: EAGAIN"
    assert (told["status"]["NoNewPrivs"], told["status"]["Seccomp"]) == ("1", "2")
    return done | called


def capabilities(told: dict[str, Any]) -> int:
    return int(told["status"]["CapEff"], 16) | int(told["status"]["CapBnd"], 16) | int(told["status"]["CapPrm"], 16)


async def ask(cloud: NetnsCloud, address: tuple[str, int], path: str = "/") -> dict[str, Any]:
    """As ``clouds.inside``, for answers that take their time."""

    def once() -> dict[str, Any]:
        opened = cloud.connect_socket(socket.AF_INET)
        with opened:
            opened.settimeout(100)
            opened.connect(address)
            connection = http.client.HTTPConnection(*address)
            connection.sock = opened
            connection.request("GET", path)
            told = json.loads(connection.getresponse().read())
            assert isinstance(told, dict)
            return told

    async def listening() -> bool:
        with contextlib.suppress(OSError), cloud.connect_socket(socket.AF_INET) as opened:
            await asyncio.to_thread(opened.connect, address)
            return True
        return False

    await until(listening)
    told = await asyncio.to_thread(once)
    assert "attempts" in told, told
    return told


# ── a host ───────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("user", ["nobody", "root", "www-data"])
async def test_a_host_stays_where_it_is(made: tuple[NetnsCloud, Path], user: str) -> None:
    cloud, home = made
    await cloud.ensure_network(NetworkSpec(id="front", cidr="10.1.0.0/24", ipv6_cidr="fd00:1::/64"))
    await cloud.ensure_network(NetworkSpec(id="side", cidr="10.3.0.0/24", ipv6_cidr="fd00:3::/64"))
    await cloud.ensure_host(
        host("other", command=BOTH, network_id="side", address=OTHER[0], gateway="10.3.0.1", **OTHER_6)
    )
    await inside(cloud, OTHER)  # who is asked from the fabric answers, by both families
    assert in_cloud(cloud, "python3", "-c", REACH, "fd00:3::50", "80").strip() == "reached"
    booted = await cloud.boot(order())
    heartbeats = cloud.heartbeat_socket()
    gateway, _, port = cloud.heartbeat_receiver.partition(":")
    with heartbeats, machine(home) as targets:
        targets |= {
            "tcp": {"a host of another network": OTHER, "the same by IPv6": ("fd00:3::50", 80), "an agent": booted.agent, "haproxy": (booted.proxy_address, 8080)},
            "udp": {"the control plane's heartbeats": (gateway, int(port))},
            "memory": limits.memory("host") + (1 << 30), "processes": [1], "victims": [1],
        }  # fmt: skip
        command = ("python3", "-c", ATTACK + SERVE, json.dumps(targets))
        await cloud.ensure_host(host(command=command, user=user, **WEB_6))
        told = await ask(cloud, WEB)
        with pytest.raises(BlockingIOError):
            heartbeats.recv(100)
    may = {"root": ("become root", "become nobody"), "nobody": ("become nobody",)}
    assert holes(told, *may.get(user, ())) == {}
    assert (capabilities(told) == 0) == (user != "root")
    assert Path(home / "octavia.key").read_text() == KEY


async def test_a_host_sees_what_its_command_names_and_what_is_installed(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    with tempfile.TemporaryDirectory(prefix="oct-") as folder:
        Path(folder).chmod(0o755)
        Path(folder, "server.py").write_text(
            "import http.server, os, sys; sys.path.insert(0, os.path.dirname(sys.argv[0])); import beside\n"
            "open('/tmp/mine', 'w').write('x'); open('/dev/shm/mine', 'w').write('x')\n"
            "http.server.test(http.server.SimpleHTTPRequestHandler, port=80)\n"
        )
        Path(folder, "beside.py").write_text("")
        Path(folder, "index.html").write_text("served from a folder of the machine")
        command = ("python3", "-m", "http.server", "80", "--directory", folder)
        await cloud.ensure_host(host(command=command))
        assert await inside(cloud, WEB) == "served from a folder of the machine"
        command = ("python3", f"{folder}/server.py")
        await cloud.ensure_host(host(command=command))
        await inside(cloud, WEB, "/etc/hostname" if Path("/etc/hostname").exists() else "/")
    assert not Path("/tmp/mine").exists()
    assert (home / "octavia.key").exists()


async def test_a_person_is_the_same_inside(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    alice = 54321
    with tempfile.TemporaryDirectory(prefix="oct-") as folder:
        for path in (Path(folder), Path(folder, "index.html")):
            if path != Path(folder):
                path.write_text("of alice")
            os.chown(path, alice, alice)
            path.chmod(0o500)
        spec = dataclasses.asdict(host(command=("python3", "-m", "http.server", "80", "--directory", folder)))
        account = {"name": "alice", "home": "/", "identity": [alice, alice, [alice]]}
        await asyncio.to_thread(Client(home, "", ()).ask, "ensure_host", spec={**spec, "account": account})
        assert await inside(cloud, WEB) == "of alice"
        (server,) = [pid for pid in processes_of(cloud.holder_pid) if program(pid) == "python3"]
        assert uid(server) == alice
        status = dict(line.split(":", 1) for line in Path(f"/proc/{server}/status").read_text().splitlines())
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0


# ── an amphora ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest_asyncio.fixture
async def attacked() -> AsyncIterator[tuple[NetnsCloud, Path]]:
    home = Path(tempfile.mkdtemp(prefix="octavia-"))
    (home / "octavia.key").write_text(KEY)
    (home / "octavia.key").chmod(0o644)
    cloud = NetnsCloud(home, agent_command=(sys.executable, str(HERE / "attacking_agent.py")))
    try:
        await cloud.start()
        await cloud.ensure_network(NetworkSpec(id="front", cidr="10.1.0.0/24"))
        yield cloud, home
    finally:
        await cloud.stop()
        subprocess.run(["rm", "-r", str(home)], check=True)


@pytest.mark.parametrize("who", ["agent", "haproxy"])
async def test_an_amphora_stays_where_it_is(attacked: tuple[NetnsCloud, Path], who: str) -> None:
    cloud, home = attacked
    other = await cloud.boot(order("two", "10.1.0.11"))
    booted = await cloud.boot(order())
    with machine(home) as targets:
        targets["tcp"] = {"another amphora's agent": other.agent, "the machine": ("127.0.0.1", free_port())}
        targets["memory"] = limits.memory("amphora") + (1 << 30)
        targets["list"] += ["/home", str(home / "cloud" / "amphorae")]
        if who == "haproxy":
            targets["read"] += ["/etc/octavia-amphora/tls/key.pem", "/etc/octavia-amphora/agent.json"]
            targets["list"] += ["/var/lib/octavia-amphora"]
        told = await ask(cloud, booted.agent, f"/{who}?{urllib.parse.quote(json.dumps(targets))}")
    # it becomes haproxy's user, and sees which descriptors that one has, not what they are
    may = ("become", "open a raw socket", "open a packet socket", "change the network", "look at the files of")
    assert {
        name: answer
        for name, answer in holes(told, *(may if who == "agent" else ())).items()
        if name != "look at the files of 1"
    } == {}
    assert told["attempts"]["look at the files of 1"].startswith("refused")
    assert told["status"]["Uid"].split()[0] == {"agent": "0", "haproxy": str(users.HAPROXY)}[who]
    if who == "haproxy":
        assert int(told["status"]["CapEff"], 16) == int(told["status"]["CapPrm"], 16) == 0
    state = home / "cloud" / "amphorae" / "one"
    assert users.FIRST <= uid_of(state) != uid_of(home / "cloud" / "amphorae" / "two") >= users.FIRST


def uid_of(path: Path) -> int:
    return path.stat().st_uid


# ── a relay ──────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_relay_stays_where_it_is(made: tuple[NetnsCloud, Path]) -> None:
    cloud, home = made
    booted = await cloud.boot(order())
    await inside(cloud, booted.agent)
    port = free_port()
    await cloud.publish(publication(booted, port))
    assert await asyncio.to_thread(get, socket.socket(), ("127.0.0.1", port)) == "127.0.0.1 amphora-one"
    relay = next(
        pid
        for pid in processes_of(cloud.holder_pid)
        if program(pid) == "haproxy" and within(uid(pid)) == users.relay(0)
    )
    numbers = Path(f"/proc/{relay}/status").read_text()
    assert uid(relay) >= users.FIRST
    code = (
        "from octavia_provider.clouds.netns.holder import credentials, roots\n"
        f"credentials.relay({users.FIRST}, roots.RELAYS).put_on()\n{ATTACK.replace('from __future__ import annotations', '')}"
        "sys.stdout.write(json.dumps(attempts(json.loads(sys.argv[1]))))"
    )
    with machine(home) as targets:
        targets |= {"list": [str(home), "/run/user", "/proc"], "memory": limits.RELAY_MEMORY + (1 << 30)}
        told = in_cloud(cloud, sys.executable, "-c", code, json.dumps(targets))
    facts = dict(line.split(":", 1) for line in numbers.splitlines())
    status = {name: value.strip() for name, value in facts.items()}
    assert holes({"attempts": json.loads(told), "status": status}) == {}
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0


# ── all of it, as it really runs ─────────────────────────────────────────────────────────────────────────────────────
def test_every_process_of_an_installation_is_confined(site: Installation) -> None:
    make_stack(site)
    holder = next(
        pid for pid in site.processes() if "octavia_provider.clouds.netns.holder" in " ".join(site_command(pid))
    )
    seen = []
    for pid in processes_of(holder):
        facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if pid == holder or facts["NSpid"].split()[-1] == "1":
            continue  # the first processes: root, which nothing that comes in from outside ever reaches
        seen.append(facts["Name"].strip())
        assert int(facts["Uid"].split()[0]) >= users.FIRST, facts
        assert (facts["NoNewPrivs"].strip(), facts["Seccomp"].strip()) == ("1", "2"), facts
        agent = facts["Name"].strip().startswith("python") and within(int(facts["Uid"].split()[0])) == users.ROOT
        assert (int(facts["CapEff"], 16) == 0) != agent, facts
        assert os.stat(f"/proc/{pid}/root/").st_dev != os.stat("/").st_dev or not is_amphora(pid), facts
    assert {"haproxy"} < set(seen), seen
    assert site.process is not None
    for pid in (holder, site.process.pid):  # root, but not for the kernel's modules, the clock, a restart
        facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert int(facts["CapBnd"], 16) & (1 << 16 | 1 << 22 | 1 << 25 | 1 << 39) == 0
        assert facts["NoNewPrivs"].strip() == "1"


def within(user: int) -> int:
    """Where in its container's block a user of the machine is."""
    return (user - users.FIRST) % users.EACH


def is_amphora(pid: int) -> bool:
    return Path(f"/proc/{pid}/root/var/lib/octavia-amphora").exists()


def site_command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []
