# SPDX-License-Identifier: Apache-2.0
"""All kinds, by their word; and how ids of one kind name another."""

from __future__ import annotations

from .availability_zone import AvailabilityZone, AvailabilityZoneProfile
from .common import Resource
from .flavor import Flavor, FlavorProfile
from .health_monitor import HealthMonitor
from .l7_policy import L7Policy
from .l7_rule import L7Rule
from .listener import Listener
from .load_balancer import LoadBalancer
from .local import LocalHost, LocalNetwork
from .member import Member
from .pool import Pool
from .quota import Quota
from .tls_container import TlsContainer

BALANCER_KINDS: tuple[type[Resource], ...] = (LoadBalancer, Listener, Pool, Member, HealthMonitor, L7Policy, L7Rule)
SHARED_KINDS: tuple[type[Resource], ...] = (TlsContainer,)
"""What load balancers use and none of them owns: each object is a scope of its own."""
LOCAL_KINDS: tuple[type[Resource], ...] = (LocalNetwork, LocalHost)
OPERATOR_KINDS: tuple[type[Resource], ...] = (FlavorProfile, Flavor, AvailabilityZoneProfile, AvailabilityZone, Quota)
"""What operators set up for users. Nothing is to be brought about for them: they are in force as soon as written."""
KINDS: dict[str, type[Resource]] = {
    kind.KIND: kind for kind in (*BALANCER_KINDS, *SHARED_KINDS, *OPERATOR_KINDS, *LOCAL_KINDS)
}
PARENTS: dict[str, tuple[str, str]] = {"member": ("pool", "pool_id"), "l7_rule": ("l7_policy", "l7policy_id")}
"""Kinds whose collection lies under another object's URL: the parent's kind, and the attribute that names it."""


def token(kind: type[Resource]) -> str:
    """Its type in Pulumi: ``octavia:index:Listener``, ``octavia:local:Host``."""
    if kind in LOCAL_KINDS:
        return f"octavia:local:{kind.__name__.removeprefix('Local')}"
    return f"octavia:index:{kind.__name__}"


def reconciled(kind: str) -> bool:
    """Whether something has to be brought about for an object of this kind."""
    return KINDS[kind] not in OPERATOR_KINDS


__all__ = [
    "BALANCER_KINDS", "KINDS", "LOCAL_KINDS", "OPERATOR_KINDS", "PARENTS", "SHARED_KINDS", "AvailabilityZone",
    "AvailabilityZoneProfile", "Flavor", "FlavorProfile", "HealthMonitor", "L7Policy", "L7Rule", "Listener",
    "LoadBalancer", "LocalHost", "LocalNetwork", "Member", "Pool", "Quota", "Resource", "TlsContainer", "reconciled", "token",
]  # fmt: skip
