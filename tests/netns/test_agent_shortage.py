# SPDX-License-Identifier: Apache-2.0
"""The real agent where something is short, damaged or hangs: it goes on, blames nobody, and recovers by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from octavia_amphora.wire import config
from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.heartbeat import Assembler
from octavia_provider.model.errors import TransientError
from octavia_provider.ports import AgentRefused

from .agents import CHECK, KEY, Amphora, Load, frontend, server
from .sandbox import Sandbox, until

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]

A, B, C = (server(port, options=CHECK) for port in (8001, 8002, 8003))
RECEIVER = ("127.0.0.8", 5555)
STAND_IN = """#!/bin/sh
case "$* $(cat {folder}/fault)" in
  *-c*killed) kill -9 $$ ;;
  *-c*memory) echo "[ALERT]    (7) : config : parsing [x.cfg:3] : out of memory." >&2; exit 1 ;;
  *-c*busy) exec python3 -c 'import sys; sys.exit("fork: Resource temporarily unavailable")' ;;
  *-Ws*no-worker) exit 1 ;;
esac
exec haproxy "$@"
"""


class Faulty(Amphora):
    """Its haproxy does as ``fault`` says; its state lies on a disk of its own, of one MiB."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        script = directory / "haproxy"
        script.write_text(STAND_IN.format(folder=directory))
        script.chmod(0o755)
        directory.chmod(0o755)
        self.heartbeats = 0
        self.assembler = Assembler()
        super().__init__(sandbox, directory, receiver=f"{RECEIVER[0]}:{RECEIVER[1]}", haproxy=str(script))
        self.fault("none")
        (directory / "state").mkdir(mode=0o700)
        self.inside("mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "state", str(directory / "state"))
        self.ear = sandbox.socket(kind=socket.SOCK_DGRAM)
        self.ear.bind(RECEIVER)
        self.ear.setblocking(False)

    def fault(self, name: str) -> None:
        (self.directory / "fault").write_text(name)

    def inside(self, *command: str) -> None:
        assert self.sandbox.run(*command).wait(20) == 0, command

    def shell(self, script: str) -> None:
        """In the folder of the load balancer's state."""
        self.inside("sh", "-ec", f"cd {self.directory}/state/{self.load_balancer_id}; {script}")

    def fill(self) -> None:
        self.inside("sh", "-c", f"dd if=/dev/zero of={self.directory}/state/fill bs=64k 2>/dev/null; true")

    def free(self) -> None:
        self.inside("rm", f"{self.directory}/state/fill")

    async def beats(self, count: int = 2) -> None:
        """Wait for so many more heartbeats."""
        while True:  # what came before does not count
            try:
                self.ear.recv(65536)
            except BlockingIOError:
                break
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30):
            while count:
                beat = self.assembler.feed(await loop.sock_recv(self.ear, 65536), {self.id: KEY}.get)
                count -= beat is not None

    async def serves(self, new: Configuration) -> bool:
        standing = await self.client.standing(self.host, self.load_balancer_id)
        return bool(standing and standing.serving and standing.stamp.digest == config.digest(new))

    def processes(self, kind: str) -> list[int]:
        """The machine's ids of haproxy's masters or workers."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                above = (path / "stat").read_text().rpartition(")")[2].split()
                parents = Path(f"/proc/{above[1]}/cmdline").read_bytes() if above[1] != "0" else b""
            except OSError:  # it has ended, or its parent has
                continue
            mine = str(self.directory).encode() in b" ".join(words) and b"-Ws" in words and above[0] != "Z"
            if mine and (b"-Ws" in parents) == (kind == "worker"):
                found.append(int(path.name))
        return found


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest_asyncio.fixture
async def amphora(walls: Sandbox, tmp_path: Path) -> AsyncIterator[Faulty]:
    made = Faulty(walls, tmp_path)
    made.members(8001, 8002, 8003)
    await made.start()
    yield made
    made.ear.close()
    await made.close()


async def test_a_full_disk__heartbeats_and_traffic_go_on__nobody_is_blamed__and_all_is_well_with_space(
    amphora: Faulty,
) -> None:
    old, new = (
        amphora.configuration(A, B),
        amphora.configuration(A, B, C, frontends=(frontend(), frontend(8081, name="x"))),
    )
    await amphora.push(old)
    load = Load(amphora)
    amphora.fill()
    await amphora.beats(4)
    with pytest.raises(TransientError, match="No space left"):
        await amphora.push(new)
    assert await amphora.serves(old)
    await amphora.beats()
    amphora.kill()
    await amphora.start()
    await until(lambda: amphora.serves(old))
    await amphora.beats()
    with pytest.raises(TransientError, match="No space left"):
        await amphora.push(new)
    await load.stop()
    amphora.free()
    await amphora.push(new)
    assert await amphora.serves(new)
    await amphora.beats()


GARBAGE = {
    "empty": ": > {0}",
    "truncated": "head -c 40 {0} > t; cat t > {0}; rm t",
    "noise": "head -c 5000 /dev/urandom > {0}",
    "another kind": "echo '[1, 2, 3]' > {0}",
    "nested": "head -c 100000 /dev/zero | tr '\\0' '[' > {0}",
    "a folder": "rm -rf {0}; mkdir {0}; touch {0}/x",
    "a dangling link": "rm -rf {0}; ln -s /nowhere/at/all {0}",
    "one bit": "sed -i s/127.0.0.1/127.0.0.7/ {0}",
}
FILES = ("newest.json", "accepted.json", "counters.json", "haproxy.cfg")


@pytest.mark.parametrize("damage", GARBAGE)
async def test_damaged_files__it_serves_on_and_takes_the_whole_again(amphora: Faulty, damage: str) -> None:
    first = amphora.configuration(A, B)
    await amphora.push(first)
    load = Load(amphora)
    for files in ((*FILES, "../boot"), ("newest.json",), ("accepted.json",)):
        amphora.kill()
        for file in files:
            amphora.shell(f"[ -e {file} ] || exit 0; {GARBAGE[damage].format(file)}")
        await amphora.start()
        await amphora.beats()
        new = amphora.configuration(A, B, frontends=(frontend(text=f"    # {amphora.revision}\n"),))
        amphora.revision += 10  # the control plane counts on
        await amphora.push(new)
        assert await amphora.serves(new)
    await load.stop()


async def test_damaged_certificates_and_verdicts_and_tables(amphora: Faulty) -> None:
    """What lies in memory can be damaged too: a content is known by its digest."""
    await amphora.push(amphora.configuration(A, B))
    amphora.kill()
    run = Path(amphora.run_directory.name) / amphora.load_balancer_id
    for name in ("verdicts.json", "tables.json", "servers"):
        (run / name).write_bytes(b"\xff\x00[")
    await amphora.start()
    new = amphora.configuration(A, B, frontends=(frontend(text="    # other\n"),))
    await amphora.push(new)
    assert await amphora.serves(new)
    assert (await amphora.get())[0] == 200


@pytest.mark.parametrize("fault", ["killed", "memory", "busy"])
async def test_haproxys_check_that_comes_to_no_verdict_blames_nobody(amphora: Faulty, fault: str) -> None:
    old = amphora.configuration(A, B)
    new = amphora.configuration(A, B, frontends=(frontend(text="    # other\n"),))
    await amphora.push(old)
    amphora.fault(fault)
    with pytest.raises(TransientError) as raised:
        await amphora.push(new)
    print(raised.value)
    assert await amphora.serves(old)
    amphora.fault("none")
    await amphora.push(new)
    assert await amphora.serves(new)


async def test_a_configuration_that_haproxy_refuses_is_still_refused(amphora: Faulty) -> None:
    await amphora.push(amphora.configuration(A))
    with pytest.raises(AgentRefused) as raised:
        await amphora.push(amphora.configuration(A, frontends=(frontend(text="    no such word\n"),)))
    assert raised.value.refusal.kind == "refused"


async def test_an_agent_without_descriptors_or_processes_says_so_and_recovers(amphora: Faulty) -> None:
    old = amphora.configuration(A, B)
    new = amphora.configuration(A, B, frontends=(frontend(text="    # other\n"),))
    await amphora.push(old)
    agent = amphora.agent_pid()
    limits = resource.prlimit(agent, resource.RLIMIT_NOFILE)
    resource.prlimit(agent, resource.RLIMIT_NOFILE, (open_files(agent) + 2, limits[1]))
    with pytest.raises(TransientError):
        await amphora.push(new)
    resource.prlimit(agent, resource.RLIMIT_NOFILE, limits)
    assert await amphora.serves(old)
    assert await amphora.state_of(A) == "up"
    await amphora.push(new)
    assert await amphora.serves(new)


async def test_few_open_files__as_many_connections_as_fit(walls: Sandbox, tmp_path: Path) -> None:
    """haproxy is told what fits; what does not come in at once waits its turn."""
    made = Amphora(walls, tmp_path)
    made.members(8001)
    few = made.sandbox.run
    made.sandbox.run = lambda *command, **more: few("prlimit", "--nofile=128:128", *command, **more)  # type: ignore[method-assign]
    await made.start()
    await made.push(made.configuration(server(8001)))
    answers = await asyncio.gather(*(made.get() for _ in range(200)))
    assert {status for status, _ in answers} == {200}
    assert "room for" in made.log()
    await made.close()


@pytest.mark.parametrize("kind", ["worker", "master"])
async def test_a_haproxy_that_hangs_is_replaced(amphora: Faulty, kind: str) -> None:
    await amphora.push(amphora.configuration(A, B))
    before = set(amphora.processes("worker"))
    (victim,) = amphora.processes(kind)
    os.kill(victim, signal.SIGSTOP)

    async def replaced() -> bool:
        if not set(amphora.processes("worker")) - before:
            return False
        try:
            return (await amphora.get())[0] == 200
        except OSError:  # a worker of haproxy 3 is there before it listens
            return False

    await until(replaced)
    assert not before & set(amphora.processes("worker"))
    assert await amphora.push(amphora.configuration(A, B, C))
