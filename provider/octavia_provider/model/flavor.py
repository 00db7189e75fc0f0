# SPDX-License-Identifier: Apache-2.0
"""Flavors and their profiles (octavia-api v2, ``flavors`` and ``flavorprofiles``).

A profile says what amphorae are like, in the words of a provider (``flavor_schema.py`` of the amphora driver); a flavor
offers it to users under a name.
"""

import json
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


def _pairs(data: "FlavorData") -> str | None:
    if data.loadbalancer_topology == "ACTIVE_STANDBY":
        return "ACTIVE_STANDBY needs a pair of amphorae, which this version cannot make yet; give SINGLE"
    return None


class FlavorData(Model):
    """What ``flavor_data`` may hold."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            on=("loadbalancer_topology",), at="loadbalancer_topology", check=_pairs,
            doc="ACTIVE_STANDBY is refused: active/standby pairs do not exist yet.",
        ),
    )  # fmt: skip

    loadbalancer_topology: Annotated[
        str, OneOf((Choice("SINGLE", "one amphora"), Choice("ACTIVE_STANDBY", "a pair, one in service")))
    ] = Field("SINGLE", description="How many amphorae a load balancer has, and which of them serve.")
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


def data(kind: type, text: str) -> dict[str, Any]:
    """What the text of a profile comes to, in canonical form with the defaults filled in."""
    return validate(kind, json.loads(text)).values
