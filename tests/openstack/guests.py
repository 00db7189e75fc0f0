# SPDX-License-Identifier: Apache-2.0
"""What runs in the guests of Nova's fake hypervisor, which runs nothing: for each ACTIVE server a real agent with a real haproxy on this
machine, from the files of the server's user_data, at the address of its management port. Networks are loopback ranges, so
haproxy can listen on the VIP. Not shown so: an image, a boot, interfaces, VRRP."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

import msgspec

from octavia_amphora.wire.messages import AgentConfig
from octavia_provider.clouds.openstack import user_data

INTERVAL = 0.3
SETTINGS = "/etc/octavia-amphora/agent.json"


class Guests:
    """``with Guests(project.user):`` — servers come alive and end with Nova's."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._running: dict[str, tuple[subprocess.Popen[bytes], tempfile.TemporaryDirectory[str]]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self.files: dict[str, dict[str, tuple[int, bytes]]] = {}
        """of each server that was booted, by its name"""
        self.failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for id_ in list(self._running):
            self._end(id_)
        if self.failure is not None:
            raise self.failure

    def _follow(self) -> None:
        while not self._ending.wait(INTERVAL):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - raised where the test ends
                self.failure = error
                return

    def _look(self) -> None:
        there = {one.id: one for one in self._connection.compute.servers() if one.status == "ACTIVE"}
        for id_ in self._running.keys() - there.keys():
            self._end(id_)
        for id_, server in there.items():
            if id_ not in self._running and server.user_data:
                self._boot(id_, server)

    def _boot(self, id_: str, server: Any) -> None:
        files = self.files[server.name] = user_data.decode(server.user_data)
        folder = tempfile.TemporaryDirectory(prefix="oct-", ignore_cleanup_errors=True)  # short: sockets
        root = Path(folder.name)
        for path, (mode, content) in files.items():
            if path == user_data.INTERFACES:
                continue  # without it the agent leaves this machine's interfaces alone
            target = root / Path(path).name
            target.write_bytes(content)
            target.chmod(mode)
        settings = msgspec.json.decode(files[SETTINGS][1], type=AgentConfig)
        here = {name: str(root / Path(getattr(settings, name)).name) for name in ("certificate", "key", "authority")}
        places = {"state_directory": str(root / "state"), "run_directory": str(root / "run"), "haproxy_user": ""}
        (root / "agent.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(settings, **here, **places)))
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
        with (root / "agent.log").open("ab") as log:
            process = subprocess.Popen([*command, "--config", str(root / "agent.json")], stdout=log, stderr=log)
        self._running[id_] = process, folder

    def _end(self, id_: str) -> None:
        process, folder = self._running.pop(id_)
        process.kill()
        process.wait()
        folder.cleanup()
