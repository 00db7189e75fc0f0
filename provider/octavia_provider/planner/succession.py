# SPDX-License-Identifier: Apache-2.0
"""Which amphorae of a load balancer stay and which are replaced, who is to have the VIPs, and how each carries them. Pure.

An amphora that leaves serves until what replaces it does, and the VIPs go over by VRRP: also one that is alone is for that
time one of a pair (``recast``). Of a pair, who is ``preferred`` takes the VIPs over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from octavia_provider.ports import DRAIN, Amphora, Instance

from .views import Desired, Observed

ALONE, MASTER, BACKUP = "STANDALONE", "MASTER", "BACKUP"
Cast = list[tuple[Amphora, str]]
"""Amphorae that stay, and the role of each."""
Carried = frozenset[tuple[str, bool]]
"""Addresses, and whether each is carried as one of a pair (``Vip.shared``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """``kept``: the amphorae that stay; ``leaving``: all others; ``missing``: the roles that nobody has; ``unplaced``: those for which
    there is no place now.

    ``recast``: amphora id → the role that it is to have from now on. ``preferred``: which of those that stay is to have the VIPs
    while others leave or are drained; None: VRRP decides. ``established``: one of those that stay has them.
    """

    kept: tuple[Amphora, ...]
    leaving: tuple[Amphora, ...]
    missing: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    recast: tuple[tuple[str, str], ...] = ()
    preferred: str | None = None
    established: bool = False


def succession(desired: Desired, observed: Observed) -> Succession:
    """Of what is known now."""
    cast, wanted = _single(observed) if len(desired.roles) == 1 else _several(desired, observed)
    missing = wanted[: observed.places]
    kept = [amphora for amphora, _ in cast]
    ids = {amphora.id for amphora in kept}
    leaving = [a for a in observed.amphorae if a.id not in ids]
    there = [a for a in leaving if exists(observed, a)]
    return Succession(
        kept=tuple(kept),
        leaving=tuple(leaving),
        missing=tuple(missing),
        unplaced=tuple(wanted[len(missing) :]),
        recast=tuple(_recast(cast, there, missing)),
        preferred=_preferred(desired, kept, there, observed),
        established=observed.owner in ids,
    )


def exists(observed: Observed, amphora: Amphora) -> bool:
    """Whether the cloud has it and says that it runs."""
    instance = observed.instances.get(amphora.id)
    return instance is not None and instance.alive


def by_itself(desired: Desired, observed: Observed, amphora: Amphora) -> bool:
    """Whether an amphora that runs has a VIP without VRRP, and would not give it up."""
    return bool({*observed.instances[amphora.id].vips} & {*desired.vips})


def carrying(desired: Desired, observed: Observed, amphora: Amphora) -> Carried:
    """What an amphora is to carry now. A VIP that it has by itself stays until somebody has it by VRRP."""
    own = {(vip.address, False) for vip in amphora.own} or {(address, False) for address in desired.reach}
    fixed = {(address, False) for address in desired.vips}
    if amphora.role == ALONE:
        return frozenset(own | fixed)
    instance = observed.instances.get(amphora.id)
    still = fixed & carried(instance) if instance and observed.owner is None else set()
    return frozenset(own | still | {(address, True) for address in desired.vips})


def carried(instance: Instance) -> Carried:
    """What an instance carries."""
    return frozenset({*((a, False) for a in instance.vips), *((a, True) for a in instance.shared)})


def _single(observed: Observed) -> tuple[Cast, list[str]]:
    """One stays: who has the VIPs, else who has a configuration. Where none does, another one comes to those that leave. While
    there are others it is one of a pair."""
    staying = [a for a in observed.amphorae if not a.retiring]
    if staying:
        by_use = sorted(staying, key=lambda a: (a.id != observed.owner, a.role != ALONE, a.id not in observed.digests))
        others = any(exists(observed, a) for a in observed.amphorae if a is not by_use[0])
        paired = MASTER if by_use[0].role == ALONE else by_use[0].role
        return [(by_use[0], paired if others else ALONE)], []
    return [], [BACKUP if any(exists(observed, a) for a in observed.amphorae) else ALONE]


def _several(desired: Desired, observed: Observed) -> tuple[Cast, list[str]]:
    """Of several that are to be replaced and run, one goes after the other: first those that do not have the VIPs, and of those
    that wait who has them is kept first."""
    due = [a for a in observed.amphorae if a.retiring and exists(observed, a)]
    due.sort(key=lambda a: (a.id == observed.owner, a.role != BACKUP))
    return _cast(desired.roles, [*(a for a in observed.amphorae if not a.retiring), *reversed(due[1:])])


def _cast(roles: Iterable[str], amphorae: Iterable[Amphora]) -> tuple[Cast, list[str]]:
    """Who has which role: the first that has it, or one that was alone; and the roles that nobody has."""
    free, cast, missing = list(amphorae), Cast(), list[str]()
    for role in roles:
        found = next((a for a in free if a.role == role), None) or next((a for a in free if a.role == ALONE), None)
        if found is None:
            missing.append(role)
        else:
            free.remove(found)
            cast.append((found, role))
    return cast, missing


def _recast(cast: Cast, there: list[Amphora], missing: list[str]) -> Iterable[tuple[str, str]]:
    """Who is to have another role; who leaves and was alone becomes one of a pair, so that VRRP can take the VIPs from it."""
    yield from ((amphora.id, role) for amphora, role in cast if amphora.role != role)
    yield from ((a.id, MASTER) for a in there if a.role == ALONE and (cast or missing))


def _preferred(desired: Desired, kept: list[Amphora], there: list[Amphora], observed: Observed) -> str | None:
    """While others leave, or an operator wants one to be without the VIPs (``DRAIN``): who is able to take them. Nobody is, as long
    as one that leaves or is drained has a VIP by itself: that would not give it up."""
    drained = [a for a in kept if DRAIN in a.requests and exists(observed, a)]
    if any(by_itself(desired, observed, a) for a in there or drained):
        return None
    if not there and not drained:
        return None
    able = [a.id for a in kept if observed.up(a) and a.id in observed.digests and a.id not in observed.failing]
    able = [a.id for a in kept if a.id in able and DRAIN not in a.requests] or (able if there else [])
    if observed.owner in able:
        return observed.owner
    return able[0] if able else None
