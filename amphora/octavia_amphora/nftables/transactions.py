# SPDX-License-Identifier: Apache-2.0
"""What is in a load balancer's table → the transactions of nftables that make it what a ``Ruleset`` says. Pure.

The kernel puts a transaction's rules in force some microseconds before the elements of its sets and maps, and takes those of
rules that go at once: packets of this moment find a map empty and go nowhere. So rules are made in chains that nothing leads to
yet, in a transaction of their own. The next one makes the chains with the hooks jump there; the last one deletes what is used no
longer. What a process that was killed between them has left is found by looking (``Present.read``), and goes with the next change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, Self

from . import handover
from .ruleset import HOOKED, Ruleset

_DECLARED = re.compile(r"^\t(chain|set|map|counter) (\S+) \{", re.MULTILINE)
_JUMP = re.compile(r"^\t\tjump (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Present:
    """What is in a table. ``objects``: as ``nft delete`` names them; ``jumps``: the chains that those with hooks lead to."""

    objects: frozenset[str] = frozenset()
    jumps: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ruleset: Ruleset) -> Self:
        """What is there when all of it is in force."""
        return cls(ruleset.objects, ruleset.jumps)

    @classmethod
    def read(cls, listing: str) -> Self:
        """What ``nft -t list table`` tells; nothing where there is no table."""
        objects = frozenset(f"{kind} {name}" for kind, name in _DECLARED.findall(listing))
        return cls(objects, frozenset(_JUMP.findall(listing)))


class Transactions(NamedTuple):
    """What ``nft -f`` is told, one after the other, where it is not empty: ``prepare`` makes what ``switch`` puts in force;
    ``clean`` takes away what is used no longer."""

    prepare: str = ""
    switch: str = ""
    clean: str = ""


def transactions(new: Ruleset, old: Ruleset, there: Present, *, others_track: bool = False) -> Transactions:
    """What leads to ``new``. ``old``: whose VIPs are tracked until now. ``others_track``: other load balancers of the amphora have
    VIPs of a pair, too."""
    gone, last = old.tracked - new.tracked, not (new.tracked or others_track)
    tracking = handover.track(new.tracked) if new.tracked else ""
    tracking += handover.untrack(gone, last=last) if gone else ""
    hooks = {f"chain {name}" for name in HOOKED} & there.objects
    if not new.text:
        delete = f"add table inet {new.table}\ndelete table inet {new.table}\n" if there.objects else ""
        return Transactions("", _flush(new.table, hooks) + tracking, delete)
    prepare = "" if new.objects <= there.objects else new.rules
    switch = "" if new.jumps == there.jumps else _flush(new.table, hooks - new.objects) + new.switch
    return Transactions(prepare, switch + tracking, _delete(new.table, there.objects - new.objects))


def _flush(table: str, chains: AbstractSet[str]) -> str:
    return "".join(f"flush chain inet {table} {one.partition(' ')[2]}\n" for one in sorted(chains))


def _delete(table: str, objects: Iterable[str]) -> str:
    """Chains first, all of them emptied before: they name the others."""
    ordered = sorted(objects)
    text = _flush(table, {one for one in ordered if one.startswith("chain ")})
    for one in ordered:
        kind, _, name = one.partition(" ")
        text += f"delete {kind} inet {table} {name}\n"
    return text
