# SPDX-License-Identifier: Apache-2.0
"""Availability zones and their profiles (octavia-api v2, ``availabilityzones`` and ``availabilityzoneprofiles``)."""

from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .base import Model
from .flavor import DATA_LENGTH, Enabled, named
from .load_balancer import PROVIDERS
from .metadata import JsonText, OneOf, Reference, Replaces, Rule, Unique, Unordered
from .naming import NAME_LENGTH
from .scalars import Id, Text, ZoneName


class AvailabilityZoneData(Model):
    """What ``availability_zone_data`` may hold."""

    compute_zone: Text | None = Field(None, max_length=255, description="The compute zone of the amphorae.")
    volume_zone: Text | None = Field(None, max_length=255, description="The volume zone of the amphorae.")
    management_network: Id | None = Field(
        None, description="The network on which the control plane reaches the amphorae."
    )
    valid_vip_networks: Annotated[tuple[Id, ...], Unordered()] = Field(
        (), description="The networks that a VIP may be in; any when not given."
    )


class AvailabilityZoneProfile(common.Resource):
    """An availability zone profile: where amphorae and VIPs may be. While a zone uses it, only its name can be changed."""

    KIND: ClassVar[str] = "availability_zone_profile"
    LABEL: ClassVar[str] = "availability zone profile"
    COLLECTION: ClassVar[str] = "availabilityzoneprofiles"
    WORD: ClassVar[str] = "availability_zone_profile"
    RULES: ClassVar[tuple[Rule, ...]] = (named(),)

    provider_name: Annotated[str, OneOf(PROVIDERS)] = Field(description="The driver that it is for.")
    availability_zone_data: Annotated[str, JsonText(AvailabilityZoneData)] = Field(
        max_length=DATA_LENGTH, description='Where amphorae and VIPs may be, as JSON: {"valid_vip_networks": ["<id>"]}.'
    )


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

    name: Annotated[ZoneName, Replaces("load balancers and URLs refer to a zone by its name")] = Field(
        "",
        max_length=NAME_LENGTH,
        description="The name by which users choose it. Made from the resource's name when not given.",
    )
    description: common.Description = ""
    enabled: Enabled = True
    availability_zone_profile_id: Annotated[
        Id,
        Reference("availability_zone_profile"),
        Replaces("load balancers were placed by what this zone says; a zone with another profile is a different one"),
    ] = Field(description="Its availability zone profile.")
