# SPDX-License-Identifier: Apache-2.0
"""Published listeners: the control plane hands in the listening socket, a relay takes the connections off it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import credentials, datagrams, namespaces, relays, roots, users
from .errors import Problem
from .services import Program, Service, kill_group

PLACE = ("address", "port", "transport")


@dataclass(slots=True)
class Published:
    """``spec``: listener_id, load_balancer_id, address, port, target, transport, allowed, standbys, checks. ``leaving``: relays that
    finish what they have. ``file`` is the name of its relay's configuration: its own, since listeners may change places.
    """

    spec: Mapping[str, Any]
    file: str
    listening: socket.socket
    service: Service
    leaving: set[int] = field(default_factory=set)


class Publications:
    """All that is published."""

    def __init__(self, output: int, say: Callable[[str], None], blocks: users.Blocks) -> None:
        self._output = output
        self._blocks = blocks
        self._say = say
        self._all: dict[str, Published] = {}
        self._files = itertools.count(1)

    def publish(self, spec: Mapping[str, Any], descriptor: int | None) -> None:
        """Publish a listener on the socket given, or on the one that it has, or that another listener of the same load
        balancer has at that place (both change places then). The descriptor is ours from here on."""
        identity = str(spec["listener_id"])
        if descriptor is None:
            self._change_places(identity, spec)
        old = self._all.get(identity)
        same_place = old is not None and all(old.spec[key] == spec[key] for key in PLACE)
        if old is not None and descriptor is None and same_place:
            if old.spec != spec:
                self._retarget(old, spec)
            return
        if descriptor is None:
            raise Problem("it is not published at that address yet", kind="transient", subject=f"listener {identity}")
        self.withdraw(identity)
        listening = socket.socket(fileno=descriptor)
        try:
            file = f"publish-{next(self._files)}"
            published = Published(spec, file, listening, self._service(spec, file, listening))
            published.service.start()
        except BaseException:
            listening.close()
            raise
        self._all[identity] = published

    def withdraw(self, identity: str) -> None:
        """The listener is not published; its connections end."""
        published = self._all.pop(identity, None)
        if published is None:
            return
        published.service.end()
        for pid in published.leaving:
            kill_group(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        published.listening.close()
        relays.remove(published.file, roots.RELAYS)
        self._blocks.give_back(published.file)

    def told(self) -> list[Mapping[str, Any]]:
        """What is published."""
        return [published.spec for published in self._all.values()]

    def relays(self) -> set[int]:
        """The process ids of all relays."""
        return {pid for p in self._all.values() for pid in (p.service.pid, *p.leaving) if pid}

    def ended(self, pid: int, status: int) -> bool:
        """A child of ours ended and was reaped; whether it was a relay."""
        for published in self._all.values():
            if published.service.pid == pid:
                published.service.ended(status)
                return True
            if pid in published.leaving:
                published.leaving.discard(pid)
                return True
        return False

    def due(self) -> float | None:
        """When ``tick`` has to be called next (monotonic)."""
        return min((p.service.due for p in self._all.values() if p.service.due is not None), default=None)

    def tick(self, now: float) -> None:
        """Start relays again whose time has come."""
        for published in self._all.values():
            published.service.tick(now)

    def _retarget(self, published: Published, spec: Mapping[str, Any]) -> None:
        """The kernel keeps connections waiting at the socket while one relay leaves and the next one starts."""
        service = self._service(spec, published.file, published.listening)
        if old := published.service.pid:
            kill_group(old, signal.SIGUSR1)  # haproxy's soft stop: no new connections, the others are finished
            published.leaving.add(old)
        published.spec, published.service = spec, service
        service.start_or_later()

    def _change_places(self, identity: str, spec: Mapping[str, Any]) -> None:
        """The listener takes over what is published at its new place, and that one's listener what this one had.

        Relays and their sockets stay as they are: a relay knows a port of the amphora, and no listener.
        """
        keys = ("load_balancer_id", *PLACE)
        place = tuple(spec[key] for key in keys)
        for other, published in list(self._all.items()):
            if other != identity and tuple(published.spec[key] for key in keys) == place:
                left = self._all.pop(identity, None)
                self._all[identity] = self._all.pop(other)
                published.spec = {**published.spec, "listener_id": identity}
                if left is not None:
                    left.spec = {**left.spec, "listener_id": other}
                    self._all[other] = left
                return

    def _service(self, spec: Mapping[str, Any], file: str, listening: socket.socket) -> Service:
        address, port = spec["target"]
        confinement = credentials.relay(self._blocks.take(file), roots.RELAYS)
        if spec["transport"] == "udp":
            argv = datagrams.command(listening.fileno(), str(address), int(port), spec["allowed"])
            program = Program(
                argv=argv, environment={}, output=self._output, keep=listening.fileno(), confinement=confinement
            )
            return Service(program, self._say)
        standbys, checks = ([(str(a), int(p)) for a, p in spec.get(name, ())] for name in ("standbys", "checks"))
        relay = relays.Relay(listening.fileno(), (str(address), int(port)), True, standbys, checks)
        path = relays.write(file, relay, roots.RELAYS)
        program = Program(
            argv=relays.command(path), environment={"PATH": namespaces.PATH}, output=self._output,
            keep=listening.fileno(), confinement=confinement,
        )  # fmt: skip
        return Service(program, self._say)
