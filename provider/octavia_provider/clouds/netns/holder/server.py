# SPDX-License-Identifier: Apache-2.0
"""The holder's loop: answers the control plane on a Unix socket, reaps, keeps relays running.

One connection carries one question and its answer. What is asked is done at once and in order: there is one thread, so
two control planes that ask for the same thing cannot make it twice.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import errors, roots, services, users, wire
from .amphorae import Amphorae
from .containers import Containers
from .fabric import Fabric
from .hosts import Hosts
from .publications import Publications

PAUSE, QUIET = 0.1, 10.0
"""Seconds: after a failure, for what is short now (descriptors, memory) is not had at once; and until it is told again."""
PATIENCE = 5.0
"""Seconds that a caller has to say what it wants."""


class Server:
    """Everything that the holder knows and does."""

    def __init__(self, home: Path, management: str, agent: Sequence[str], machine: int) -> None:
        self._home = home
        self._log = services.BoundedLog(str(home / "log" / "cloud.log"))
        self._output, output = _pipe()
        self._fabric = Fabric(management)
        roots.relays(str(home))
        blocks = users.Blocks(str(home))
        self._containers = Containers(str(home), self._fabric, machine, blocks)
        self._amphorae = Amphorae(home, self._containers, self._fabric, agent)
        self._hosts = Hosts(home, self._containers, self._fabric)
        self._publications = Publications(output, self._log.say, blocks)
        self._network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._complaint = ("", 0.0)
        self._fences: dict[str, tuple[int, int]] = {}
        self._watchers: list[socket.socket] = []
        self._wake, wake = _pipe()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # and with the first process all others end
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def listen(self, path: Path) -> socket.socket:
        """Build the fabric, then the socket: who can connect finds the cloud built."""
        self._fabric.build()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(1024)
        self._log.say(f"the cloud is up: management network {self._fabric.management}")
        return listening

    def serve(self, listening: socket.socket) -> None:
        """Never returns."""
        selector = selectors.DefaultSelector()
        for descriptor in (listening.fileno(), self._output, self._wake):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            due = self._publications.due()
            ready = {key.fd for key, _ in selector.select(None if due is None else max(0.0, due - time.monotonic()))}
            try:
                self._turn(ready, listening)
            except Exception as error:  # noqa: BLE001 - with this process the whole cloud ends: it goes on
                self._complain(f"failed, and going on: {type(error).__name__}: {error}")
                time.sleep(PAUSE)

    def _turn(self, ready: Collection[int], listening: socket.socket) -> None:
        if self._wake in ready:
            os.read(self._wake, 4096)
            self._reap()
        if self._output in ready:
            self._log.write(os.read(self._output, 65536))
        self._publications.tick(time.monotonic())
        if listening.fileno() in ready:
            self._accept(listening)

    def _complain(self, what: str) -> None:
        """In the log, now and then where it is the same again and again."""
        now = time.monotonic()
        if what != self._complaint[0] or now >= self._complaint[1]:
            self._log.say(what)
            self._complaint = (what, now + QUIET)

    def _reap(self) -> None:
        for pid, status in services.reap(self._publications.relays()):
            if self._publications.ended(pid, status):
                continue
            if name := self._containers.ended(pid):
                self._log.say(f"{name} was ended from outside; the control plane builds it again")
                self._tell_watchers({"ended": name})

    def _tell_watchers(self, event: dict[str, Any]) -> None:
        for watcher in list(self._watchers):
            try:
                wire.send(watcher, event)
            except OSError:  # it has gone, or does not read: it looks by itself now and then
                self._watchers.remove(watcher)
                watcher.close()

    def _accept(self, listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(PATIENCE)
            uid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            with contextlib.suppress(OSError, EOFError, ValueError):  # who asks nonsense, or leaves, gets no answer
                if uid not in (0, os.geteuid()):
                    forbidden = errors.Problem(f"user {uid} may not command this cloud", hint="be its owner or root")
                    wire.send(connection, {"error": forbidden.data})
                    return
                message, descriptors = wire.receive(connection)
                answer, passed = self._handle(message, descriptors)
                wire.send(connection, answer, passed)
                if answer.get("retired"):
                    os._exit(0)
                if message.get("do") == "watch":
                    self._watchers.append(connection.dup())
                    self._watchers[-1].setblocking(False)

    def _handle(self, message: Mapping[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], Sequence[int]]:
        do = message.get("do", "")
        try:
            self._require_fence(*message.get("fence", ("", 0, 0)))
            if do == "hello":
                return self._hello(), [self._network]
            if do == "watch":
                return {}, ()
            if do == "publish":
                self._publications.publish(message["publication"], descriptors.pop() if descriptors else None)
                return {}, ()
            return self._do(str(do), message), ()
        except errors.Problem as problem:
            return {"error": problem.data}, ()
        except Exception as error:  # noqa: BLE001 - one question that fails must not end the cloud
            self._log.say(f"{do} failed: {type(error).__name__}: {error}")
            return {"error": errors.told(error)}, ()
        finally:
            wire.close(descriptors)

    def _hello(self) -> dict[str, Any]:
        return {"protocol": wire.PROTOCOL, "home": str(self._home), "gateway": self._fabric.gateway}

    def _do(self, do: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """What has no descriptors. Everything that is asked for by an id may be asked for again."""
        work: dict[str, Callable[[], dict[str, Any] | None]] = {
            "ensure_network": lambda: self._ensure_network(message["id"], message["cidrs"]),
            "delete_network": lambda: self._delete_network(message["id"]),
            "networks": lambda: {"networks": self._fabric.networks()},
            "create_amphora": lambda: self._amphorae.create(message),
            "start_amphora": lambda: self._amphorae.start(message),
            "restart_agent": lambda: self._amphorae.restart(message),
            "readdress_amphora": lambda: self._amphorae.readdress(message),
            "attach": lambda: self._amphorae.attach(message),
            "detach": lambda: self._amphorae.detach(message),
            "delete_amphora": lambda: self._amphorae.delete(message["id"]),
            "amphorae": lambda: {"amphorae": self._amphorae.told()},
            "ensure_host": lambda: self._hosts.ensure(message["spec"]),
            "delete_host": lambda: self._hosts.delete(message["id"]),
            "hosts": lambda: {"running": self._hosts.running()},
            "withdraw": lambda: self._publications.withdraw(message["id"]),
            "publications": lambda: {"publications": self._publications.told()},
            "forget_fences": self._fences.clear,
            "retire": lambda: {"retired": self._empty()},
        }
        if do not in work:
            raise errors.Problem(f"this cloud cannot {do!r}", hint="stop it and start it again: it is older")
        return work[do]() or {}

    def _require_fence(self, scope_id: str, epoch: int, fence: int) -> None:
        """Who was paused in a call is not heard any more, once who has taken its lease was heard."""
        if (epoch, fence) < self._fences.get(scope_id, (0, 0)):
            raise errors.Problem("another control plane has taken the lease", kind="lease_lost", subject=scope_id)
        if scope_id:
            self._fences[scope_id] = (epoch, fence)

    def _empty(self) -> bool:
        return not (
            self._amphorae.told() or self._hosts.running() or self._publications.told() or self._fabric.networks()
        )

    def _ensure_network(self, network_id: str, cidrs: Sequence[str]) -> None:
        wanted = tuple(ipaddress.ip_network(cidr) for cidr in cidrs)
        if self._fabric.cidrs.get(network_id, wanted) != wanted:
            self._require_unused(network_id)
        self._fabric.ensure_network(network_id, wanted)

    def _delete_network(self, network_id: str) -> None:
        self._require_unused(network_id)
        self._fabric.delete_network(network_id)

    def _require_unused(self, network_id: str) -> None:
        if users := self._amphorae.users(network_id) + self._hosts.users(network_id):
            raise errors.Problem(
                f"it is still used by {', '.join(users)}", kind="transient", subject=f"network {network_id}",
                hint="delete what is on it first",
            )  # fmt: skip


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer
