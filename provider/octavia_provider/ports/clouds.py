# SPDX-License-Identifier: Apache-2.0
"""What a cloud is to the control plane: instances for amphorae, sockets to them, an inventory, a life of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from octavia_amphora.wire.interfaces import Interface

StateVersion = tuple[int, int, int]
"""(epoch, fence, revision): what decides which of two pushes is the newer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vip:
    """An address (IPv4 or IPv6) that an amphora carries. ``prefix`` is the length of its subnet's prefix, ``gateway`` its router.

    ``served``: listeners listen on it. Else it is there to reach members of its family by, and the amphora's own.
    ``shared``: VRRP decides which amphora of a pair has it on the network; each has it where listeners can listen on it.
    """

    address: str
    network_id: str
    prefix: int
    gateway: str | None = None
    served: bool = True
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AmphoraSpec:
    """What is booted. ``files``: absolute path → (mode, content); keys land in memory-backed storage.

    ``files`` is a function of the management address and port, which are known only when the host exists. ``flavor``: what the host
    is to be like (``model.flavor.BOOTED``). ``zone``: where it is to be (``model.availability_zone``). ``apart_from``: amphorae that should not share a fate with this one, where a cloud has
    failure domains (a server group with anti-affinity, zones). ``seats``: so many load balancers are put on it later, one by one
    (``Compute.attach``); it is one of a group then, ``load_balancer_id`` is that of the group, and it has no ``vips`` of its own.
    """

    id: str
    load_balancer_id: str
    vips: tuple[Vip, ...]
    files: Callable[[str, int], Mapping[str, tuple[int, bytes]]]
    flavor: Mapping[str, Any] = field(default_factory=dict)
    zone: Mapping[str, Any] = field(default_factory=dict)
    apart_from: tuple[str, ...] = ()
    seats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatSpec:
    """A place for one load balancer on the instance of another amphora (``host_id``), which is shared with others.

    ``id``: of the load balancer's own amphora, which has no instance of its own. A load balancer has one seat on a host at most.
    """

    id: str
    host_id: str
    load_balancer_id: str
    vips: tuple[Vip, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A host that a cloud made for an amphora.

    ``agent``: address and port of its agent on the management network. ``proxy_address``: where its haproxy must bind
    each listener once more, accepting the PROXY protocol, for publishing; None where nothing is published. ``health_address``: where
    one of a pair says to who publishes it whether its haproxy works. ``vips``: the
    addresses that it carries by itself; ``shared``: those that it carries as one of a pair (``Vip.shared``). For a moment it
    may carry one in both ways (``Compute.readdress``).

    ``host``: it is a seat (``SeatSpec``) on the instance of that amphora, whose agent it is, and by whose name that agent answers.

    ``interfaces``: what its agent has to make of those that the cloud has plugged in, but that of the management network; () where the cloud
    configures them itself.
    ``image_id``: of the image that it was made from, where the cloud has such. ``compute_id``: what the cloud calls it; None: by the amphora's id.
    """

    amphora_id: str
    load_balancer_id: str
    agent: tuple[str, int]
    proxy_address: str | None = None
    health_address: str | None = None
    alive: bool = True
    vips: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    host: str | None = None
    interfaces: tuple[Interface, ...] = ()
    image_id: str | None = None
    compute_id: str | None = None


class Compute(Protocol):
    """Hosts for amphorae. Names derive from ids and are looked up before anything is made: every call can be repeated."""

    async def boot(self, order: AmphoraSpec) -> Instance:
        """Make the host and start its agent, or find it made. Returns when the host runs (the agent may still start)."""
        ...

    async def instances(self, load_balancer_id: str) -> Sequence[Instance]:
        """Those of one load balancer, seats too, found in the cloud itself, not remembered. Of a group: its hosts."""
        ...

    async def readdress(self, amphora_id: str, vips: Sequence[Vip], *, keep: bool) -> Instance:
        """A host that runs carries these addresses, and with ``keep`` those too that it had. Nothing else changes."""
        ...

    async def attach(self, seat: SeatSpec, *, keep: bool) -> Instance:
        """A host that runs carries the addresses of this load balancer too, and with ``keep`` those too that it had of it.

        Those of other load balancers stay as they are. It gets an interface where it had none on their network, while it runs.
        """
        ...

    async def detach(self, host_id: str, load_balancer_id: str) -> None:
        """A host carries nothing of this load balancer; nothing happens where it does not, or where there is no such host."""
        ...

    async def restart_agent(self, order: AmphoraSpec) -> None:
        """Write the files of a host that runs again and start its agent anew; what else runs on it goes on."""
        ...

    async def delete(self, amphora_id: str) -> None:
        """Take the host and all of it away, seats too; nothing happens when there is none."""
        ...


class Dialer(Protocol):
    """How sockets to and from the management network are opened."""

    def connect_socket(self, family: int) -> socket.socket:
        """A fresh TCP socket in the management network, not connected."""
        ...

    def heartbeat_socket(self) -> socket.socket:
        """A UDP socket bound in the management network, where heartbeats come in."""
        ...

    @property
    def heartbeat_receiver(self) -> str:
        """``address:port`` of that socket, as amphorae see it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudResource:
    """Something that a cloud has beside amphorae, made for the object of this ``kind`` and ``id``; ``words`` name it to people.

    ``running``: whether it does its work. ``parts``: the ids, in the cloud, of what it consists of.
    """

    kind: str
    id: str
    words: str
    running: bool = True
    parts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a cloud has, looked at once. ``pushed``: see ``Cloud.pushed``."""

    instances: Sequence[Instance] = ()
    resources: Sequence[CloudResource] = ()
    pushed: Mapping[str, Mapping[str, StateVersion]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing runs in it."""
        return not (self.instances or self.resources)

    def has(self, kind: str, id: str) -> bool:  # noqa: A002
        """Whether there is something of this object."""
        return any(resource.kind == kind and resource.id == id for resource in self.resources)

    def parts(self, kind: str, id: str) -> frozenset[str]:  # noqa: A002
        """What there is of this object."""
        found = (resource.parts for resource in self.resources if resource.kind == kind and resource.id == id)
        return frozenset[str]().union(*found)


class Cloud(Compute, Dialer, Protocol):
    """A whole cloud. All calls are idempotent and bring about what they describe."""

    async def start(self) -> None:
        """Find the cloud and be ready to use it; build it where it is ours to build."""
        ...

    async def stop(self, *, unless: Callable[[], Awaitable[bool]] | None = None) -> bool:
        """Nothing is wanted of it any more: take it down where it is ours. True: nothing of ours runs in it.

        ``unless`` is asked once we make nothing more in it; where it says yes, or others have something in it, nothing is done.
        """
        ...

    async def close(self) -> None:
        """Let go of it: everything in it goes on running."""
        ...

    def ended(self) -> AsyncIterator[None]:
        """Each time something in the cloud has ended by itself; it comes to an end with the cloud, or where that cannot tell."""
        ...

    async def lost(self) -> None:
        """Return when the cloud that is there now has ended: sockets that were opened in it lead nowhere then."""
        ...

    async def inventory(self) -> Inventory:
        """All that there is of ours, without ``pushed``."""
        ...

    async def pushed(self) -> Mapping[str, Mapping[str, StateVersion]]:
        """Amphora id → load balancer id → the newest push that its agent keeps on disk; what cannot be read is left out."""
        ...
