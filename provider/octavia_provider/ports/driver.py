# SPDX-License-Identifier: Apache-2.0
"""Everything that a cloud gives to a control plane, and what reconcilers are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from octavia_provider.model.errors import TransientError

from .access import ListenerAccess
from .certificates import CertificateManager
from .clouds import Cloud, Inventory
from .networks import NetworkDirectory, Networks
from .records import Scope

UNLIMITED = 1_000_000
"""As many as anybody asks for."""


class Incomplete(TransientError):
    """A reconciler has settled what could be brought about, and knows what is left: try again, with what it has seen."""


class Reconciler(Protocol):
    """Brings one scope about."""

    async def reconcile(self) -> bool:
        """One pass; False when the scope is gone. Raises what was in the way, ``Incomplete`` of what was in the way of a part."""
        ...

    async def fail(self, reason: str) -> bool:
        """Write the reason down at the objects that were to change; False when it has to be tried again."""
        ...

    def forget(self) -> None:
        """Trust nothing that was seen before."""
        ...

    def retry_errors(self) -> bool:
        """What ended in ERROR counts as written again for the next pass; False where nothing did."""
        ...

    def missing(self, inventory: Inventory) -> bool:
        """Whether something that it brought about is not in the cloud any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudDriver:
    """A cloud with all that is particular to it. ``name``: as the API tells it.

    ``reconcilers``: for each kind of object that exists in this cloud alone, what brings a scope of that kind about.
    ``directory``: None where clients ask Neutron itself. ``certificates``: what TLS containers may be besides our own.
    ``boots_at_once``: as many amphorae as one control plane may have starting at one time, be it that half of all are lost at once.
    """

    name: str
    cloud: Cloud
    networks: Networks
    access: ListenerAccess
    reconcilers: Mapping[str, Callable[[Scope], Reconciler]] = field(default_factory=dict)
    directory: NetworkDirectory | None = None
    certificates: CertificateManager | None = None
    boots_at_once: int = UNLIMITED
