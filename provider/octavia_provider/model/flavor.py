# SPDX-License-Identifier: Apache-2.0
"""Flavors and their profiles (octavia-api v2, ``flavors`` and ``flavorprofiles``).

A profile says what amphorae are like, in the words of a provider (``flavor_schema.py`` of the amphora driver); a flavor
offers it to users under a name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import common, formats
from .attributes import Choice, Rule, Unique, attribute
from .load_balancer import PROVIDERS
from .validate import validate

DATA_LENGTH = 4096


def named() -> Rule:
    """Users choose by the name, so there has to be one."""
    return Rule(on=("name",), at="name", check=_named, doc="A name is given.")


def _named(values: Mapping[str, Any]) -> str | None:
    return None if values["name"] else "is required: users choose by it"


def enabled() -> Any:
    """The switch of what users choose from."""
    return attribute("Whether new load balancers may use it. Those that use it already are left alone.", default=True)


def _pairs(values: Mapping[str, Any]) -> str | None:
    if values["loadbalancer_topology"] == "ACTIVE_STANDBY":
        return "ACTIVE_STANDBY needs a pair of amphorae, which this version cannot make yet; give SINGLE"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorData:
    """What ``flavor_data`` may hold."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            on=("loadbalancer_topology",), at="loadbalancer_topology", check=_pairs,
            doc="ACTIVE_STANDBY is refused: active/standby pairs do not exist yet.",
        ),
    )  # fmt: skip

    loadbalancer_topology: str = attribute(
        "How many amphorae a load balancer has, and which of them serve.",
        default="SINGLE", choices=(Choice("SINGLE", "one amphora"), Choice("ACTIVE_STANDBY", "a pair, one in service")),
    )  # fmt: skip
    compute_flavor: str | None = attribute("The compute flavor of the amphorae.", max_length=255, format=formats.text)
    amp_image_tag: str | None = attribute("The tag of the amphora image.", max_length=255, format=formats.text)
    sriov_vip: bool = attribute("Whether the VIP's port is an SR-IOV one.", default=False)
    allow_member_sriov: bool = attribute("Whether members may ask for SR-IOV ports.", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorProfile(common.Resource):
    """A flavor profile: what amphorae are like. While a flavor uses it, only its name can be changed."""

    KIND: ClassVar[str] = "flavor_profile"
    LABEL: ClassVar[str] = "flavor profile"
    COLLECTION: ClassVar[str] = "flavorprofiles"
    RULES: ClassVar[tuple[Rule, ...]] = (named(),)

    provider_name: str = attribute("The driver that it is for.", required=True, choices=PROVIDERS)
    flavor_data: str = attribute(
        'What the amphorae are like, as JSON: {"loadbalancer_topology": "SINGLE"}.',
        required=True, max_length=DATA_LENGTH, json=FlavorData,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
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

    description: str = common.description()
    enabled: bool = enabled()
    flavor_profile_id: str = attribute(
        "Its flavor profile.", required=True, format=formats.uuid_string, replaces=True, reference="flavor_profile",
        why="load balancers were built by what this flavor says; a flavor with another profile is a different one",
    )  # fmt: skip


def data(kind: type, text: str) -> dict[str, Any]:
    """What the text of a profile comes to, in canonical form with the defaults filled in."""
    return validate(kind, json.loads(text)).values
