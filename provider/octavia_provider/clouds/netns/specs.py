# SPDX-License-Identifier: Apache-2.0
"""What the embedded cloud is asked for beside amphorae: networks, hosts, publications of listeners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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

    ``standbys``: who takes the connections that the target does not. ``checks``: where the haproxies of the target and of each
    standby are asked whether they work; nobody is asked where there is no standby.
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
    standbys: tuple[tuple[str, int], ...] = ()
    checks: tuple[tuple[str, int], ...] = ()
