# SPDX-License-Identifier: Apache-2.0
"""All kinds, by their word; and how ids of one kind name another.

A kind is imported when it is first asked for: a preview of five kinds pays for five.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .amphora_group import AmphoraGroup
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

BALANCER_KINDS = ("load_balancer", "listener", "pool", "member", "health_monitor", "l7_policy", "l7_rule")
SHARED_KINDS = ("tls_container", "amphora_group")
"""What load balancers use and none of them owns: each object is a scope of its own."""
LOCAL_KINDS = ("local_network", "local_host")
OPERATOR_KINDS = ("flavor_profile", "flavor", "availability_zone_profile", "availability_zone", "quota")
"""What operators set up for users. Nothing is to be brought about for them: they are in force as soon as written."""
PARENTS: dict[str, tuple[str, str]] = {"member": ("pool", "pool_id"), "l7_rule": ("l7_policy", "l7policy_id")}
"""Kinds whose collection lies under another object's URL: the parent's kind, and the attribute that names it."""
_MODULES = {"local_network": "local", "local_host": "local", "flavor_profile": "flavor",
            "availability_zone_profile": "availability_zone"}  # fmt: skip
"""Modules that have another name than the kind."""


class _Kinds(Mapping[str, "type[Resource]"]):
    """The classes by their words."""

    def __init__(self) -> None:
        self._words = (*BALANCER_KINDS, *SHARED_KINDS, *OPERATOR_KINDS, *LOCAL_KINDS)
        self._found: dict[str, type[Resource]] = {}

    def __getitem__(self, word: str) -> type[Resource]:
        if word not in self._found:
            if word not in self._words:
                raise KeyError(word)
            module = importlib.import_module(f".{_MODULES.get(word, word)}", __package__)
            self._found[word] = getattr(module, class_name(word))
        return self._found[word]

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


KINDS: Mapping[str, type[Resource]] = _Kinds()


def prepare() -> None:
    """Have in a thread what all kinds are made of: an engine waits for its program meanwhile."""
    threading.Thread(target=importlib.import_module, args=(".base", __package__), daemon=True).start()


def class_name(kind: str) -> str:
    """``load_balancer`` → ``LoadBalancer``."""
    return "".join(part.capitalize() for part in kind.split("_"))


def token(kind: str) -> str:
    """Its type in Pulumi: ``octavia:index:Listener``, ``octavia:local:Host``."""
    name = class_name(kind)
    return f"octavia:local:{name.removeprefix('Local')}" if kind in LOCAL_KINDS else f"octavia:index:{name}"


def reconciled(kind: str) -> bool:
    """Whether something has to be brought about for an object of this kind."""
    return kind not in OPERATOR_KINDS


def __getattr__(name: str) -> Any:
    """A class by its name (``from model.kinds import Listener``)."""
    for word in KINDS:
        if class_name(word) == name:
            return KINDS[word]
    raise AttributeError(name)


__all__ = [
    "BALANCER_KINDS", "KINDS", "LOCAL_KINDS", "OPERATOR_KINDS", "PARENTS", "SHARED_KINDS", "AmphoraGroup",
    "AvailabilityZone", "AvailabilityZoneProfile", "Flavor", "FlavorProfile", "HealthMonitor", "L7Policy", "L7Rule", "Listener",
    "LoadBalancer", "LocalHost", "LocalNetwork", "Member", "Pool", "Quota", "TlsContainer", "class_name", "prepare",
    "reconciled", "token",
]  # fmt: skip
