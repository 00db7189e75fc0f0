# SPDX-License-Identifier: Apache-2.0
"""Where addresses come from, and which networks there are to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .clouds import Vip
from .store import Record, Transaction


class Networks(Protocol):
    """Where addresses come from. Asked inside the write transaction of a POST, so what it takes is taken or nothing."""

    @property
    def unsupported(self) -> Mapping[str, str]:
        """What a flavor or an availability zone may not ask of this cloud: attribute of their data → why."""
        ...

    def place(self, tx: Transaction, kind: str, id: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: A002
        """What the cloud chooses for a new object: values that replace those of ``spec`` (``vip_address``, ``cidr``, …).

        ``Invalid`` with the path when what was asked cannot be had in this cloud, ``Conflict`` when it is taken.
        """
        ...

    def change(self, tx: Transaction, record: Record, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same for an object that is there and is to have ``spec``; addresses it has are kept until ``give_back``."""
        ...

    def vips(self, tx: Transaction, load_balancer: Record) -> tuple[Vip, ...]:
        """What its amphorae carry: every VIP, the first being the one it was made with, and what members are reached by."""
        ...

    def give_back(self, tx: Transaction, load_balancer_id: str, carried: Iterable[str]) -> None:
        """Free what the load balancer holds, less what its spec names and what its amphorae carry (``carried``)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSubnet:
    """A subnet that a VIP or a member can be in."""

    id: str
    name: str
    cidr: str
    ip_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedNetwork:
    """A network that a VIP can be in."""

    id: str
    name: str
    project_id: str
    subnets: tuple[ListedSubnet, ...]
    created_at: str = ""
    updated_at: str | None = None


class NetworkDirectory(Protocol):
    """Which networks there are, of a cloud that has no Neutron whom clients could ask."""

    def networks(self, tx: Transaction) -> Sequence[ListedNetwork]:
        """All of them, in the order of creation."""
        ...
