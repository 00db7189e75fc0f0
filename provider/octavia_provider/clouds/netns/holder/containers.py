# SPDX-License-Identifier: Apache-2.0
"""Containers: amphorae and hosts alike. A container is a set of namespaces with a first process (``container_init``) and its ports."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import container_init, errors, kernel, limits, namespaces, users, wire
from .fabric import Fabric, Interface

PATIENCE = 5.0
"""Seconds that a first process has for an answer; it needs some milliseconds."""


@dataclass(slots=True)
class Container:
    """One amphora or host. ``pid`` is that of its first process, ``network`` the number of its network namespace."""

    name: str
    pid: int
    channel: socket.socket
    interfaces: tuple[Interface, ...]
    network: int
    silent: bool = False

    def ask(self, do: str, **message: Any) -> dict[str, Any]:
        """Ask its first process. The Problem that it met, or one that says that it does not answer.

        One that did not answer in time is not asked again: its answer might come when another one is expected.
        """
        try:
            wire.send(self.channel, {"do": do, **message})
            answer, _ = wire.receive(self.channel)
        except (OSError, EOFError) as error:
            self.silent = True
            raise errors.Problem("its first process does not answer", kind="transient", subject=self.name) from error
        return _good(answer)

    def readdress(self, interfaces: Sequence[Interface], told: Collection[str] | None = None) -> None:
        """Change the addresses of its interfaces, while it runs. ``told``: those that neighbours are told of, None for all."""
        there = {"old": [asdict(i) for i in self.interfaces], "new": [asdict(i) for i in interfaces]}
        self.ask("readdress", **there, told=None if told is None else sorted(told))
        self.interfaces = tuple(interfaces)


def _good(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise errors.raised(answer["error"])
    return answer


class Containers:
    """What there is behind the walls. The kernel decides whether a container is whole; this only knows where to look."""

    def __init__(self, home: str, fabric: Fabric, machine: int, blocks: users.Blocks) -> None:
        self._home = home
        self._fabric = fabric
        self._blocks = blocks
        self._groups = limits.Groups(home)
        self._machine = machine
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._all: dict[str, Container] = {}

    def create(self, name: str, interfaces: Sequence[Interface], order: Mapping[str, Any]) -> Container:
        """Make the namespaces of a container with its interfaces; what was left of one of that name goes first."""
        self.destroy(name, interfaces)
        order = {
            "name": name, "home": self._home, "block": self._blocks.take(name),
            "log": f"{self._home}/log/{name}.log", **order,
        }  # fmt: skip
        ours, theirs = socket.socketpair()
        ours.settimeout(PATIENCE)
        try:
            pid = self._fork(theirs, order)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        container = Container(name, pid, ours, tuple(interfaces), 0)
        self._all[name] = container
        try:
            self._groups.enter(name, pid, **limits.of_a_tenant(order["kind"], order.get("seats", 0)))
            _good(wire.receive(ours)[0])
            container.network = namespaces.name_network(name, pid)
            self._fabric.plug(name, pid, interfaces)
            container.ask("configure", interfaces=[asdict(interface) for interface in interfaces])
        except BaseException:
            self.destroy(name)
            raise
        return container

    def rewire(self, container: Container, interfaces: Sequence[Interface], told: Collection[str]) -> None:
        """Give a container that runs these interfaces and addresses: plug in what is new, and unplug what is not there any more."""
        had, wanted = ({one.name for one in these} for these in (container.interfaces, interfaces))
        gone = [one for one in container.interfaces if one.name not in wanted]
        new = [one for one in interfaces if one.name not in had]
        self._fabric.unplug(container.name, new)  # a try that came to no end has left them
        self._fabric.plug(container.name, container.pid, new)
        try:
            container.readdress(interfaces, told)
        except BaseException:
            self._fabric.unplug(container.name, new)
            raise
        self._fabric.unplug(container.name, gone)

    def _fork(self, channel: socket.socket, order: Mapping[str, Any]) -> int:
        """Fork the first process of a new PID namespace; only children of ours go there, and we come back at once."""
        kernel.unshare(kernel.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                container_init.main(channel, self._machine, order)
        finally:
            kernel.setns(self._own, kernel.CLONE_NEWPID)
        return pid

    def find(self, name: str, there: set[str] | None = None) -> Container | None:
        """The container if it is whole: its first process runs and answers, its namespace has its name, its ports are plugged in."""
        container = self._all.get(name)
        if (
            container is None
            or container.silent
            or not _runs(container.pid)
            or namespaces.named_network(name) != container.network
        ):
            return None
        return container if self._fabric.plugged(name, container.interfaces, there) else None

    def destroy(self, name: str, interfaces: Sequence[Interface] = ()) -> None:
        """End all of its processes, and take its namespaces and ports away; nothing happens when there is nothing."""
        container = self._all.pop(name, None)
        self._fabric.unplug(name, (*interfaces, *(container.interfaces if container else ())))
        namespaces.unname_network(name)
        if container is not None:
            end(container.pid)
            container.channel.close()
        self._groups.leave(name)
        self._blocks.give_back(name)

    def ended(self, pid: int) -> str | None:
        """A child of ours ended and was reaped: the name of the container whose first process it was."""
        for container in self._all.values():
            if container.pid == pid:
                container.pid = 0
                return container.name
        return None


def _runs(pid: int) -> bool:
    """Whether our child runs; one that ended and is not reaped yet does not."""
    if not pid:
        return False
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is None


def end(pid: int) -> None:
    """Kill the first process of a PID namespace: when it is reaped, all others in it are gone (pid_namespaces(7))."""
    if not pid:
        return
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
