# SPDX-License-Identifier: Apache-2.0
"""Installations to measure in: each with a home of its own under the temporary directory, purged at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from netns.installation import Installation, installation
from octavia_provider.client.deadline import Deadline

from .topics import NotHere


@contextlib.contextmanager
def site() -> Iterator[Installation]:
    """A started installation; nothing of it is left afterwards."""
    if os.geteuid() != 0 or shutil.which("haproxy") is None:
        raise NotHere("needs root and haproxy: run make bench as root, after make setup")
    with folder() as base, installation(base / "home") as made:
        yield made


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary directory whose path is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(prefix="ob-", ignore_cleanup_errors=True) as base:
        yield Path(base)


def descendants(pid: int) -> list[int]:
    """Process ids (as seen from here) of all that descend from a process, in whatever namespaces, itself included."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
    return found


def command(pid: int) -> list[str]:
    """The command line of a process; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def inside(made: Installation, word: str) -> int:
    """The process of the cloud that has this word on its command line, the holder's own processes left out."""
    for pid in descendants(made.holder):
        words = command(pid)
        if word in words and "octavia_provider.clouds.netns.holder" not in words:
            return pid
    raise AssertionError(f"no process of the cloud has {word} on its command line")


def enter(pid: int, *words: str) -> list[str]:
    """A command line that runs in the network namespace of a process."""
    return ["nsenter", "--target", str(pid), "--net", *words]


def balancer(
    made: Installation, *, listener: dict[str, Any] | None = None, **monitor: object
) -> dict[str, dict[str, Any]]:
    """A network, a load balancer, a listener and a pool without members, by kind; a monitor if its attributes are given.

    ``listener``: attributes of another than an HTTP listener on port 80.
    """
    network = made.create("local_network", name="net")
    found = {"local_network": network}
    found["load_balancer"] = made.create("load_balancer", name="lb", vip_network_id=network["id"])
    found["listener"] = made.create(
        "listener", name="web", loadbalancer_id=found["load_balancer"]["id"],
        **{"protocol": "HTTP", "protocol_port": 80, **(listener or {})},
    )  # fmt: skip
    found["pool"] = made.create(
        "pool", name="pool", listener_id=found["listener"]["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    if monitor:
        made.create("health_monitor", pool_id=found["pool"]["id"], **monitor)
    for kind, thing in found.items():
        assert thing["provisioning_status"] == "ACTIVE", (kind, thing)
    return found


def host(made: Installation, network: dict[str, Any], name: str, program: str) -> dict[str, Any]:
    """A host of the embedded cloud that runs a Python program and has its name in ``NAME``."""
    found = made.create(
        "local_host",
        name=name,
        network_id=network["id"],
        command=["python3", "-c", program],
        environment={"NAME": name},
    )
    assert found["provisioning_status"] == "ACTIVE", found
    return found


def remove(made: Installation, found: dict[str, dict[str, Any]], hosts: Iterable[dict[str, Any]] = ()) -> None:
    """Take a load balancer away with all that is in it, then the hosts and the network."""
    path = f"/v2/lbaas/loadbalancers/{found['load_balancer']['id']}"
    made.client.request(
        "DELETE", path, params={"cascade": "true"}, wait=30, deadline=Deadline(60.0), subject="load balancer"
    )
    for one in hosts:
        made.delete("local_host", one["id"])
    made.delete("local_network", found["local_network"]["id"])


def purge(home: Path) -> None:
    """Take an installation away that a plugin has started."""
    command_line = [sys.executable, "-m", "octavia_provider.cli.main", "purge", "--home", str(home), "--yes"]
    done = subprocess.run(command_line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
