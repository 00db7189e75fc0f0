# SPDX-License-Identifier: Apache-2.0
"""The load balancer: a VIP, and the amphorae behind it (octavia-api v2, ``loadbalancers``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import common, formats
from .attributes import Choice, Rule, attribute, computed
from .listener import RELOAD

PROVIDERS = (Choice("amphora", "haproxy in amphorae"), Choice("octavia", "an alias of amphora"))
HEADER_SIZE = 15 * 1024
"""As much of a message's head as haproxy takes by default, in bytes."""
VIP_STAYS = "clients reach a load balancer by its VIP, so one with another address is a different load balancer"
VIP_FORMS = ("vip_port_id", "vip_network_id", "vip_subnet_id")


def _has_vip(values: Mapping[str, Any]) -> str | None:
    if any(values[form] for form in VIP_FORMS):
        return None
    return "is required: say where the VIP lives by vip_network_id, vip_subnet_id or vip_port_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdditionalVip:
    """One more address of the load balancer, in another subnet of the same network."""

    subnet_id: str = attribute(
        "The subnet of the address. In the embedded cloud `subnetId` or `ipv6SubnetId` of the `local.Network`.",
        required=True, format=formats.uuid_string,
    )  # fmt: skip
    ip_address: str | None = attribute(
        "The address. Chosen from the subnet when not given.", format=formats.ip_address, filled=True
    )
    port_id: str | None = attribute(
        "A port made beforehand that carries the address (OpenStack).", format=formats.uuid_string, filled=True
    )


def one_address_a_subnet(values: Mapping[str, Any]) -> str | None:
    """A subnet gives the load balancer one address; the rule is asked again when the VIP's subnet has been chosen."""
    seen = {values["vip_subnet_id"]} - {None}
    for vip in values["additional_vips"]:
        if vip["subnet_id"] in seen:
            return f"names subnet {vip['subnet_id']} twice (the VIP's own counts): one address is given from a subnet"
        seen.add(vip["subnet_id"])
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
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

    description: str = common.description()
    admin_state_up: bool = common.admin_state_up()
    tags: tuple[str, ...] = common.tags()
    vip_address: str | None = attribute(
        "The virtual IP address, IPv4 or IPv6. Chosen from the subnet when not given (of IPv4, if none is named).",
        format=formats.ip_address, replaces=True, filled=True, always=True, why=VIP_STAYS,
    )  # fmt: skip
    vip_network_id: str | None = attribute(
        "The network of the VIP. In the embedded cloud the id of a `local.Network`.",
        format=formats.uuid_string, replaces=True, filled=True, always=True, reference="local_network",
        why=VIP_STAYS,
    )  # fmt: skip
    vip_subnet_id: str | None = attribute(
        "The subnet of the VIP. In the embedded cloud `subnetId` or `ipv6SubnetId` of the `local.Network`.",
        format=formats.uuid_string, replaces=True, filled=True, always=True, why=VIP_STAYS,
    )  # fmt: skip
    vip_port_id: str | None = attribute(
        "A port made beforehand that carries the VIP (OpenStack).",
        format=formats.uuid_string, replaces=True, filled=True, why=VIP_STAYS,
    )  # fmt: skip
    additional_vips: tuple[AdditionalVip, ...] = attribute(
        "More addresses, each in another subnet of the VIP's network; every listener serves on all of them. "
        "When the last address of a family is removed, UDP members and allowed CIDRs of that family stay, but get no traffic.",
        default=(), unordered=True, cost=f"connections to an address that is taken away end; else {RELOAD}",
    )  # fmt: skip
    vip_qos_policy_id: str | None = attribute(
        "A QoS policy of the VIP's port (OpenStack).", format=formats.uuid_string, cost="none: the network applies it"
    )
    vip_sg_ids: tuple[str, ...] = attribute(
        "Security groups of the VIP's port, in place of `allowed_cidrs` of the listeners (OpenStack).",
        default=(), format=formats.uuid_string, unordered=True, cost="none: the network applies it",
    )  # fmt: skip
    provider: str = attribute(
        "The driver that builds it.",
        default="amphora", choices=PROVIDERS,
        replaces=True, why="another driver builds its own amphorae and cannot take over existing ones",
    )  # fmt: skip
    flavor_id: str | None = attribute(
        "The flavor: what its amphorae are like.", format=formats.uuid_string, reference="flavor",
        cost="none: only a flavor with the same effect is accepted, until active/standby pairs exist",
    )  # fmt: skip
    availability_zone: str | None = attribute(
        "The name of the availability zone that its amphorae and its VIP are in.",
        max_length=common.NAME_LENGTH, format=formats.text, replaces=True,
        why="the VIP's network and the amphorae are in the zone, and neither can be moved to another",
    )  # fmt: skip
    max_header_size: int = attribute(
        "How many bytes the line and the headers of a request or a response may have together, at HTTP and TERMINATED_HTTPS "
        "listeners; a larger request is answered with 400 (by HTTP/2 its stream may be reset), a larger response with 502. By HTTP/1 "
        "at most 100 headers are taken, at larger sizes about one for each 128 bytes. Each connection with a request under way takes "
        "two or three buffers of this size and 5 KiB: ten thousand at 64 KiB are some 2 GiB. Beyond Octavia.",
        default=HEADER_SIZE, minimum=HEADER_SIZE, maximum=262_144, cost=RELOAD,
    )  # fmt: skip
    operating_status: str = common.operating_status()
    published_address: str | None = computed(
        "Embedded cloud: the loopback address of this machine on which the listeners are published."
    )
