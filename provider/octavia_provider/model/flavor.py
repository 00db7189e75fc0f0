# SPDX-License-Identifier: Apache-2.0
"""Flavors and their profiles (octavia-api v2, ``flavors`` and ``flavorprofiles``).

A profile says what amphorae are like, in the words of a provider (``flavor_schema.py`` of the amphora driver); a flavor
offers it to users under a name.
"""

import functools
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from . import common
from .base import Model
from .load_balancer import PROVIDERS
from .metadata import Choice, JsonText, OneOf, Reference, Replaces, Rule, Unique
from .scalars import Id, Text
from .validation import validate

DATA_LENGTH = 4096


def named() -> Rule:
    """Users choose by the name, so there has to be one."""
    return Rule(on=("name",), at="name", check=_named, doc="A name is given.")


def _named(made: common.Resource) -> str | None:
    return None if made.name else "is required: users choose by it"


Enabled = Annotated[
    bool, Field(description="Whether new load balancers may use it. Those that use it already are left alone.")
]
"""The switch of what users choose from."""


class FlavorData(Model):
    """What ``flavor_data`` may hold."""

    loadbalancer_topology: Annotated[
        str, OneOf((Choice("SINGLE", "one amphora"), Choice("ACTIVE_STANDBY", "a pair, one in service")))
    ] = Field("SINGLE", description="How many amphorae a load balancer has, and which of them serve.")
    vrrp_advertisement_interval: float = Field(
        0.2,
        ge=0.1,
        le=10,
        description="Of a pair: how often, in seconds, the amphora in service tells the other that it is there. After three intervals of "
        "silence, and a little, the other takes over.",
    )
    compute_flavor: Text | None = Field(None, max_length=255, description="The compute flavor of the amphorae.")
    amp_image_tag: Text | None = Field(None, max_length=255, description="The tag of the amphora image.")
    sriov_vip: bool = Field(False, description="Whether the VIP's port is an SR-IOV one.")
    allow_member_sriov: bool = Field(False, description="Whether members may ask for SR-IOV ports.")


class FlavorProfile(common.Resource):
    """A flavor profile: what amphorae are like. While a flavor uses it, only its name can be changed."""

    KIND: ClassVar[str] = "flavor_profile"
    LABEL: ClassVar[str] = "flavor profile"
    COLLECTION: ClassVar[str] = "flavorprofiles"
    RULES: ClassVar[tuple[Rule, ...]] = (named(),)

    provider_name: Annotated[str, OneOf(PROVIDERS)] = Field(description="The driver that it is for.")
    flavor_data: Annotated[str, JsonText(FlavorData)] = Field(
        max_length=DATA_LENGTH, description='What the amphorae are like, as JSON: {"loadbalancer_topology": "SINGLE"}.'
    )


class Flavor(common.Resource):
    """A flavor: a flavor profile that users may choose for their load balancers."""

    KIND: ClassVar[str] = "flavor"
    LABEL: ClassVar[str] = "flavor"
    COLLECTION: ClassVar[str] = "flavors"
    RULES: ClassVar[tuple[Rule, ...]] = (named(),)
    UNIQUE: ClassVar[Unique | None] = Unique(
        key=lambda v: v["name"], at="name", message=lambda v, _: f"there is a flavor {v['name']} already",
        doc="The name of a flavor is unique.",
    )  # fmt: skip

    description: common.Description = ""
    enabled: Enabled = True
    flavor_profile_id: Annotated[
        Id,
        Reference("flavor_profile"),
        Replaces(
            "load balancers were built by what this flavor says; a flavor with another profile is a different one"
        ),
    ] = Field(description="Its flavor profile.")


SINGLE, ACTIVE_STANDBY = "SINGLE", "ACTIVE_STANDBY"
ROLES = {SINGLE: ("STANDALONE",), ACTIVE_STANDBY: ("MASTER", "BACKUP")}
BOOTED = ("compute_flavor", "amp_image_tag", "sriov_vip", "allow_member_sriov")
"""What an amphora is booted by: where that changes it takes another one."""


def roles(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Of the amphorae that flavor data asks for."""
    return ROLES[values["loadbalancer_topology"]]


def booted_by(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of flavor data that amphorae are booted by, less what is at its default."""
    return {name: values[name] for name in BOOTED if values.get(name)}


@functools.cache
def _defaults() -> Mapping[str, Any]:
    return data(FlavorData, "{}")


def defaults() -> Mapping[str, Any]:
    """What no flavor comes to."""
    return _defaults()


def data(kind: type, text: str) -> dict[str, Any]:
    """What the text of a profile comes to, in canonical form with the defaults filled in."""
    return validate(kind, json.loads(text)).values
