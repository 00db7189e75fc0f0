# SPDX-License-Identifier: Apache-2.0
"""Control planes in processes of their own on one PostgreSQL and one simulated cloud, and who changes everything meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from octavia_provider.client.client import Client, Ownership
from octavia_provider.client.deadline import Deadline
from simulation.cloud import NETWORK

from .remote import ask

TESTS = Path(__file__).parents[1]
PATIENCE = 120.0
TOLD = 20_000
"""Characters of each log that are shown where a test fails."""
PROVIDER = str(uuid.UUID(int=1))


def until(condition: Callable[[], bool], *, what: str, seconds: float = PATIENCE) -> float:
    """Wait for it; how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)  # the rate of looking, not what is waited for
    return time.monotonic() - began


@dataclass
class Site:
    """``planes``: processes by name. ``figures``: seconds of each takeover, by what was done."""

    folder: Path
    url: str
    lease_seconds: float
    world: subprocess.Popen[bytes]
    planes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Returns when it serves."""
        arguments = (self.url, self.folder / "key", name, self.folder / "world", self.socket(name), self.lease_seconds)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.planes[name] = run("control_plane_process", *map(str, arguments), log=log)

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def client(self, *names: str) -> Client:
        """Of these control planes, asked in this order."""
        return Client(",".join(f"unix://{self.socket(name)}" for name in names))

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.planes[name].wait()

    def signal(self, name: str, number: int) -> None:
        self.planes[name].send_signal(number)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def has_leases(self, name: str) -> bool:
        found = self.rows(f"SELECT count(*) FROM scopes WHERE holder = '{name}'")
        return bool(found[0][0])

    def settled(self) -> bool:
        return not self.rows("SELECT id FROM scopes WHERE applied < generation")

    def there(self) -> dict[str, Any]:
        """What the world has."""
        return asyncio.run(ask(str(self.folder / "world"), "world", "facts"))  # type: ignore[no-any-return]

    def taken_over(self, name: str, how: str) -> None:
        """Wait until it has no lease any more."""
        taken = until(lambda: not self.has_leases(name), what=f"the leases of {name} to be taken")
        self.figures[f"{name} {how}"] = round(taken, 2)


def run(module: str, *arguments: str, log: Any = None) -> subprocess.Popen[bytes]:
    """A process of ours, once it has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.{module}", *arguments], cwd=TESTS, stdout=subprocess.PIPE, stderr=log,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said == b"ready\n", Path(log.name).read_text()[-3000:] if log else module
    return process


@contextlib.contextmanager
def site(url: str, *names: str, lease_seconds: float) -> Iterator[Site]:
    """Control planes of these names, ended with the world."""
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:  # socket paths must be short
        made = Site(Path(folder), url, lease_seconds, run("world_process", f"{folder}/world"))
        try:
            for name in names:
                made.start(name)
            yield made
        except BaseException:
            for log in sorted(Path(folder).glob("*.log")):
                print(f"── {log.name}\n{log.read_text()[-TOLD:]}")
            raise
        finally:
            for process in (*made.planes.values(), made.world):
                process.kill()
                process.wait()


class Changer(threading.Thread):
    """Makes load balancers, then changes their listeners one after the other until it is told to end.

    ``answered``: listener → the last change that was answered; ``asked``: the last one that was asked for.
    """

    def __init__(self, site: Site, names: list[str], balancers: list[str]) -> None:
        super().__init__(daemon=True)
        self._client, self._balancers = site.client(*names), balancers
        self.made, self.ending = threading.Event(), threading.Event()
        self.answered: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        self.pools: list[str] = []
        self.failures: list[str] = []

    def run(self) -> None:
        try:
            listeners = [self._make(name) for name in self._balancers]
            self.made.set()
            number = 0
            while not self.ending.is_set():
                number += 1
                for balancer, listener in listeners:
                    self._change(listener, number)
                    if number % 3 == 0 and not self.ending.is_set():
                        self._pool(balancer, f"{balancer} {number}")
        except Exception as error:  # noqa: BLE001 - the test's thread tells of it
            self.failures.append(repr(error))
        finally:
            self.made.set()
            self._client.close()

    def _owner(self, name: str) -> Ownership:
        return Ownership(provider=PROVIDER, urn=f"urn:pulumi:dev::fleet::octavia:lb:Any::{name}")

    def _create(self, kind: str, name: str, **values: Any) -> dict[str, Any]:
        deadline = Deadline(PATIENCE)
        made = self._client.create(
            kind, {"name": name, **values}, deadline=deadline, owner=self._owner(f"{kind} {name}")
        )
        made = self._client.wait_until_settled(kind, made, deadline=deadline)
        assert made.status == "ACTIVE", made.object
        return made.object

    def _make(self, name: str) -> tuple[str, str]:
        balancer = self._create("load_balancer", name, vip_network_id=NETWORK)["id"]
        listener = self._create("listener", name, loadbalancer_id=balancer, protocol="HTTP", protocol_port=80)
        return balancer, listener["id"]

    def _pool(self, balancer: str, name: str) -> None:
        self._create("pool", name, loadbalancer_id=balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        self.pools.append(name)

    def _change(self, listener: str, number: int) -> None:
        deadline = Deadline(PATIENCE)
        self.asked[listener] = number
        values = {"connection_limit": number}
        made = self._client.update("listener", listener, values, deadline=deadline)
        made = self._client.wait_until_settled("listener", made, deadline=deadline)
        assert made.status == "ACTIVE", made.object
        self.answered[listener] = number
