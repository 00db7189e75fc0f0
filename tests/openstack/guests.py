# SPDX-License-Identifier: Apache-2.0
"""What runs in the guests of Nova's fake hypervisor, which runs nothing: for each ACTIVE server a real agent with a real haproxy on this
machine, from the files of the server's user_data, at the address of its management port. Networks are loopback ranges, so
haproxy can listen on the VIP. Not shown so: an image, a boot, interfaces, VRRP."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import msgspec

from octavia_amphora.wire.messages import AgentConfig
from octavia_provider.clouds.openstack import user_data

from .project import Project

INTERVAL = 0.3
SHARE = 0.2
"""Of the time, at most, in which OpenStack is asked what there is: where it is slow, these looks were more than half of Nova's requests."""
SETTINGS = "/etc/octavia-amphora/agent.json"


class Process:
    """A guest that is an agent on this machine, in a PID namespace of its own."""

    def __init__(self, folder: Path) -> None:
        command = [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
            "-m",
            "octavia_amphora.main",
        ]
        with (folder / "agent.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "--config", str(folder / "agent.json")], stdout=log, stderr=log)

    def kill(self) -> None:
        """All of it is gone."""
        self._process.kill()
        self._process.wait()


class Guests:
    """``with Guests(project):`` — servers come alive and end with Nova's. ``running``: by the server's id."""

    def __init__(self, project: Project) -> None:
        self._connection = project.user
        self._details = project.admin.compute  # Nova shows the user data of servers to administrators
        self.running: dict[str, tuple[Any, tempfile.TemporaryDirectory[str]]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._without: set[str] = set()  # servers that are no amphorae
        self.files: dict[str, dict[str, tuple[int, bytes]]] = {}
        """of each server that was booted, by its name"""
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        for id_ in list(self.running):
            self.end(id_)
        if self.failure is not None:
            raise self.failure

    def take(self, path: str) -> bool:
        """Whether a guest gets this file."""
        return path != user_data.INTERFACES  # without it the agent leaves this machine's interfaces alone

    def boot(self, folder: Path) -> Any:
        """Start a guest with the files in a folder."""
        return Process(folder)

    def start(self, server: Any) -> None:
        """A server's guest begins. ``server``: with ``id``, ``name`` and ``user_data``."""
        folder = self._unpacked(server)
        self.running[server.id] = self.boot(Path(folder.name)), folder

    def look(self) -> None:
        """Once: what runs is what Nova has ACTIVE. For the details of servers Nova would ask Neutron each time."""
        compute = self._connection.compute
        there = {one.id for one in compute.servers(details=False, status="ACTIVE")}
        for id_ in self.running.keys() - there:
            self.end(id_)
        for id_ in there - self.running.keys() - self._without:
            server = self._details.find_server(id_)
            if server is not None and not server.user_data:
                self._without.add(id_)
            elif server is not None:
                self.start(server)

    def _follow(self) -> None:
        pause = INTERVAL
        while not self._ending.wait(pause):
            began = time.monotonic()
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - raised where the test ends
                self.failure = error
                return
            pause = max(INTERVAL, (1 / SHARE - 1) * (time.monotonic() - began))

    def _unpacked(self, server: Any) -> tempfile.TemporaryDirectory[str]:
        files = self.files[server.name] = user_data.decode(server.user_data)
        folder = tempfile.TemporaryDirectory(prefix="oct-", ignore_cleanup_errors=True)  # short: sockets
        root = Path(folder.name)
        for path, (mode, content) in files.items():
            if self.take(path):
                target = root / Path(path).name
                target.write_bytes(content)
                target.chmod(mode)
        settings = msgspec.json.decode(files[SETTINGS][1], type=AgentConfig)
        here = {name: str(root / Path(getattr(settings, name)).name) for name in ("certificate", "key", "authority")}
        places = {"state_directory": str(root / "state"), "run_directory": str(root / "run"), "haproxy_user": ""}
        (root / "agent.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(settings, **here, **places)))
        return folder

    def end(self, id_: str) -> None:
        """A server's guest is gone."""
        guest, folder = self.running.pop(id_)
        guest.kill()
        folder.cleanup()
