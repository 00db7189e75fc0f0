# SPDX-License-Identifier: Apache-2.0
"""Which amphorae of a load balancer stay and which are replaced, who is to have the VIPs, and how each carries them. Pure.

An amphora that leaves serves until what replaces it does, and the VIPs go over by VRRP: also one that is alone is for that
time one of a pair (``recast``). Of a pair, who is ``preferred`` takes the VIPs over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from octavia_provider.ports import Amphora, Instance

from .views import Desired, Observed

ALONE, MASTER, BACKUP = "STANDALONE", "MASTER", "BACKUP"
Carried = frozenset[tuple[str, bool]]
"""Addresses, and whether each is carried as one of a pair (``Vip.shared``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """``kept``: the amphorae that stay; ``leaving``: all others; ``missing``: the roles that nobody has.

    ``recast``: amphora id → the role that it is to have from now on. ``preferred``: which of those that stay is to have the VIPs
    while others leave; None: VRRP decides. ``established``: one of those that stay has them.
    """

    kept: tuple[Amphora, ...]
    leaving: tuple[Amphora, ...]
    missing: tuple[str, ...] = ()
    recast: tuple[tuple[str, str], ...] = ()
    preferred: str | None = None
    established: bool = False


def succession(desired: Desired, observed: Observed) -> Succession:
    """Of what is known now."""
    kept, missing = _single(observed) if len(desired.roles) == 1 else _several(desired, observed)
    ids = {amphora.id for amphora in kept}
    leaving = [a for a in observed.amphorae if a.id not in ids]
    there = [a for a in leaving if exists(observed, a)]
    return Succession(
        kept=tuple(kept),
        leaving=tuple(leaving),
        missing=tuple(missing),
        recast=tuple(_recast(desired, kept, there, missing)),
        preferred=_preferred(kept, there, observed),
        established=observed.owner in ids,
    )


def exists(observed: Observed, amphora: Amphora) -> bool:
    """Whether the cloud has it and says that it runs."""
    instance = observed.instances.get(amphora.id)
    return instance is not None and instance.alive


def carrying(desired: Desired, observed: Observed, amphora: Amphora) -> Carried:
    """What an amphora is to carry now. A VIP that it has by itself stays until somebody has it by VRRP."""
    own = {(vip.address, False) for vip in amphora.own} or {(address, False) for address in desired.reach}
    by_itself = {(address, False) for address in desired.vips}
    if amphora.role == ALONE:
        return frozenset(own | by_itself)
    instance = observed.instances.get(amphora.id)
    still = by_itself & carried(instance) if instance and observed.owner is None else set()
    return frozenset(own | still | {(address, True) for address in desired.vips})


def carried(instance: Instance) -> Carried:
    """What an instance carries."""
    return frozenset({*((a, False) for a in instance.vips), *((a, True) for a in instance.shared)})


def _single(observed: Observed) -> tuple[list[Amphora], list[str]]:
    """One stays: who has the VIPs, else who has a configuration. Where none does, another one comes to those that leave."""
    staying = [a for a in observed.amphorae if not a.retiring]
    if staying:
        by_use = sorted(staying, key=lambda a: (a.id != observed.owner, a.role != ALONE, a.id not in observed.digests))
        return by_use[:1], []
    return [], [BACKUP if any(exists(observed, a) for a in observed.amphorae) else ALONE]


def _several(desired: Desired, observed: Observed) -> tuple[list[Amphora], list[str]]:
    """Of several that are to be replaced and run, one goes after the other: first those that do not have the VIPs."""
    due = [a for a in observed.amphorae if a.retiring and exists(observed, a)]
    due.sort(key=lambda a: (a.id == observed.owner, a.role != BACKUP))
    return _cast(desired.roles, [*(a for a in observed.amphorae if not a.retiring), *due[1:]])


def _cast(roles: Iterable[str], amphorae: Iterable[Amphora]) -> tuple[list[Amphora], list[str]]:
    """Which amphorae are kept, the first of each role, or one that was alone; and the roles that nobody has."""
    free, kept, missing = list(amphorae), list[Amphora](), list[str]()
    for role in roles:
        found = next((a for a in free if a.role == role), None) or next((a for a in free if a.role == ALONE), None)
        if found is None:
            missing.append(role)
        else:
            free.remove(found)
            kept.append(found)
    return kept, missing


def _recast(
    desired: Desired, kept: Iterable[Amphora], there: list[Amphora], missing: Iterable[str]
) -> Iterable[tuple[str, str]]:
    """Those that are alone become ones of a pair while there are others, or are to be; who is left becomes the one alone."""
    single = len(desired.roles) == 1
    for role, amphora in zip(desired.roles, kept, strict=False):
        if single and not there:
            wanted = ALONE
        elif amphora.role == ALONE:
            wanted = MASTER if single else _free_role(desired.roles, kept, role)
        else:
            wanted = amphora.role
        if amphora.role != wanted:
            yield amphora.id, wanted
    yield from ((a.id, MASTER) for a in there if a.role == ALONE and (kept or missing))


def _free_role(roles: tuple[str, ...], kept: Iterable[Amphora], role: str) -> str:
    taken = {amphora.role for amphora in kept}
    return role if role not in taken else next(one for one in roles if one not in taken)


def _preferred(kept: Iterable[Amphora], there: list[Amphora], observed: Observed) -> str | None:
    if not there:
        return None
    able = [a.id for a in kept if observed.up(a) and a.id in observed.digests and a.id not in observed.failing]
    if observed.owner in able:
        return observed.owner
    return able[0] if able else None
