# SPDX-License-Identifier: Apache-2.0
"""Hosts of the embedded cloud: each runs a command, or forwards a port to the machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import namespaces, roots
from .containers import Containers
from .errors import Problem
from .fabric import Fabric, Interface, names
from .services import prune_logs

PLACE = ("network_id", "address", "prefix", "gateway", "ipv6_address", "ipv6_prefix", "ipv6_gateway")


class Hosts:
    """All hosts, by the specs that they were made of."""

    def __init__(self, home: Path, containers: Containers, fabric: Fabric) -> None:
        self._fabric = fabric
        self._home = home
        self._containers = containers
        self._specs: dict[str, Mapping[str, Any]] = {}
        self._shown: dict[str, list[str]] = {}

    def ensure(self, spec: Mapping[str, Any]) -> None:
        """The host exists and runs what the spec says. Refused, and no host, where that cannot be executed."""
        identity = str(spec["id"])
        name = _name(identity)
        old, container = self._specs.get(identity), self._containers.find(name)
        if old == spec and container is not None:
            return
        shown = roots.named_by(spec["command"], spec["environment"], str(self._home))
        if (
            old is None
            or container is None
            or self._shown.get(identity) != shown
            or any(old[key] != spec[key] for key in PLACE)
        ):
            container = self._containers.create(name, [_interface(spec)], {"kind": "host", "shown": shown})
            self._shown[identity] = shown
            self._fabric.join(_addresses(old) if old else ())
            self._fabric.part(_addresses(spec))
        self._specs.pop(identity, None)
        try:
            container.ask(**_service(spec))
        except Problem as problem:
            self._containers.destroy(name)
            self._fabric.join(_addresses(spec))
            raise Problem(**{**problem.data, "subject": f"host {identity}"}) from problem
        self._specs[identity] = spec

    def delete(self, identity: str) -> None:
        """The host does not exist."""
        self._containers.destroy(_name(identity))
        if old := self._specs.pop(identity, None):
            self._fabric.join(_addresses(old))
        self._shown.pop(identity, None)
        prune_logs(self._home / "log")

    def running(self) -> dict[str, bool]:
        """Host id → whether its command or forwarder runs now."""
        there = names()
        return {identity: self._runs(identity, there) for identity in self._specs}

    def _runs(self, identity: str, there: set[str]) -> bool:
        container = self._containers.find(_name(identity), there)
        try:
            return container is not None and bool(container.ask("status")["pid"])
        except Problem:
            return False

    def users(self, network_id: str) -> list[str]:
        """What is on a network, in words."""
        return [f"host {identity}" for identity, spec in self._specs.items() if spec["network_id"] == network_id]


def _name(identity: str) -> str:
    return f"host-{identity}"


def _addresses(spec: Mapping[str, Any]) -> list[str]:
    return [spec[key] for key in ("address", "ipv6_address") if spec[key]]


def _interface(spec: Mapping[str, Any]) -> Interface:
    families = [("address", "prefix", "gateway"), ("ipv6_address", "ipv6_prefix", "ipv6_gateway")]
    there = [(spec[address], spec[prefix], spec[gateway]) for address, prefix, gateway in families if spec[address]]
    addresses = tuple(f"{address}/{prefix}" for address, prefix, _ in there)
    return Interface("eth0", str(spec["network_id"]), addresses, tuple(gateway for _, _, gateway in there))


def _service(spec: Mapping[str, Any]) -> dict[str, Any]:
    if spec["forward_port"] is not None:
        return {"do": "forward", "id": spec["id"], "port": spec["forward_port"]}
    account = spec["account"]
    environment = {"PATH": namespaces.PATH, "LANG": "C.UTF-8", "HOME": account["home"], "USER": account["name"]}
    return {
        "do": "run",
        "argv": spec["command"],
        "environment": {**environment, **spec["environment"]},
        "identity": account["identity"],
    }
