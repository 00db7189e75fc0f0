# SPDX-License-Identifier: Apache-2.0
"""The load balancer: a VIP, and the amphorae behind it (octavia-api v2, ``loadbalancers``)."""

from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .base import Model
from .listener import RELOAD
from .metadata import Always, Choice, Cost, Filled, OneOf, Output, Reference, Replaces, Rule, Unordered
from .naming import NAME_LENGTH
from .scalars import Id, IpAddress, Text

PROVIDERS = (Choice("amphora", "haproxy in amphorae"), Choice("octavia", "an alias of amphora"))
HEADER_SIZE = 15 * 1024
"""As much of a message's head as haproxy takes by default, in bytes."""
VIP_STAYS = "clients reach a load balancer by its VIP, so one with another address is a different load balancer"
VIP_FORMS = ("vip_port_id", "vip_network_id", "vip_subnet_id")


def _has_vip(balancer: "LoadBalancer") -> str | None:
    if any(getattr(balancer, form) for form in VIP_FORMS):
        return None
    return "is required: say where the VIP lives by vip_network_id, vip_subnet_id or vip_port_id"


class AdditionalVip(Model):
    """One more address of the load balancer, in another subnet of the same network."""

    subnet_id: Id = Field(
        description="The subnet of the address. In the embedded cloud `subnetId` or `ipv6SubnetId` of the `local.Network`."
    )
    ip_address: Annotated[IpAddress | None, Filled()] = Field(
        None, description="The address. Chosen from the subnet when not given."
    )
    port_id: Annotated[Id | None, Filled()] = Field(
        None, description="A port made beforehand that carries the address (OpenStack)."
    )


def one_address_a_subnet(balancer: "LoadBalancer") -> str | None:
    """A subnet gives the load balancer one address; the rule is asked again when the VIP's subnet has been chosen."""
    seen = {balancer.vip_subnet_id} - {None}
    for vip in balancer.additional_vips:
        if vip.subnet_id in seen:
            return f"names subnet {vip.subnet_id} twice (the VIP's own counts): one address is given from a subnet"
        seen.add(vip.subnet_id)
    return None


class LoadBalancer(common.Resource):
    """A load balancer: one virtual IP address, served by amphorae that this resource boots and watches."""

    KIND: ClassVar[str] = "load_balancer"
    LABEL: ClassVar[str] = "load balancer"
    COLLECTION: ClassVar[str] = "loadbalancers"
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=VIP_FORMS, at="vip_network_id", check=_has_vip, doc="One of the three VIP forms is given."),
        Rule(
            on=("additional_vips", "vip_subnet_id"), at="additional_vips", check=one_address_a_subnet,
            doc="A subnet gives one address.",
        ),
    )  # fmt: skip

    description: common.Description = ""
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    vip_address: Annotated[IpAddress | None, Filled(), Always(), Replaces(VIP_STAYS)] = Field(
        None,
        description="The virtual IP address, IPv4 or IPv6. Chosen from the subnet when not given (of IPv4, if none is named).",
    )
    vip_network_id: Annotated[Id | None, Reference("local_network"), Filled(), Always(), Replaces(VIP_STAYS)] = Field(
        None, description="The network of the VIP. In the embedded cloud the id of a `local.Network`."
    )
    vip_subnet_id: Annotated[Id | None, Filled(), Always(), Replaces(VIP_STAYS)] = Field(
        None,
        description="The subnet of the VIP. In the embedded cloud `subnetId` or `ipv6SubnetId` of the `local.Network`.",
    )
    vip_port_id: Annotated[Id | None, Filled(), Replaces(VIP_STAYS)] = Field(
        None, description="A port made beforehand that carries the VIP (OpenStack)."
    )
    additional_vips: Annotated[
        tuple[AdditionalVip, ...], Unordered(), Cost(f"connections to an address that is taken away end; else {RELOAD}")
    ] = Field(
        (),
        description="More addresses, each in another subnet of the VIP's network; every listener serves on all of them. "
        "When the last address of a family is removed, UDP members and allowed CIDRs of that family stay, but get no traffic.",
    )
    vip_qos_policy_id: Annotated[Id | None, Cost("none: the network applies it")] = Field(
        None, description="A QoS policy of the VIP's port (OpenStack)."
    )
    vip_sg_ids: Annotated[tuple[Id, ...], Unordered(), Cost("none: the network applies it")] = Field(
        (), description="Security groups of the VIP's port, in place of `allowed_cidrs` of the listeners (OpenStack)."
    )
    provider: Annotated[
        str, OneOf(PROVIDERS), Replaces("another driver builds its own amphorae and cannot take over existing ones")
    ] = Field("amphora", description="The driver that builds it.")
    flavor_id: Annotated[
        Id | None,
        Reference("flavor"),
        Cost(
            "none for new connections: another amphora serves before one goes; connections that are open at the VIP end "
            "when it moves, unless the amphorae are alike in both flavors"
        ),
    ] = Field(
        None,
        description="The flavor: what its amphorae are like, and whether there is a pair of them. Another one is taken on in place.",
    )
    amphora_group_id: Annotated[
        Id | None,
        Reference("amphora_group"),
        Cost(
            "none for new connections: another amphora serves before one goes; connections that are open at the VIP end when it moves"
        ),
    ] = Field(
        None,
        description="The amphora group whose amphorae it shares with other load balancers; amphorae of its own when not given. It is moved "
        "in place. Beyond Octavia.",
    )
    availability_zone: Annotated[
        Text | None, Replaces("the VIP's network and the amphorae are in the zone, and neither can be moved to another")
    ] = Field(
        None,
        max_length=NAME_LENGTH,
        description="The name of the availability zone that its amphorae and its VIP are in.",
    )
    max_header_size: Annotated[int, Cost(RELOAD)] = Field(
        HEADER_SIZE,
        ge=HEADER_SIZE,
        le=262_144,
        description="How many bytes the line and the headers of a request or a response may have together, at HTTP and TERMINATED_HTTPS "
        "listeners; a larger request is answered with 400 (by HTTP/2 its stream may be reset), a larger response with 502. By HTTP/1 "
        "at most 100 headers are taken, at larger sizes about one for each 128 bytes. Each connection with a request under way takes "
        "two or three buffers of this size and 5 KiB: ten thousand at 64 KiB are some 2 GiB. Beyond Octavia.",
    )
    operating_status: common.OperatingStatus = ""
    published_address: Annotated[str | None, Output()] = Field(
        None, description="Embedded cloud: the loopback address of this machine on which the listeners are published."
    )
