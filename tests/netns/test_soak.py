# SPDX-License-Identifier: Apache-2.0
"""Thousands of changes in a row, one in a hundred a reload: nothing is left behind, in agent, haproxy, control plane or store.

``SOAK_SECONDS`` (``make soak``) has them be ten thousand at least, and go on for so long, under load.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import pem
from octavia_amphora.haproxy.process import LOG_LIMIT
from octavia_amphora.wire import config
from octavia_amphora.wire.config import Bind, Configuration, File, Frontend, Server, file
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import paths

from .agents import BACKEND, LISTENER, VIP, Amphora, Load, frontend, server
from .installation import Installation
from .processes import all_processes, command, parent
from .traffic import until

SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
CHANGES, A_CYCLE = (10_000 if SECONDS else 5_000), 100
"""The last change of each cycle is a reload."""
WARM = 10
"""After so many cycles all that grows once has grown."""
LEAK = 512
"""Bytes a change: less is not told from noise in thousands of them (2 MiB)."""
PAIRS = [pem.make("a.test") for _ in range(4)]
CERTIFICATE = "a.pem"

pytestmark = pytest.mark.timeout(max(900, 2 * SECONDS))


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    bytes: int
    descriptors: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> Held:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in rollup if line.startswith("Pss_Anon:"))
        return cls(kilobytes * 1024, *(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for what in ("fd", "task")))

    def grew_to(self, now: Held, changes: int) -> str:
        """What was left behind; empty when nothing was."""
        print(f"{self} → {now} in {changes} changes")
        if now.descriptors > self.descriptors + 2 or now.threads > self.threads + 2:
            return f"descriptors or threads: {self} → {now}"
        return "" if now.bytes - self.bytes <= LEAK * changes else f"memory: {self} → {now} in {changes} changes"


def sizes(directory: Path) -> dict[str, int]:
    """How large the files are; contents, which are named by their digests, by their number."""
    found = [path for path in directory.rglob("*") if path.is_file()]
    contents = sorted(path for path in found if path.parent.name == "contents")
    names = {path: f"content {number}" for number, path in enumerate(contents)}
    return {names.get(path, str(path.relative_to(directory))): path.stat().st_size for path in found}


# ── agent and haproxy ────────────────────────────────────────────────────────────────────────────────────────────────
def web(number: int) -> Frontend:
    """A listener that ends TLS; ``number``: the same but for a line that only a reload brings about."""
    bind = f'bind {VIP}:8443 ssl crt-list "${{OCTAVIA_FILES}}/{LISTENER}.list"'
    text = f"    mode http\n    {bind}\n    http-response set-header X-Number {number}\n    default_backend {BACKEND}\n"
    return Frontend(LISTENER, text, (Bind(VIP, 8443),), (CERTIFICATE,))


PLAIN = frontend(name="plain")


def pair(number: int) -> dict[str, File]:
    one = PAIRS[number % len(PAIRS)]
    return {CERTIFICATE: file(CERTIFICATE, "certificate", one.pem + one.key_pem)}


def with_servers(was: Configuration, servers: list[Server]) -> Configuration:
    backend = msgspec.structs.replace(was.backends[BACKEND], servers={one.name: one for one in servers})
    return msgspec.structs.replace(was, backends={BACKEND: backend})


def changed(was: Configuration, number: int) -> Configuration:
    """The configuration after one more change: a reload, a certificate, a server that comes or goes, or a weight."""
    servers = list(was.backends[BACKEND].servers.values())
    if number % A_CYCLE == A_CYCLE - 1:
        return msgspec.structs.replace(was, frontends={**was.frontends, LISTENER: web(number)})
    if number % 20 == 7:
        return msgspec.structs.replace(was, files=pair(number // 20 + 1))
    if number % 4 == 0:
        return with_servers(was, [*servers[:3], msgspec.structs.replace(server(8001), name=str(uuid.uuid4()))])
    if number % 4 == 2:
        return with_servers(was, servers[:3])
    servers[0] = msgspec.structs.replace(servers[0], weight=1 + number % 200)
    return with_servers(was, servers)


def haproxies(amphora: Amphora) -> tuple[int, list[int]]:
    """The master, and its workers."""
    here = amphora.run_directory.name
    parents = {
        pid: parent(pid)
        for pid in all_processes()
        if command(pid)[:1] == ["haproxy"] and any(here in word for word in command(pid))
    }
    found = [pid for pid in parents if parents[pid]]  # one may end while we look
    (master,) = [pid for pid in found if parents[pid] not in found]
    return master, [pid for pid in found if pid != master]


def holding(amphora: Amphora) -> tuple[Held, Held, Held, dict[str, int]]:
    """Agent, master, the one worker, files."""
    until(lambda: len(haproxies(amphora)[1]) == 1, what="old workers to end")
    master, (worker,) = haproxies(amphora)
    files = {**sizes(amphora.directory / "state"), **sizes(Path(amphora.run_directory.name))}
    return Held.by(amphora.agent_pid()), Held.by(master), Held.by(worker), files


async def test_agent_and_haproxy_hold_after_thousands_of_changes_what_they_held_before(amphora: Amphora) -> None:
    was = msgspec.structs.replace(
        amphora.configuration(server(8001), server(8002), server(8003), frontends=(PLAIN, web(0))), files=pair(0)
    )
    await amphora.push(was)
    was = config.without_contents(was)
    load = Load(amphora) if SECONDS else None
    outcomes: Counter[str] = Counter()
    before, done, began = None, 0, time.monotonic()
    while done < CHANGES or time.monotonic() - began < SECONDS:
        new = changed(was, done)
        outcomes[(await amphora.push_delta(was, new)).outcome] += 1
        was, done = config.without_contents(new), done + 1
        if done == WARM * A_CYCLE:
            before = holding(amphora)
    if load is not None:
        await load.stop()
    assert outcomes == {"reload": done // A_CYCLE, "runtime": done - done // A_CYCLE}
    assert before is not None
    after = holding(amphora)
    since = done - WARM * A_CYCLE
    grown = [one.grew_to(now, since) for one, now in zip(before[:3], after[:3], strict=True)]
    assert grown == ["", "", ""], grown
    assert before[3].keys() == after[3].keys(), "files"
    larger = {
        name: (size, after[3][name])
        for name, size in before[3].items()
        if after[3][name] > (LOG_LIMIT if name.endswith(".log") else size) + 65_536
    }
    assert larger == {}
    assert await amphora.bodies(3)


# ── control plane and store ──────────────────────────────────────────────────────────────────────────────────────────
MEMBERS, ROUNDS = 250, 40


def test_control_plane_and_store_hold_after_thousands_of_changes_what_they_held_before(site: Installation) -> None:
    network = site.create("local_network", name="net")
    balancer = site.create("load_balancer", name="lb", vip_network_id=network["id"])
    listener = site.create("listener", loadbalancer_id=balancer["id"], protocol="HTTP", protocol_port=80)
    pool = site.create("pool", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    assert site.process
    before, pid = None, site.process.pid
    for number in range(ROUNDS):
        weigh(site, pool["id"], number)
        settled = site.update("listener", listener["id"], timeout_client_data=10_000 + number)
        assert settled["provisioning_status"] == "ACTIVE", settled
        if number == ROUNDS // 4:
            before = (Held.by(pid), stored(site))
    assert before is not None
    assert before[0].grew_to(Held.by(pid), MEMBERS * ROUNDS * 3 // 4) == ""
    after = stored(site)
    print(before[1], after)
    assert after <= before[1] * 1.2 + 1_000_000, "the store keeps what nobody asks for any more"
    shown = site.get_json(f"/v2/lbaas/pools/{pool['id']}/members")["members"]
    assert {member["weight"] for member in shown} == {1 + (ROUNDS - 1) % 200}
    assert {member["provisioning_status"] for member in shown} == {"ACTIVE"}


def weigh(site: Installation, pool_id: str, number: int) -> None:
    """One batch: every member another weight; return when it is in force."""
    members = [
        {"address": f"10.99.0.{n}", "protocol_port": 80, "weight": 1 + number % 200} for n in range(1, MEMBERS + 1)
    ]
    path = f"/v2/lbaas/pools/{pool_id}/members"
    site.client.request("PUT", path, deadline=Deadline(60.0), json={"members": members})
    until(lambda: all(m["provisioning_status"] == "ACTIVE" for m in site.get_json(path)["members"]), what="the batch")


def stored(site: Installation) -> int:
    """How large the store is on disk, with what waits to be folded in."""
    return sum(
        path.stat().st_size for path in paths.database(site.home).parent.glob(f"{paths.database(site.home).name}*")
    )
