# SPDX-License-Identifier: Apache-2.0
"""A whole installation for one test: its own home, a real control plane, real amphorae, real members.

Everything stands in namespaces behind the installation's own walls; what is reached from outside is loopback.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_provider.client import embedded
from octavia_provider.client.client import Client
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import paths

from .processes import agents_among, all_processes, command, parent, started
from .traffic import Load, ask, shared_by, shares, until

__all__ = [
    "Installation", "Load", "Stack", "answers", "ask", "installation", "make_stack", "shared_by", "shares", "until",
]  # fmt: skip

HOLDER = "octavia_provider.clouds.netns.holder"

TELL = "import sys, urllib.request as u; print(u.urlopen('http://%s:81/%s' % tuple(sys.argv[1:]), timeout=20).read().decode())"
# Says a command to the runtime API of a load balancer's haproxy, inside its amphora.
RUNTIME = """
import glob, socket, sys
path = [p for p in glob.glob("/run/octavia-amphora/**/stats.sock", recursive=True) if sys.argv[1] in p][0]
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(path)
    connection.sendall(sys.argv[2].encode() + b"\\n")
    while data := connection.recv(65536):
        sys.stdout.write(data.decode())
"""
SERVER = Path(__file__).with_name("member_server.py").read_text()


@dataclass
class Installation:
    """One control plane of its own home; ``kill`` and ``start`` as often as a test likes."""

    home: Path
    process: subprocess.Popen[bytes] | None = None
    options: tuple[str, ...] = ()
    name: str | None = None
    """Of several control planes of this home."""
    _client: Client | None = None

    @property
    def instance(self) -> Path:
        """The folder of what is this control plane's own."""
        return paths.instance(self.home, self.name)

    def start(self) -> None:
        """Start the control plane; return when it answers."""
        command = [sys.executable, "-m", "octavia_provider.cli.main", "serve", "--home", str(self.home), *self.options]
        command += ["--name", self.name] if self.name else []
        self.instance.mkdir(mode=0o700, exist_ok=True, parents=True)
        with (self.instance / "stderr.log").open("ab") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        until(
            lambda: embedded.answers(self.instance) or self.process.poll() is not None,
            what="the control plane to start",
            seconds=120.0,
        )  # type: ignore[union-attr]
        assert self.process.poll() is None, (self.instance / "stderr.log").read_text()

    def kill(self) -> None:
        """SIGKILL the control plane, and only it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """End the control plane as an operator does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def purge(self) -> None:
        """Take everything away."""
        self.stop()
        command = [sys.executable, "-m", "octavia_provider.cli.main", "purge", "--home", str(self.home), "--yes"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr

    # ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def client(self) -> Client:
        """A client that does not start anything by itself."""
        if self._client is None:
            self._client = Client(start=lambda _: paths.api_socket(self.instance))
        return self._client

    def create(self, kind: str, *, parent: str | None = None, wait: bool = True, **values: Any) -> dict[str, Any]:
        """Make an object and wait until it is settled (in ERROR too)."""
        deadline = Deadline(60.0)
        answer = self.client.create(kind, values, deadline=deadline, parent=parent)
        if wait:
            answer = self.client.wait_until_settled(kind, answer, deadline=deadline, parent=parent)
        return answer.object

    def update(self, kind: str, id_: str, *, parent: str | None = None, **values: Any) -> dict[str, Any]:
        """Change an object and wait until it is settled."""
        deadline = Deadline(60.0)
        answer = self.client.update(kind, id_, values, deadline=deadline, parent=parent)
        return self.client.wait_until_settled(kind, answer, deadline=deadline, parent=parent).object

    def get(self, kind: str, id_: str, *, parent: str | None = None) -> dict[str, Any]:
        """An object as it is now."""
        return self.client.get(kind, id_, deadline=Deadline(30.0), parent=parent).object

    def delete(self, kind: str, id_: str, *, parent: str | None = None) -> None:
        """Delete an object and wait until it is gone."""
        self.client.delete(kind, id_, deadline=Deadline(60.0), parent=parent)

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the control plane has logged under this name."""
        found = []
        for line in paths.log_file(self.instance).read_text().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == name:
                    found.append(event)
        return found

    # ── looking inside ───────────────────────────────────────────────────────────────────────────────────────────────
    @property
    def holder(self) -> int:
        """The process id of the cloud's holder: of those that carry its command line, the one that the others come from."""
        found = {pid for pid in all_processes() if command(pid)[3:6:2] == [HOLDER, str(self.home)]}
        for pid in found:
            if parent(pid) not in {0, *found}:
                return pid
        raise AssertionError("no cloud runs")

    def inside(self, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the cloud's fabric, from where VIPs are reached."""
        enter = ["nsenter", "--target", str(self.holder), "--net", "--pid", "--mount"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, timeout=60, **options)

    def get_json(self, path: str) -> Any:
        """What the API answers to a GET of a path."""
        return self.client.request("GET", path, deadline=Deadline(30.0)).json()

    def in_amphora(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespaces of the one amphora."""
        enter = ["nsenter", "--target", str(self.agent()), "--net", "--mount", "--pid"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False, timeout=60)

    def processes(self) -> list[int]:
        """The process ids, as seen from outside, of all that runs inside the cloud."""
        parents = {pid: parent(pid) for pid in all_processes()}
        found = [self.holder]
        for pid in found:
            found.extend(child for child, its_parent in parents.items() if its_parent == pid)
        return found[1:]

    def agent(self) -> int:
        """The process id of the one agent."""
        return next(iter(self.agents()))

    def agents(self) -> list[int]:
        """The process ids of all agents, as seen from outside."""
        return agents_among(self.processes())

    def masters(self) -> list[int]:
        """The process ids of the masters of the amphorae's haproxies."""
        parents = self._haproxies()
        return sorted(pid for pid in parents if parents[pid] not in parents)

    def workers(self) -> list[int]:
        """The process ids of the workers of the amphorae's haproxies: of each the newest one, not those that still finish."""
        parents, newest = self._haproxies(), dict[int, int]()
        for pid in sorted((pid for pid in parents if parents[pid] in parents), key=lambda pid: (started(pid), pid)):
            newest[parents[pid]] = pid
        return sorted(newest.values())

    def _haproxies(self) -> dict[int, int]:
        """Each with its parent, less those that end while we look."""
        found = [pid for pid in self.processes() if command(pid)[0] == "haproxy" and "-Ws" in command(pid)]
        return {pid: its_parent for pid in found if (its_parent := parent(pid))}


@dataclass
class Stack:
    """A load balancer with one HTTP listener and some members, made through the API."""

    site: Installation
    network: dict[str, Any] = field(default_factory=dict)
    load_balancer: dict[str, Any] = field(default_factory=dict)
    listener: dict[str, Any] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)
    monitor: dict[str, Any] = field(default_factory=dict)
    hosts: list[dict[str, Any]] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the listener is published."""
        return str(self.listener["url"])

    def add_host(self, name: str) -> dict[str, Any]:
        """A host that serves HTTP on port 80."""
        host = self.site.create(
            "local_host", name=name, network_id=self.network["id"], command=["python3", "-c", SERVER],
            environment={"NAME": name},
        )  # fmt: skip
        assert host["provisioning_status"] == "ACTIVE", host
        self.hosts.append(host)
        return host

    def add_member(self, host: dict[str, Any], **values: Any) -> dict[str, Any]:
        """A host becomes a member."""
        member = self.site.create(
            "member", parent=self.pool["id"], name=host["name"], address=host["address"], protocol_port=80, **values
        )
        assert member["provisioning_status"] == "ACTIVE", member
        self.members.append(member)
        return member

    def add_members(self, *names: str) -> None:
        """Hosts become members; return when their servers answer."""
        for name in names:
            self.add_member(self.add_host(name))
        for name in names:
            until(lambda name=name: self.listens(name), what=f"{name} to listen")  # type: ignore[misc]

    def listens(self, name: str) -> bool:
        """Whether a host's server takes connections."""
        address = next(host["address"] for host in self.hosts if host["name"] == name)
        return self.site.inside("python3", "-c", TELL, address, "count").returncode == 0

    def tell(self, name: str, verb: str) -> int:
        """Lead a host's server (see ``member_server.py``); answers how many requests it has had."""
        address = next(host["address"] for host in self.hosts if host["name"] == name)
        done = self.site.inside("python3", "-c", TELL, address, verb)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def member(self, name: str) -> dict[str, Any]:
        """A member as it is now."""
        id_ = next(member["id"] for member in self.members if member["name"] == name)
        return self.site.get("member", id_, parent=self.pool["id"])

    def change_member(self, name: str, **values: Any) -> dict[str, Any]:
        """Change a member; it must be in force afterwards."""
        id_ = next(member["id"] for member in self.members if member["name"] == name)
        changed = self.site.update("member", id_, parent=self.pool["id"], **values)
        assert changed["provisioning_status"] == "ACTIVE", changed
        return changed

    def remove_member(self, name: str) -> None:
        """Delete a member; return when it is gone."""
        member = next(member for member in self.members if member["name"] == name)
        self.site.delete("member", member["id"], parent=self.pool["id"])
        self.members.remove(member)

    def change(self, kind: str, id_: str, **values: Any) -> dict[str, Any]:
        """Change an object; it must be in force afterwards."""
        changed = self.site.update(kind, id_, **values)
        assert changed["provisioning_status"] == "ACTIVE", changed
        return changed

    def operating(self, kind: str, id_: str, **options: Any) -> str:
        """The operating status of an object now."""
        return str(self.site.get(kind, id_, **options)["operating_status"])

    def statistics(self) -> dict[str, Any]:
        """The counters of the listener, as last told by a heartbeat."""
        return dict(self.site.get_json(f"/v2/lbaas/listeners/{self.listener['id']}/stats")["stats"])

    def host_process(self, name: str) -> int:
        """The process id of a host's server."""
        for pid in self.site.processes():
            with contextlib.suppress(OSError):
                if f"NAME={name}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    return pid
        raise AssertionError(f"{name} does not run")

    def configuration(self) -> str:
        """The configuration in force, by the API."""
        path = f"/v2/octavia/loadbalancers/{self.load_balancer['id']}/configuration"
        return str(self.site.get_json(path)["haproxy"])

    def haproxy(self, command: str) -> str:
        """What haproxy's worker answers to a command of its runtime API."""
        done = self.site.in_amphora("python3", "-c", RUNTIME, self.load_balancer["id"], command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self.haproxy("show stat").removeprefix("# ").splitlines()))

    def server(self, backend: str, name: str) -> dict[str, str]:
        """What haproxy says of a member, by the names of its columns."""
        id_ = next(member["id"] for member in self.members if member["name"] == name)
        return next(row for row in self._rows() if (row["pxname"], row["svname"]) == (backend, id_))

    def server_status(self, backend: str, name: str) -> str:
        """UP, DOWN, UP 1/2, MAINT, no check, …"""
        return self.server(backend, name)["status"]

    def failed_checks(self, backend: str, name: str) -> int:
        """How many checks have failed while the member was up."""
        return int(self.server(backend, name)["chkfail"])

    def counted_by_haproxy(self) -> int:
        """The connections that the listener's present worker has counted."""
        me = (self.listener["id"], "FRONTEND")
        return next(int(row["stot"]) for row in self._rows() if (row["pxname"], row["svname"]) == me)


def make_stack(
    site: Installation, *, members: int = 3, monitor: dict[str, Any] | None = None, listener: dict[str, Any] | None = None,
    flavor_id: str | None = None,
    **pool: Any,
) -> Stack:  # fmt: skip
    """A balancer, a listener, a pool, perhaps a monitor, members ``m1``… that answer."""
    stack = Stack(site)
    stack.network = site.create("local_network", name="net")
    stack.load_balancer = site.create(
        "load_balancer", name="lb", vip_network_id=stack.network["id"], flavor_id=flavor_id
    )
    stack.listener = site.create(
        "listener", name="web", loadbalancer_id=stack.load_balancer["id"],
        **{"protocol": "HTTP", "protocol_port": 80, **(listener or {})},
    )  # fmt: skip
    stack.pool = site.create(
        "pool", name="pool", listener_id=stack.listener["id"],
        **{"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **pool},
    )  # fmt: skip
    if monitor is not None:
        stack.monitor = site.create("health_monitor", pool_id=stack.pool["id"], **monitor)
    for number in range(1, members + 1):
        stack.add_host(f"m{number}")
    for host in stack.hosts:
        stack.add_member(host)
    for thing in (stack.load_balancer, stack.listener, stack.pool):
        assert thing["provisioning_status"] == "ACTIVE", thing
    if members:
        until(lambda: all_answer(stack), what="every member to answer")
    return stack


def answers(stack: Stack) -> set[str]:
    """Who answers among a few requests, up to the first that fails."""
    seen = set()
    with contextlib.suppress(OSError, http.client.HTTPException):
        for _ in range(len(stack.members) * 2):
            status, body = ask(stack.url, timeout=5.0)
            if status == 200:
                seen.add(body)
    return seen


def all_answer(stack: Stack) -> bool:
    """Whether every member with weight has answered among a few requests."""
    return len(answers(stack)) == len(stack.members)


@contextlib.contextmanager
def installation(home: Path, *options: str) -> Iterator[Installation]:
    """A started installation, purged at the end. ``options``: of ``serve``."""
    site = Installation(home, options=options)
    site.start()
    try:
        yield site
    finally:
        site.purge()
