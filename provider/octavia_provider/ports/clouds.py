# SPDX-License-Identifier: Apache-2.0
"""Hosts for amphorae, and what the embedded cloud has besides: networks, hosts, publishing."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

StateVersion = tuple[int, int, int]
"""(epoch, fence, revision): what decides which of two pushes is the newer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vip:
    """An address (IPv4 or IPv6) that an amphora carries. ``prefix`` is the length of its subnet's prefix, ``gateway`` its router.

    ``served``: listeners listen on it. Else it is there to reach members of its family by.
    """

    address: str
    network_id: str
    prefix: int
    gateway: str | None = None
    served: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AmphoraSpec:
    """What is booted. ``files``: absolute path → (mode, content); keys land in memory-backed storage.

    ``files`` is a function of the management address and port, which are known only when the host exists.
    """

    id: str
    load_balancer_id: str
    vips: tuple[Vip, ...]
    files: Callable[[str, int], Mapping[str, tuple[int, bytes]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A host that a cloud made for an amphora.

    ``agent``: address and port of its agent on the management network. ``proxy_address``: where its haproxy must bind
    each listener once more, accepting the PROXY protocol, for publishing; None where nothing is published. ``vips``: the
    addresses that it carries.
    """

    amphora_id: str
    load_balancer_id: str
    agent: tuple[str, int]
    proxy_address: str | None = None
    alive: bool = True
    vips: tuple[str, ...] = ()


class Compute(Protocol):
    """Hosts for amphorae. Names derive from ids and are looked up before anything is made: every call can be repeated."""

    async def boot(self, order: AmphoraSpec) -> Instance:
        """Make the host and start its agent, or find it made. Returns when the host runs (the agent may still start)."""
        ...

    async def hosts(self) -> Sequence[Instance]:
        """All hosts that there are, found in the cloud itself, not remembered."""
        ...

    async def readdress(self, amphora_id: str, vips: Sequence[Vip], *, keep: bool) -> Instance:
        """A host that runs carries these addresses, and with ``keep`` those too that it had. Nothing else changes."""
        ...

    async def restart_agent(self, order: AmphoraSpec) -> None:
        """Write the files of a host that runs again and start its agent anew; what else runs on it goes on."""
        ...

    async def delete(self, amphora_id: str) -> None:
        """Take the host and all of it away; nothing happens when there is none."""
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
class NetworkSpec:
    """A network of the embedded cloud. The first address of ``cidr`` is its gateway, and that of ``ipv6_cidr``."""

    id: str
    cidr: str
    ipv6_cidr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """A host of the embedded cloud: runs ``command`` as ``user``, or forwards ``forward_port`` to this machine."""

    id: str
    network_id: str
    address: str
    prefix: int
    gateway: str
    ipv6_address: str | None = None
    ipv6_prefix: int | None = None
    ipv6_gateway: str | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "nobody"
    forward_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A listener, published on this machine's loopback: ``address:port`` → ``target`` with the PROXY protocol (v2).

    ``transport`` "udp" has no such protocol: who may use it (``allowed``, empty for all) is for the relay to judge, and
    the listener sees the relay's address.
    """

    listener_id: str
    load_balancer_id: str
    address: str
    port: int
    target: tuple[str, int]
    transport: str = "tcp"
    allowed: tuple[str, ...] = ()


class LocalCloud(Compute, Dialer, Protocol):
    """The embedded cloud. All calls are idempotent and bring about what they describe."""

    async def start(self) -> None:
        """Find the cloud that runs, or build its walls, fabric and management network."""
        ...

    async def stop(self, *, unless: Callable[[], Awaitable[bool]] | None = None) -> bool:
        """Take the whole cloud down: holder, namespaces, processes, mounts. True: it is down.

        ``unless`` is asked once nothing more can be made in it; where it says yes nothing is done.
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

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """The network exists."""
        ...

    async def delete_network(self, network_id: str) -> None:
        """The network does not exist."""
        ...

    async def networks(self) -> Sequence[str]:
        """Ids of the networks there are."""
        ...

    async def ensure_host(self, spec: HostSpec) -> None:
        """The host exists and runs what the spec says; a changed spec restarts its command. ``Refused`` says why not."""
        ...

    async def delete_host(self, host_id: str) -> None:
        """The host does not exist."""
        ...

    async def host_running(self) -> Mapping[str, bool]:
        """Host id → whether its command (or forwarder) runs now."""
        ...

    async def publish(self, publication: Publication) -> None:
        """The listener is published; ``Refused`` names the address and port when something else has it."""
        ...

    async def withdraw(self, listener_id: str) -> None:
        """The listener is not published."""
        ...

    async def publications(self) -> Sequence[Publication]:
        """What is published now."""
        ...

    async def pushed(self) -> Mapping[str, Mapping[str, StateVersion]]:
        """Amphora id → load balancer id → the newest push that its agent keeps on disk; what cannot be read is left out."""
        ...
