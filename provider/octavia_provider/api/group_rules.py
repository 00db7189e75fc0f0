# SPDX-License-Identifier: Apache-2.0
"""Rules about amphora groups and the load balancers in them: whether there is room. Who is put where: ``controller.seats``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from octavia_provider.model import flavor
from octavia_provider.model.errors import Conflict, Path
from octavia_provider.ports import Record, Transaction, flavor_data

from .rules import parent, subject, users

GROUP, NAMED = "amphora_group", "amphora_group_id"


def check(tx: Transaction, kind: str, values: Mapping[str, Any], *, was: Record | None, path: Path = ()) -> None:
    """The rules for one object that is about to be written; ``was`` is what it was before, if it was."""
    if kind == "load_balancer" and values.get(NAMED):
        before = (was.spec.get(NAMED), was.spec.get("flavor_id")) if was is not None else None
        if before != (values[NAMED], values["flavor_id"]):
            _joins(tx, values, was, path)
    elif kind == GROUP and was is not None:
        _has_room(tx, values, was, path)


def _joins(tx: Transaction, values: Mapping[str, Any], was: Record | None, path: Path) -> None:
    at = (*path, NAMED)
    group = parent(tx, GROUP, values[NAMED], at)
    needed = len(flavor.roles(flavor_data(tx, values["flavor_id"])))
    size, capacity = group.spec["size"], group.spec["capacity"]
    if needed > size:
        raise Conflict(
            f"{subject(group)} has one amphora, and the flavor says that the load balancer has two", path=at,
            hint="raise the size of the group, or give the load balancer a flavor of one (SINGLE)",
        )  # fmt: skip
    taken = sum(_wanted(tx, group, without=was).values())
    if taken + needed > size * capacity:
        raise Conflict(
            f"{subject(group)} is full: its size of {size} and its capacity of {capacity} load balancers on each amphora leave "
            f"{size * capacity - taken} of {size * capacity} places, and {needed} are needed",
            path=at, hint="raise the size or the capacity of the group, or choose another one",
        )  # fmt: skip


def _has_room(tx: Transaction, values: Mapping[str, Any], was: Record, path: Path) -> None:
    """Of a group that gets smaller: for all that use it."""
    size, capacity = values["size"], values["capacity"]
    if size >= was.spec["size"] and capacity >= was.spec["capacity"]:
        return
    wanted = _wanted(tx, was)
    if max(wanted.values(), default=0) > size:
        using = next(one for one in users(tx, GROUP, was.id) if wanted[one.id] > size)
        raise Conflict(
            f"{subject(using)} has two amphorae in it", subject=subject(was), path=(*path, "size"),
            hint="move it, or give it a flavor of one (SINGLE); then make the group smaller",
        )  # fmt: skip
    on_one = Counter(seat.host_id for seat in tx.seats(host.id for host in tx.amphorae(was.id)))
    most = max(on_one.values(), default=0)
    if sum(wanted.values()) > size * capacity or (capacity < most and capacity < was.spec["capacity"]):
        at = "size" if size < was.spec["size"] else "capacity"
        raise Conflict(
            f"its load balancers take {sum(wanted.values())} places, up to {most} on one amphora; a size of {size} and a capacity of "
            f"{capacity} are {size * capacity}", subject=subject(was), path=(*path, at),
            hint="move load balancers to another group, then make this one smaller",
        )  # fmt: skip


def _wanted(tx: Transaction, group: Record, *, without: Record | None = None) -> dict[str, int]:
    """How many amphorae each load balancer of the group has in it."""
    known: dict[str | None, int] = {}
    found: dict[str, int] = {}
    for user in users(tx, GROUP, group.id):
        flavor_id = user.spec.get("flavor_id")
        if flavor_id not in known:
            known[flavor_id] = len(flavor.roles(flavor_data(tx, flavor_id)))
        if without is None or user.id != without.id:
            found[user.id] = known[flavor_id]
    return found
