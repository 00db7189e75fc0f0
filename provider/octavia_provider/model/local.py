# SPDX-License-Identifier: Apache-2.0
"""What exists in the embedded cloud alone: networks and hosts made of network namespaces."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import common, formats
from .attributes import Rule, attribute, computed


def _network_size(values: Mapping[str, Any]) -> str | None:
    if values["cidr"] is None:
        return None
    network = ipaddress.ip_network(values["cidr"])
    if network.version != 4:
        return "must be an IPv4 network"
    if not 16 <= network.prefixlen <= 29:
        return "must be between a /16 and a /29"
    if not network.is_private or network.is_loopback or network.is_link_local:
        return "must be a private network (RFC 1918)"
    return None


def _ipv6_network_size(values: Mapping[str, Any]) -> str | None:
    if values["ipv6_cidr"] is None:
        return None
    network = ipaddress.ip_network(values["ipv6_cidr"])
    if network.version != 6:
        return "must be an IPv6 network"
    if not 48 <= network.prefixlen <= 120:
        return "must be between a /48 and a /120"
    if not network.is_private or network.is_loopback or network.is_link_local:
        return "must be a private network, as fd12:3456:789a:1::/64 (RFC 4193)"
    return None


def ipv6_subnet_id(network_id: str) -> str:
    """The id of the IPv6 subnet of a network; the IPv4 subnet has the network's own."""
    return str(uuid.uuid5(uuid.UUID(network_id), "ipv6"))


KNOWN_BY = "members refer to the host by this address, which is set when the host is created"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNetwork(common.Resource):
    """A network of the embedded cloud: a bridge inside a namespace of this machine, reached by nobody else."""

    KIND: ClassVar[str] = "local_network"
    LABEL: ClassVar[str] = "network"
    COLLECTION: ClassVar[str] = "networks"
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=("cidr",), at="cidr", check=_network_size, doc="A private IPv4 network between /16 and /29."),
        Rule(
            on=("ipv6_cidr",), at="ipv6_cidr", check=_ipv6_network_size,
            doc="ipv6_cidr is a private IPv6 network between /48 and /120.",
        ),
    )  # fmt: skip

    cidr: str | None = attribute(
        "Its addresses, as 10.1.0.0/24. Chosen when not given. Networks may not overlap.",
        format=formats.cidr, replaces=True, delete_before_replace=True, filled=True, always=True,
        why="every host and VIP in the network has one of its addresses",
    )  # fmt: skip
    ipv6_cidr: str | None = attribute(
        "Its IPv6 addresses, as fd12:3456:789a:1::/64. None when not given. Networks may not overlap.",
        format=formats.cidr, replaces=True, delete_before_replace=True,
        why="hosts and VIPs get their IPv6 address when they are created",
    )  # fmt: skip
    subnet_id: str = computed("The id of its IPv4 subnet, for `vipSubnetId`: the network's own.", default="")
    ipv6_subnet_id: str | None = computed("The id of its IPv6 subnet, for `vipSubnetId` and `additionalVips`.")


def _one_service(values: Mapping[str, Any]) -> str | None:
    if bool(values["command"]) == (values["forward_port"] is not None):
        return "is required, or forward_port, and not both: a host runs a command or forwards to this machine"
    return None


def _names_of_variables(values: Mapping[str, Any]) -> str | None:
    """No name is told: NAME=value in its place holds what may be a secret."""
    if any(not name or "=" in name or "\0" in name for name in values["environment"]):
        return "has a variable whose name is empty, or holds = or NUL: give NAME and value apart"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHost(common.Resource):
    """A host of the embedded cloud: a namespace that runs a command, or forwards to a port of this machine."""

    KIND: ClassVar[str] = "local_host"
    LABEL: ClassVar[str] = "host"
    COLLECTION: ClassVar[str] = "hosts"
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=("command", "forward_port"), at="command", check=_one_service, doc="A command or a port, not both."),
        Rule(
            on=("environment",),
            at="environment",
            check=_names_of_variables,
            doc="Names of environment variables are not empty and hold no =.",
        ),
    )

    network_id: str = attribute(
        "The network it stands in.", required=True, format=formats.uuid_string, replaces=True,
        reference="local_network", why="its interface and its address are of that network",
    )  # fmt: skip
    address: str | None = attribute(
        "Its address. Chosen from the network when not given.",
        format=formats.ip_address, replaces=True, filled=True, always=True, why=KNOWN_BY,
    )  # fmt: skip
    ipv6_address: str | None = attribute(
        "Its IPv6 address, on a network with `ipv6Cidr`. Chosen when not given.",
        format=formats.ip_address, replaces=True, filled=True, why=KNOWN_BY,
    )  # fmt: skip
    command: tuple[str, ...] = attribute(
        "What it runs, as a list of arguments; started again when it ends.",
        default=(), max_length=131_072, format=formats.command_argument, cost="the command is restarted",
    )  # fmt: skip
    environment: dict[str, str] = attribute(
        "Environment variables of the command. The API never shows them.",
        default={},
        max_length=131_072,
        format=formats.command_argument,
        sealed=True,
        cost="the command is restarted",
    )
    user: str = attribute(
        "The user that runs the command.",
        default="nobody",
        format=formats.user_name,
        cost="the command is restarted",
    )
    forward_port: int | None = attribute(
        "Instead of a command: connections to this port of the host go to the same port of this machine's 127.0.0.1.",
        minimum=1, maximum=65535, cost="open connections end",
    )  # fmt: skip
    running: bool = computed("Whether the command runs.", volatile=True, default=False)
