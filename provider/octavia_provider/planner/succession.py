# SPDX-License-Identifier: Apache-2.0
"""Which amphorae of a load balancer stay and which are replaced, who is to have the VIPs, and how each carries them. Pure.

An amphora that leaves serves until what replaces it does. With VRRP the one that is ``preferred`` takes the VIPs over. An amphora
alone has its VIPs on its interface by itself; while it is replaced, the two carry them in both ways in turn: each VIP is on the
network at one of them at least, and each of them takes what is sent to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from octavia_provider.ports import Amphora, Instance

from .views import Desired, Observed

ALONE = "STANDALONE"
Carried = frozenset[tuple[str, bool]]
"""Addresses, and whether each is carried as one of a pair (``Vip.shared``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """``kept``: the amphora of each role that has one, in the order of the roles; ``missing``: the roles that nobody has.

    ``leaving``: all others. ``preferred``: which of a pair is to have the VIPs while others leave; None: VRRP decides.
    ``established``: the VIPs are at those that stay, and those that leave may give them up.
    """

    kept: tuple[Amphora, ...]
    leaving: tuple[Amphora, ...]
    missing: tuple[str, ...]
    preferred: str | None = None
    established: bool = False

    @property
    def alone(self) -> bool:
        """Whether one amphora without VRRP is to serve."""
        return any(amphora.role == ALONE for amphora in self.kept) or self.missing == (ALONE,)


def succession(desired: Desired, observed: Observed) -> Succession:
    """Of what is known now."""
    waiting = _wait_for_their_turn(desired, observed)
    staying = [a for a in observed.amphorae if not a.retiring]
    kept, missing = _cast(desired.roles, [*staying, *waiting])
    ids = {amphora.id for amphora in kept}
    leaving = tuple(a for a in observed.amphorae if a.id not in ids)
    found = Succession(kept=tuple(kept), leaving=leaving, missing=tuple(missing))
    there = [a for a in leaving if exists(observed, a)]
    return Succession(
        kept=found.kept, leaving=leaving, missing=found.missing, preferred=_preferred(found, there, observed),
        established=_established(desired, found, observed),
    )  # fmt: skip


def exists(observed: Observed, amphora: Amphora) -> bool:
    """Whether the cloud has it and says that it runs."""
    instance = observed.instances.get(amphora.id)
    return instance is not None and instance.alive


def carrying(desired: Desired, found: Succession, observed: Observed, amphora: Amphora) -> Carried:
    """What an amphora is to carry now."""
    own = {(vip.address, False) for vip in amphora.own} or {(address, False) for address in desired.reach}
    by_itself, as_one = _both(desired)
    if amphora.role != ALONE:
        return frozenset(own | as_one)
    leaving = [a for a in found.leaving if a.id != amphora.id and exists(observed, a)]
    if amphora in found.kept:
        before = (
            bool(leaving) and not _in_force(desired, observed, amphora) and not _has_them(desired, observed, amphora)
        )
        still = any(_carried(observed, other) & by_itself for other in leaving if other.role == ALONE)
        return frozenset(own | (as_one if before else by_itself | as_one if still else by_itself))
    return frozenset(own | (as_one if found.established else by_itself))


def carried(instance: Instance) -> Carried:
    """What an instance carries."""
    return frozenset({*((a, False) for a in instance.vips), *((a, True) for a in instance.shared)})


def _wait_for_their_turn(desired: Desired, observed: Observed) -> list[Amphora]:
    """Of several that are to be replaced and run, one goes after the other: first those that do not have the VIPs."""
    due = [a for a in observed.amphorae if a.retiring and a.role in desired.roles and exists(observed, a)]
    due.sort(key=lambda a: (a.id == observed.owner, a.role == "MASTER"))
    return due[1:]


def _cast(roles: Iterable[str], amphorae: Iterable[Amphora]) -> tuple[list[Amphora], list[str]]:
    """Which amphorae are kept, the first of each role, in the order of the roles; and the roles that nobody has."""
    free, kept, missing = list(amphorae), list[Amphora](), list[str]()
    for role in roles:
        found = next((amphora for amphora in free if amphora.role == role), None)
        if found is None:
            missing.append(role)
        else:
            free.remove(found)
            kept.append(found)
    return kept, missing


def _preferred(found: Succession, there: list[Amphora], observed: Observed) -> str | None:
    if found.alone or not any(amphora.role != ALONE for amphora in there):
        return None
    able = [a.id for a in found.kept if observed.up(a) and a.id in observed.digests and a.id not in observed.failing]
    if observed.owner in able:
        return observed.owner
    return able[0] if able else None


def _established(desired: Desired, found: Succession, observed: Observed) -> bool:
    if found.alone:
        return any(_has_them(desired, observed, amphora) for amphora in found.kept)
    return any(amphora.id == observed.owner for amphora in found.kept)


def _has_them(desired: Desired, observed: Observed, amphora: Amphora) -> bool:
    return exists(observed, amphora) and _both(desired)[0] <= _carried(observed, amphora)


def _both(desired: Desired) -> tuple[set[tuple[str, bool]], set[tuple[str, bool]]]:
    return {(address, False) for address in desired.vips}, {(address, True) for address in desired.vips}


def _carried(observed: Observed, amphora: Amphora) -> Carried:
    instance = observed.instances.get(amphora.id)
    return carried(instance) if instance else frozenset()


def _in_force(desired: Desired, observed: Observed, amphora: Amphora) -> bool:
    known = observed.digests.get(amphora.id)
    return known is not None and known == desired.digest.get(amphora.id)
