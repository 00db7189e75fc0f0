# SPDX-License-Identifier: Apache-2.0
"""Where an L7 policy stands among those of its listener: positions without gaps, as Octavia keeps them.

Octavia inserts at the position that is asked for, as far as there is one; so three policies that ask for 3, 2 and 1 in
this order would end as 2, 3, 1. A program makes its policies in no particular order, so what it asks for is remembered
(``asked_position``), and policies that a program made stand in the order in which it wrote them.
"""

from __future__ import annotations

from octavia_provider.model.l7_policy import POSITION_MAX
from octavia_provider.ports import Record, Transaction

ASKED = "asked_position"


def put(tx: Transaction, listener_id: str, id_: str, position: int | None, *, written: bool) -> int:
    """Make room and answer the position; ``written``: by a program, whose order is to hold."""
    others = _others(tx, listener_id, id_)
    index = min((position or POSITION_MAX) - 1, len(others))
    if written and position is not None:
        index = _as_written(others, position, index)
    for place, other in enumerate(others):
        _move(tx, other, place + 1 + (place >= index))
    return index + 1


def close_up(tx: Transaction, listener_id: str) -> None:
    """Leave no gap where a policy has gone."""
    for place, other in enumerate(_others(tx, listener_id, "")):
        _move(tx, other, place + 1)


def _others(tx: Transaction, listener_id: str, id_: str) -> list[Record]:
    found = [r for r in tx.find("l7_policy", parent=("listener_id", listener_id)) if r.id != id_ and not r.deleting]
    return sorted(found, key=lambda record: record.spec["position"])


def _as_written(others: list[Record], position: int, index: int) -> int:
    """Behind those that ask for less, before those that ask for more; between them as Octavia."""
    asked = [record.spec.get(ASKED) for record in others]
    low = max((place + 1 for place, other in enumerate(asked) if other is not None and other < position), default=0)
    high = min(
        (place for place, other in enumerate(asked) if other is not None and other > position), default=len(others)
    )
    return max(low, min(index, high))


def _move(tx: Transaction, record: Record, position: int) -> None:
    if record.spec["position"] != position:
        tx.update(record.id, {**record.spec, "position": position})
