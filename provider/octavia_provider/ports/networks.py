# SPDX-License-Identifier: Apache-2.0
"""Where addresses come from, and which networks there are to choose from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from .clouds import Vip
from .identity import Named
from .records import Record
from .store import Transaction


class Networks(Protocol):
    """The networks of a cloud: ``LocalAllocation`` or ``RemoteAllocation``."""

    @property
    def unsupported(self) -> Mapping[str, str]:
        """What a flavor or an availability zone may not ask of this cloud: attribute of their data → why."""
        ...


@runtime_checkable
class LocalAllocation(Networks, Protocol):
    """Addresses are kept in the store alone: they are given in the transaction of a POST, and what it takes is taken or
    nothing. No call may leave this process: the only writer waits for it."""

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

    def own(self, tx: Transaction, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        """An amphora's own addresses, one in each subnet of the VIPs' network; ``Conflict`` where none is free. They are given
        back with the amphora (``Transaction.delete_amphora``): their holder is ``load_balancer_id/amphora_id``."""
        ...

    def require_room(self, tx: Transaction, load_balancer: Record, leaving: Collection[str]) -> None:
        """``Conflict`` where the network has no addresses for what is to replace these amphorae, one after the other. Takes none."""
        ...

    def give_back(self, tx: Transaction, load_balancer_id: str, carried: Iterable[str]) -> None:
        """Free what the load balancer holds, less what its spec names and what its amphorae carry or are about to (``carried``)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a cloud has allocated for a load balancer.

    ``values``: of its spec, with what the cloud has chosen: the four attributes of the VIP, and ``additional_vips``.
    ``vips``: what its amphorae carry, as ``LocalAllocation.vips``.
    """

    values: Mapping[str, Any]
    vips: tuple[Vip, ...]


@runtime_checkable
class RemoteAllocation(Networks, Protocol):
    """Addresses are asked for elsewhere (Neutron), which takes its time: it is a step of the plan, and nobody's transaction
    waits for it. All calls can be repeated: what they make is named from ids and looked up first."""

    async def allocate(self, load_balancer: Record) -> Allocation:
        """Every VIP of its spec has an address: the one that is named, or the one that it has already, or another.

        ``Invalid`` and ``Conflict`` as ``LocalAllocation.place``.
        """
        ...

    async def own(self, load_balancer: Record, amphora_id: str) -> tuple[Vip, ...]:
        """An amphora's own addresses, one in each subnet of the VIPs' network; they are given back by ``release``."""
        ...

    async def release(self, load_balancer_id: str, keep: Collection[str]) -> None:
        """Give back what was allocated for it but these addresses; () when it goes. Of an amphora group too, whose amphorae are gone then."""
        ...


@runtime_checkable
class NetworkLookup(Protocol):
    """A cloud that can be asked whether what a request names is there."""

    async def missing(self, named: Collection[Named]) -> frozenset[Named]:
        """Those that the control plane's own user does not find: of ``networks``, ``subnets`` and ``ports``."""
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
