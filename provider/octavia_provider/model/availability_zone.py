# SPDX-License-Identifier: Apache-2.0
"""Availability zones and their profiles (octavia-api v2, ``availabilityzones`` and ``availabilityzoneprofiles``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from . import common, formats
from .attributes import Rule, Unique, attribute
from .flavor import DATA_LENGTH, enabled, named
from .load_balancer import PROVIDERS


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityZoneData:
    """What ``availability_zone_data`` may hold."""

    compute_zone: str | None = attribute("The compute zone of the amphorae.", max_length=255, format=formats.text)
    volume_zone: str | None = attribute("The volume zone of the amphorae.", max_length=255, format=formats.text)
    management_network: str | None = attribute(
        "The network on which the control plane reaches the amphorae.", format=formats.uuid_string
    )
    valid_vip_networks: tuple[str, ...] = attribute(
        "The networks that a VIP may be in; any when not given.", default=(), format=formats.uuid_string, unordered=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityZoneProfile(common.Resource):
    """An availability zone profile: where amphorae and VIPs may be. While a zone uses it, only its name can be changed."""

    KIND: ClassVar[str] = "availability_zone_profile"
    LABEL: ClassVar[str] = "availability zone profile"
    COLLECTION: ClassVar[str] = "availabilityzoneprofiles"
    WORD: ClassVar[str] = "availability_zone_profile"
    RULES: ClassVar[tuple[Rule, ...]] = (named(),)

    provider_name: str = attribute("The driver that it is for.", required=True, choices=PROVIDERS)
    availability_zone_data: str = attribute(
        'Where amphorae and VIPs may be, as JSON: {"valid_vip_networks": ["<id>"]}.',
        required=True, max_length=DATA_LENGTH, json=AvailabilityZoneData,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailabilityZone(common.Resource):
    """An availability zone: a profile that users may choose for their load balancers, by the zone's name."""

    KIND: ClassVar[str] = "availability_zone"
    LABEL: ClassVar[str] = "availability zone"
    COLLECTION: ClassVar[str] = "availabilityzones"
    WORD: ClassVar[str] = "availability_zone"
    KEY: ClassVar[str] = "name"
    RULES: ClassVar[tuple[Rule, ...]] = (named(),)
    UNIQUE: ClassVar[Unique | None] = Unique(
        key=lambda v: v["name"], at="name", message=lambda v, _: f"there is an availability zone {v['name']} already",
        doc="The name of an availability zone is unique.",
    )  # fmt: skip

    name: str = attribute(
        "The name by which users choose it. Made from the resource's name when not given.",
        default="", max_length=common.NAME_LENGTH, format=formats.zone_name, replaces=True,
        why="load balancers and URLs refer to a zone by its name",
    )  # fmt: skip
    description: str = common.description()
    enabled: bool = enabled()
    availability_zone_profile_id: str = attribute(
        "Its availability zone profile.", required=True, format=formats.uuid_string, replaces=True,
        reference="availability_zone_profile",
        why="load balancers were placed by what this zone says; a zone with another profile is a different one",
    )  # fmt: skip
