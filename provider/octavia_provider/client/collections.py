# SPDX-License-Identifier: Apache-2.0
"""URLs and body keys of each kind (docs/reference/api.md)."""

from __future__ import annotations

from urllib.parse import quote

from octavia_provider.model.errors import PermanentError
from octavia_provider.model.kinds import KINDS, PARENTS

_PATHS: dict[str, tuple[str, str]] = {
    "load_balancer": ("/v2/lbaas/loadbalancers", "loadbalancer"),
    "listener": ("/v2/lbaas/listeners", "listener"),
    "pool": ("/v2/lbaas/pools", "pool"),
    "member": ("/v2/lbaas/pools/{parent}/members", "member"),
    "health_monitor": ("/v2/lbaas/healthmonitors", "healthmonitor"),
    "l7_policy": ("/v2/lbaas/l7policies", "l7policy"),
    "l7_rule": ("/v2/lbaas/l7policies/{parent}/rules", "rule"),
    "tls_container": ("/v2/octavia/tls-containers", "tls_container"),
    "amphora_group": ("/v2/octavia/amphora-groups", "amphora_group"),
    "flavor_profile": ("/v2/lbaas/flavorprofiles", "flavorprofile"),
    "flavor": ("/v2/lbaas/flavors", "flavor"),
    "availability_zone_profile": ("/v2/lbaas/availabilityzoneprofiles", "availability_zone_profile"),
    "availability_zone": ("/v2/lbaas/availabilityzones", "availability_zone"),
    "quota": ("/v2/lbaas/quotas", "quota"),
    "local_network": ("/v2/local/networks", "network"),
    "local_host": ("/v2/local/hosts", "host"),
}


def object_key(kind: str) -> str:
    """The key of one object in a body: ``load_balancer`` → ``loadbalancer``."""
    return _PATHS[kind][1]


def list_key(kind: str) -> str:
    """The key of a list in a body: ``loadbalancers``."""
    return object_key(kind).removesuffix("y") + "ies" if object_key(kind).endswith("y") else object_key(kind) + "s"


def collection(kind: str, parent: str | None = None) -> str:
    """The path of a collection; ``parent`` is the pool's id where the kind is a member, the policy's for an L7 rule."""
    place = _PATHS[kind][0]
    if "{parent}" not in place:
        return place
    if not parent:
        raise PermanentError(
            f"is found only with the id of its {KINDS[PARENTS[kind][0]].LABEL}", subject=KINDS[kind].LABEL
        )
    return place.format(parent=parent)


def item(kind: str, id: str, parent: str | None = None) -> str:  # noqa: A002
    """The path of one object."""
    return f"{collection(kind, parent)}/{quote(id, safe='')}"
