# SPDX-License-Identifier: Apache-2.0
"""Amphorae: two addresses on the management network, interfaces for their VIPs, files, an agent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import interpreter, namespaces, roots, seats
from .containers import Container, Containers
from .errors import Problem
from .fabric import MANAGEMENT, Fabric, Interface, names
from .seats import Seat
from .services import prune_logs

FOLDERS = (namespaces.AMPHORA_ETC, namespaces.AMPHORA_RUN, namespaces.AMPHORA_STATE)


@dataclass(slots=True)
class Amphora:
    """``addresses``: the agent's, and the one where haproxy binds for publishing. ``started``: the agent was started. ``shared``:
    it is one of a group, and load balancers may have ``seats`` on it, by their ids."""

    id: str
    load_balancer_id: str
    addresses: tuple[str, str]
    vips: Sequence[Mapping[str, Any]]
    started: bool = False
    shared: bool = False
    seats: dict[str, Seat] = field(default_factory=dict)

    @property
    def all_vips(self) -> list[Mapping[str, Any]]:
        """Those of its seats too."""
        return [*self.vips, *(vip for seat in self.seats.values() for vip in seat.vips)]


class Amphorae:
    """All amphorae."""

    def __init__(self, home: Path, containers: Containers, fabric: Fabric, agent: Sequence[str]) -> None:
        self._home = home
        self._containers = containers
        self._fabric = fabric
        self._agent = tuple(agent)
        self._all: dict[str, Amphora] = {}
        self._addresses = self._rotate()

    def _rotate(self) -> Iterator[str]:
        """Management addresses, round and round: one that was given back is not given out again soon."""
        while True:
            for host in range(2, self._fabric.management.num_addresses - 1):
                yield str(self._fabric.management[host])

    def _free_address(self) -> str:
        taken = {address for amphora in self._all.values() for address in amphora.addresses}
        taken |= {address for one in self._all.values() for seat in one.seats.values() for address in seat.addresses}
        for _ in range(self._fabric.management.num_addresses):
            address = next(self._addresses)
            if address not in taken:
                return address
        raise Problem(f"the management network {self._fabric.management} has no free address")

    def create(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Make the namespaces of an amphora, or find them whole; says its addresses and whether its agent was started."""
        identity, vips = str(message["id"]), message["vips"]
        name = _name(identity)
        self._fabric.ensure_management()
        known = self._all.get(identity)
        if known is not None and known.vips == vips and self._containers.find(name):
            return _told(known)
        addresses = known.addresses if known else (self._free_address(), self._free_address())
        interfaces = (self._management(addresses), *seats.interfaces(vips))
        if not self._all and (hidden := interpreter.unreadable()):
            raise Problem(f"its agent, an unprivileged user, could not read {hidden}", hint=f"`chmod -R o+rX {hidden}`")
        order = {
            "kind": "amphora", "state": str(self._state(identity)), "shown": roots.python(self._agent),
            "seats": message.get("seats", 0),
        }  # fmt: skip
        self._containers.create(name, interfaces, order)
        known = Amphora(identity, str(message["load_balancer_id"]), addresses, vips, shared=bool(message.get("seats")))
        self._all[identity] = known
        return _told(known)

    def start(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files of an amphora and start its agent, unless it was started."""
        known, container = self._prepared(message)
        if not known.started:
            container.ask("files", files=message["files"])
            container.ask("run", argv=self._agent, environment=_environment(), identity=None)
            known.started = True
        return _told(known)

    def restart(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files of an amphora again, and end its agent and start it anew."""
        known, container = self._prepared(message)
        if not known.started:
            return self.start(message)
        container.ask("files", files=message["files"])
        container.ask("restart")
        return _told(known)

    def _prepared(self, message: Mapping[str, Any]) -> tuple[Amphora, Container]:
        """The amphora that files are for; they are where such files may be."""
        identity = str(message["id"])
        subject = f"amphora {identity}"
        for path in message["files"]:
            if not path.startswith(tuple(f"{folder}/" for folder in FOLDERS)) or ".." in path:
                raise Problem(f"{path} is not in {', '.join(FOLDERS)}", subject=subject, hint="put its files there")
        return self._running(identity)

    def _running(self, identity: str) -> tuple[Amphora, Container]:
        known, container = self._all.get(identity), self._containers.find(_name(identity))
        if known is None or container is None:
            raise Problem("it is gone", kind="transient", subject=f"amphora {identity}")
        return known, container

    def readdress(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Give an amphora these VIPs, on the networks that it has; with ``keep`` it does not lose those that it had."""
        identity, vips = str(message["id"]), list(message["vips"])
        known, container = self._running(identity)
        if message["keep"]:
            vips += [vip for vip in known.vips if vip not in vips]
        interfaces = (self._management(known.addresses), *seats.interfaces(vips))
        if [i.network_id for i in interfaces] != [i.network_id for i in container.interfaces]:
            raise Problem("its VIPs are on other networks than its interfaces", subject=f"amphora {identity}")
        container.readdress(interfaces)
        known.vips = vips
        return _told(known)

    def attach(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Give a load balancer a seat on an amphora, or its seat these VIPs; with ``keep`` it does not lose those that it had."""
        host, container = self._running(str(message["host_id"]))
        if not host.shared:
            raise Problem("it is not one of a group", subject=f"amphora {host.id}")
        owner, vips = str(message["load_balancer_id"]), list(message["vips"])
        had = host.seats.get(owner)
        if message["keep"] and had:
            vips += [vip for vip in had.vips if vip not in vips]
        addresses = had.addresses if had else (self._free_address(), self._free_address())
        seat = Seat(str(message["id"]), owner, addresses, vips)
        if seat != had:
            self._rewire(host, container, {**host.seats, owner: seat}, vips)
        return _told_seat(host, seat)

    def detach(self, message: Mapping[str, Any]) -> None:
        """Nothing of a load balancer is on an amphora."""
        identity, owner = str(message["host_id"]), str(message["load_balancer_id"])
        host, container = self._all.get(identity), self._containers.find(_name(identity))
        if host is None or owner not in host.seats:
            return
        left = {id_: seat for id_, seat in host.seats.items() if id_ != owner}
        if container is None:  # it is ruined; what is built in its place has no seats
            host.seats = left
        else:
            self._rewire(host, container, left, ())

    def _rewire(
        self, host: Amphora, container: Container, wanted: dict[str, Seat], announced: Sequence[Mapping[str, Any]]
    ) -> None:
        after = replace(host, seats=wanted)
        interfaces = seats.shared_interfaces(container.name, after.all_vips, container.interfaces[1:])
        told = {f"{vip['address']}/{vip['prefix']}" for vip in announced}
        self._containers.rewire(container, (self._management(self._entrances(after)), *interfaces), told)
        host.seats = wanted

    @staticmethod
    def _entrances(host: Amphora) -> tuple[str, ...]:
        return (*host.addresses, *(address for seat in host.seats.values() for address in seat.addresses))

    def delete(self, identity: str) -> None:
        """The amphora and all that it kept are gone."""
        self._containers.destroy(_name(identity))
        self._all.pop(identity, None)
        shutil.rmtree(self._state(identity), ignore_errors=True)
        prune_logs(self._home / "log")

    def told(self) -> list[dict[str, Any]]:
        """All amphorae; ``alive``: its namespaces are whole and its agent is kept running."""
        there, found = names(), []
        for amphora in self._all.values():
            alive = amphora.started and self._containers.find(_name(amphora.id), there) is not None
            these = (_told(amphora), *(_told_seat(amphora, seat) for seat in amphora.seats.values()))
            found += [{**one, "alive": alive} for one in these]
        return found

    def users(self, network_id: str) -> list[str]:
        """What is on a network, in words."""
        return [f"amphora {a.id}" for a in self._all.values() if any(v["network_id"] == network_id for v in a.all_vips)]

    def _state(self, identity: str) -> Path:
        return self._home / "cloud" / "amphorae" / identity

    def _management(self, addresses: tuple[str, ...]) -> Interface:
        prefix = self._fabric.management.prefixlen
        return Interface("eth0", MANAGEMENT, tuple(f"{address}/{prefix}" for address in addresses))


def _name(identity: str) -> str:
    return f"amphora-{identity}"


def _environment() -> dict[str, str]:
    python = {name: os.environ[name] for name in ("PYTHONPATH", "PYTHONHOME") if name in os.environ}
    return {"PATH": namespaces.PATH, "LANG": "C.UTF-8", "HOME": "/", "PYTHONUNBUFFERED": "1", **python}


def _told(amphora: Amphora) -> dict[str, Any]:
    return {
        "id": amphora.id,
        "load_balancer_id": amphora.load_balancer_id,
        "addresses": amphora.addresses,
        **seats.carried(amphora.vips),
        "started": amphora.started,
    }


def _told_seat(host: Amphora, seat: Seat) -> dict[str, Any]:
    proxy, health = seat.addresses
    return {
        "id": seat.id,
        "load_balancer_id": seat.load_balancer_id,
        "host": host.id,
        "addresses": (host.addresses[0], proxy),
        "health_address": health,
        **seats.carried(seat.vips),
    }
