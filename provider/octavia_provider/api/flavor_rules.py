# SPDX-License-Identifier: Apache-2.0
"""Rules about what operators set up: profiles, the flavors and zones made of them, and load balancers that use those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from octavia_provider.model.availability_zone import AvailabilityZoneData
from octavia_provider.model.errors import Conflict, Invalid, Path, Violation
from octavia_provider.model.flavor import FlavorData, data
from octavia_provider.model.kinds import KINDS
from octavia_provider.ports import Record, Transaction

from .rules import parent, subject, users


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered to users: ``kind`` is made of ``profile``, whose ``attribute`` holds a ``shape`` as JSON."""

    kind: str
    profile: str
    attribute: str
    shape: type
    chosen_by: str

    @property
    def profile_id(self) -> str:
        """The attribute that names the profile."""
        return f"{self.profile}_id"


FLAVORS = Offer("flavor", "flavor_profile", "flavor_data", FlavorData, "flavor_id")
ZONES = Offer(
    "availability_zone",
    "availability_zone_profile",
    "availability_zone_data",
    AvailabilityZoneData,
    "availability_zone",
)
OFFERS = (FLAVORS, ZONES)


def check(
    tx: Transaction, unsupported: Mapping[str, str], kind: str, values: Mapping[str, Any], *, was: Record | None,
    path: Path = (),
) -> None:  # fmt: skip
    """The rules for one object that is about to be written; ``was`` is what it was before, if it was."""
    if refused := [Violation((*path, name), why) for name, why in unsupported.items() if values.get(name)]:
        raise Invalid(refused)
    if kind in ("load_balancer", "amphora_group"):
        _flavor(tx, values, was, path)
    if kind == "load_balancer" and was is None:
        _zone(tx, values, path)
    for offer in OFFERS:
        if kind == offer.kind and was is None:
            parent(tx, offer.profile, values[offer.profile_id], (*path, offer.profile_id))
        elif kind == offer.profile:
            _possible(offer, unsupported, values, path)
            if was is not None:
                _kept(tx, offer, values, was)


def check_unused(tx: Transaction, record: Record) -> None:
    """What is used cannot be deleted: ``Conflict`` names who uses it."""
    using = next(_users(tx, record), None)
    if using is not None:
        what = KINDS[record.kind].LABEL
        raise Conflict(f"{subject(using)} uses it", subject=subject(record), hint=f"delete that first, then the {what}")


def _users(tx: Transaction, record: Record) -> Iterator[Record]:
    """A zone is named by its name, everything else by its id."""
    if record.kind == ZONES.kind:
        named = (r for r in tx.find("load_balancer") if r.spec.get(ZONES.chosen_by) == record.spec["name"])
        return (r for r in named if not r.deleting)
    return iter(users(tx, record.kind, record.id))


def _kept(tx: Transaction, offer: Offer, values: Mapping[str, Any], was: Record) -> None:
    """A profile that is used stays what it is."""
    if all(values[name] == was.spec[name] for name in ("provider_name", offer.attribute)):
        return
    using = next(_users(tx, was), None)
    if using is not None:
        raise Conflict(
            f"{subject(using)} uses it, so that only its name can be changed", subject=subject(was),
            hint=f"make another {KINDS[offer.profile].LABEL}, and another {KINDS[offer.kind].LABEL} of it",
        )  # fmt: skip


def _possible(offer: Offer, unsupported: Mapping[str, str], values: Mapping[str, Any], path: Path) -> None:
    """Nothing is asked that this cloud cannot do."""
    given = data(offer.shape, values[offer.attribute])
    at = (*path, offer.attribute)
    refused = [Violation((*at, name), why) for name, why in unsupported.items() if given.get(name)]
    if refused:
        raise Invalid(refused)


def _flavor(tx: Transaction, values: Mapping[str, Any], was: Record | None, path: Path) -> None:
    before = was.spec.get(FLAVORS.chosen_by) if was is not None else None
    flavor_id = values[FLAVORS.chosen_by]
    if flavor_id == before:
        return
    at = (*path, FLAVORS.chosen_by)
    if flavor_id is not None:
        flavor = parent(tx, FLAVORS.kind, flavor_id, at)
        _usable(tx, FLAVORS, flavor, values.get("provider"), at)


def _zone(tx: Transaction, values: Mapping[str, Any], path: Path) -> None:
    name = values[ZONES.chosen_by]
    if name is None:
        return
    at = (*path, ZONES.chosen_by)
    zone = tx.holding(ZONES.kind, name)
    if zone is None:
        raise Invalid([Violation(at, f"availability zone {name} does not exist")])
    _usable(tx, ZONES, zone, values["provider"], at)
    allowed = _data(tx, ZONES, zone)["valid_vip_networks"]
    network = values["vip_network_id"]
    if allowed and network is not None and network not in allowed:
        message = f"availability zone {name} allows VIPs in {', '.join(allowed)} only, and not in {network}"
        raise Invalid([Violation((*path, "vip_network_id"), message)])


def _usable(tx: Transaction, offer: Offer, offered: Record, provider: str | None, at: Path) -> None:
    """``provider`` None: of whom it is for nothing is asked."""
    if not offered.spec["enabled"]:
        raise Invalid([Violation(at, f"{subject(offered)} is disabled: no new load balancer may use it")])
    profile = tx.get(offer.profile, offered.spec[offer.profile_id])
    if profile is not None and provider is not None and profile.spec["provider_name"] != provider:
        message = f"{subject(offered)} is for provider {profile.spec['provider_name']}, and this is {provider}"
        raise Invalid([Violation(at, message)])


def _data(tx: Transaction, offer: Offer, offered: Record) -> Mapping[str, Any]:
    profile = tx.get(offer.profile, offered.spec[offer.profile_id])
    return data(offer.shape, profile.spec[offer.attribute] if profile else "{}")
