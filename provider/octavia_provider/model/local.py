# SPDX-License-Identifier: Apache-2.0
"""What exists in the embedded cloud alone: networks and hosts made of network namespaces."""

import ipaddress
import uuid
from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .metadata import Always, Cost, Filled, Output, Reference, Replaces, Rule, Sealed
from .scalars import Cidr, CommandArgument, Id, IpAddress, Port, UserName


def _network_size(network: "LocalNetwork") -> str | None:
    if network.cidr is None:
        return None
    cidr = ipaddress.ip_network(network.cidr)
    if cidr.version != 4:
        return "must be an IPv4 network"
    if not 16 <= cidr.prefixlen <= 29:
        return "must be between a /16 and a /29"
    if not cidr.is_private or cidr.is_loopback or cidr.is_link_local:
        return "must be a private network (RFC 1918)"
    return None


def _ipv6_network_size(network: "LocalNetwork") -> str | None:
    if network.ipv6_cidr is None:
        return None
    cidr = ipaddress.ip_network(network.ipv6_cidr)
    if cidr.version != 6:
        return "must be an IPv6 network"
    if not 48 <= cidr.prefixlen <= 120:
        return "must be between a /48 and a /120"
    if not cidr.is_private or cidr.is_loopback or cidr.is_link_local:
        return "must be a private network, as fd12:3456:789a:1::/64 (RFC 4193)"
    return None


def ipv6_subnet_id(network_id: str) -> str:
    """The id of the IPv6 subnet of a network; the IPv4 subnet has the network's own."""
    return str(uuid.uuid5(uuid.UUID(network_id), "ipv6"))


KNOWN_BY = "members refer to the host by this address, which is set when the host is created"


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

    cidr: Annotated[
        Cidr | None,
        Filled(),
        Always(),
        Replaces("every host and VIP in the network has one of its addresses", delete_first=True),
    ] = Field(None, description="Its addresses, as 10.1.0.0/24. Chosen when not given. Networks may not overlap.")
    ipv6_cidr: Annotated[
        Cidr | None, Replaces("hosts and VIPs get their IPv6 address when they are created", delete_first=True)
    ] = Field(
        None, description="Its IPv6 addresses, as fd12:3456:789a:1::/64. None when not given. Networks may not overlap."
    )
    subnet_id: Annotated[str, Output()] = Field(
        "", description="The id of its IPv4 subnet, for `vipSubnetId`: the network's own."
    )
    ipv6_subnet_id: Annotated[str | None, Output()] = Field(
        None, description="The id of its IPv6 subnet, for `vipSubnetId` and `additionalVips`."
    )


def _one_service(host: "LocalHost") -> str | None:
    if bool(host.command) == (host.forward_port is not None):
        return "is required, or forward_port, and not both: a host runs a command or forwards to this machine"
    return None


def _names_of_variables(host: "LocalHost") -> str | None:
    """No name is told: NAME=value in its place holds what may be a secret."""
    if any(not name or "=" in name or "\0" in name for name in host.environment):
        return "has a variable whose name is empty, or holds = or NUL: give NAME and value apart"
    return None


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

    network_id: Annotated[
        Id, Reference("local_network"), Replaces("its interface and its address are of that network")
    ] = Field(description="The network it stands in.")
    address: Annotated[IpAddress | None, Filled(), Always(), Replaces(KNOWN_BY)] = Field(
        None, description="Its address. Chosen from the network when not given."
    )
    ipv6_address: Annotated[IpAddress | None, Filled(), Replaces(KNOWN_BY)] = Field(
        None, description="Its IPv6 address, on a network with `ipv6Cidr`. Chosen when not given."
    )
    command: Annotated[tuple[CommandArgument, ...], Cost("the command is restarted")] = Field(
        (), description="What it runs, as a list of arguments; started again when it ends."
    )
    environment: Annotated[dict[str, CommandArgument], Sealed(), Cost("the command is restarted")] = Field(
        {}, description="Environment variables of the command. The API never shows them."
    )
    user: Annotated[UserName, Cost("the command is restarted")] = Field(
        "nobody", description="The user that runs the command."
    )
    forward_port: Annotated[Port | None, Cost("open connections end")] = Field(
        None,
        description="Instead of a command: connections to this port of the host go to the same port of this machine's 127.0.0.1.",
    )
    running: Annotated[bool, Output(volatile=True)] = Field(False, description="Whether the command runs.")
