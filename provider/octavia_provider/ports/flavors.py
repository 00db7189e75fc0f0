# SPDX-License-Identifier: Apache-2.0
"""What the flavor of a load balancer comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavia_provider.model import flavor

from .store import Transaction


def flavor_data(tx: Transaction, flavor_id: str | None) -> Mapping[str, Any]:
    """The data of its profile, with the defaults filled in; without a flavor, the defaults."""
    found = tx.get("flavor", flavor_id) if flavor_id else None
    profile = tx.get("flavor_profile", found.spec["flavor_profile_id"]) if found else None
    return flavor.data(flavor.FlavorData, profile.spec["flavor_data"]) if profile else flavor.defaults()
