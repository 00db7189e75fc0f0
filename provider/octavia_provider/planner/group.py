# SPDX-License-Identifier: Apache-2.0
"""The plan of an amphora group: so many amphorae that load balancers can be put on. Pure.

Who is on them is for the load balancers to say: a host that is to go is discarded when nobody is on it any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.ports import Amphora, Instance

from .plan import AddAmphora, Boot, Discard, RecoverAgent, RenewCertificate, Retire, Step

HOST = "GROUP"
SMALLER, DELETED = "the group is smaller", "the group is deleted"
"""Why one is retired in whose place no other one comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredGroup:
    """``size``: how many hosts; 0: the group is to go. ``flavor``: by which they are booted."""

    size: int
    flavor: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedGroup:
    """``hosts``: the store's; ``instances``: the cloud's, by amphora id; ``seats``: how many are on a host. The rest is as ``Observed``'s."""

    hosts: tuple[Amphora, ...] = ()
    instances: Mapping[str, Instance] = field(default_factory=dict)
    seats: Counter[str | None] = field(default_factory=Counter)
    suspects: frozenset[str] = frozenset()
    unrecoverable: frozenset[str] = frozenset()
    due: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()

    def runs(self, host: Amphora) -> bool:
        """Whether the cloud has it and says that it runs."""
        instance = self.instances.get(host.id)
        return instance is not None and instance.alive


def plan_group(desired: DesiredGroup, observed: ObservedGroup) -> tuple[Step, ...]:
    """The steps that can be done now; () when what is equals what should be.

    A host that was lost is replaced by another one, at once: its seats are lost with it. One that runs and is to be replaced stays until
    its load balancers have gone to others, so another one is booted first.
    """
    staying = [host for host in observed.hosts if not host.retiring]
    if retired := _retirements(desired, observed, staying):
        return retired
    if lacking := desired.size - len(staying):
        return (AddAmphora(HOST),) * lacking
    able = [host for host in observed.hosts if host.id not in observed.failing]
    made = [
        host for host in able if host.status == "ALLOCATED"
    ]  # one of which only the cloud knows that it runs is found by ``Boot``
    up = [host for host in made if observed.runs(host) and host.id not in observed.suspects]
    repairs = tuple(_repair(host, observed) for host in able if host not in up and not host.retiring)
    gone = tuple(Discard(host.id) for host in able if host.retiring and _is_free(host, observed))
    known = {host.id for host in observed.hosts}
    strays = tuple(Discard(id_) for id_ in observed.instances if id_ not in known and not desired.size)
    renewals = tuple(RenewCertificate(host.id) for host in up if host.id in observed.due)
    return repairs or (*gone, *strays) or renewals


def _retirements(desired: DesiredGroup, observed: ObservedGroup, staying: list[Amphora]) -> tuple[Step, ...]:
    """Of those that are replaced though they run, one at a time."""
    found: list[Step] = []
    others: list[Step] = []
    for host in staying:
        if host.status == "ALLOCATED" and not observed.runs(host):
            found.append(Retire(host.id))
        elif host.id in observed.unrecoverable:
            found.append(Retire(host.id, "its agent does not come back"))
        elif host.status == "ALLOCATED" and dict(host.flavor) != dict(desired.flavor):
            others.append(Retire(host.id, "the flavor is another one"))
    rolling = any(host.retiring for host in observed.hosts)
    surplus = sorted(staying, key=lambda host: (host.status == "ALLOCATED", observed.seats[host.id]))
    why = SMALLER if desired.size else DELETED
    fewer = [Retire(host.id, why) for host in surplus[: max(0, len(staying) - desired.size)]]
    ready = all(observed.runs(host) for host in staying)
    return tuple(found or fewer or (() if rolling or not ready else others[:1]))


def _repair(host: Amphora, observed: ObservedGroup) -> Step:
    made = host.status == "ALLOCATED" and observed.runs(host)
    return RecoverAgent(host.id) if made else Boot(host.id)


def _is_free(host: Amphora, observed: ObservedGroup) -> bool:
    """Nobody is on it any more, or can be."""
    return not observed.seats[host.id] or not observed.runs(host)
