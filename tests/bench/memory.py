# SPDX-License-Identifier: Apache-2.0
"""Memory of each process, with one load balancer of three members: PSS (shared pages counted by share) and RSS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from netns.installation import Installation, until
from octavia_provider.client.deadline import Deadline

from .first import SERVER, until_answered
from .plugin import BIN
from .rows import Row
from .site import balancer, descendants, host, inside, remove, site
from .topics import Say


def kibibytes(pid: int) -> dict[str, float]:
    """``Pss`` and ``Rss`` of a process in MiB (``proc(5)``, smaps_rollup)."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        word = line.split(":")[0]
        if word in ("Pss", "Rss"):
            found[word] = int(line.split()[1]) / 1024
    return found


def _plugin() -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen([BIN / "pulumi-resource-octavia"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    return process, process.pid


def _processes(made: Installation) -> dict[str, int]:
    assert made.process is not None
    agent = inside(made, "octavia_amphora.main")
    worker = descendants(agent)[-1]  # the agent's child is haproxy's master, whose child is the worker
    return {"control_plane": made.process.pid, "holder": made.holder, "agent": agent, "haproxy_worker": worker}


def _online(made: Installation, pool: str) -> int:
    members = made.client.list("member", parent=pool, deadline=Deadline(10.0))
    return [member["operating_status"] for member in members].count("ONLINE")


def measure(say: Say) -> Iterator[Row]:
    """A row for each process."""
    with site() as made:
        say("a load balancer with three members")
        found = balancer(made, type="HTTP", delay=1, timeout=1, max_retries=1)
        pool = found["pool"]["id"]
        servers = [host(made, found["local_network"], f"m{n}", SERVER) for n in range(3)]
        for server in servers:
            made.create("member", parent=pool, name=server["name"], address=server["address"], protocol_port=80)
        until_answered(found["listener"]["url"], "m0")
        until(lambda: _online(made, pool) == len(servers), what="heartbeats that tell that all members are up")
        plugin, pid = _plugin()
        try:
            for name, process in {**_processes(made), "plugin": pid}.items():
                sizes = kibibytes(process)
                yield Row(f"memory.{name}", sizes["Pss"], "MiB", note=f"PSS; RSS {sizes['Rss']:.1f} MiB")
        finally:
            plugin.terminate()
            plugin.wait(10)
            assert plugin.stdout is not None
            plugin.stdout.close()
        remove(made, found, servers)
