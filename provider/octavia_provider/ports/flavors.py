# SPDX-License-Identifier: Apache-2.0
"""What the flavor and the availability zone of a load balancer come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavia_provider.model import flavor
from octavia_provider.model.availability_zone import AvailabilityZoneData

from .store import Transaction


def flavor_data(tx: Transaction, flavor_id: str | None) -> Mapping[str, Any]:
    """The data of its profile, with the defaults filled in; without a flavor, the defaults."""
    found = tx.get("flavor", flavor_id) if flavor_id else None
    profile = tx.get("flavor_profile", found.spec["flavor_profile_id"]) if found else None
    return flavor.data(flavor.FlavorData, profile.spec["flavor_data"]) if profile else flavor.defaults()


def zone_data(tx: Transaction, name: str | None) -> Mapping[str, Any]:
    """The data of the profile of the zone of this name; nothing without a zone."""
    found = tx.holding("availability_zone", name) if name else None
    profile = tx.get("availability_zone_profile", found.spec["availability_zone_profile_id"]) if found else None
    return flavor.data(AvailabilityZoneData, profile.spec["availability_zone_data"]) if profile else {}
