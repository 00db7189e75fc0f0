# SPDX-License-Identifier: Apache-2.0
"""DELETE as a function of a transaction: what goes with an object, and what lets go of it."""

from __future__ import annotations

from octavia_provider.model.errors import Conflict, Invalid, Violation
from octavia_provider.model.kinds import KINDS, reconciled
from octavia_provider.model.listener import WITHOUT_POOL
from octavia_provider.ports import Record, Settlement, Transaction

from . import flavor_rules, l7_positions
from .certificates import refuse_copy
from .rules import subject, users


def remove(tx: Transaction, record: Record, *, cascade: bool = False) -> int:
    """Mark the object and what goes with it; answers the generation that settles it. Asked twice, it is done once."""
    if record.deleting:
        return record.generation
    refuse_copy(record, "deleted")
    if not reconciled(record.kind):
        flavor_rules.check_unused(tx, record)
        generation = tx.mark_deleting([record.id])
        tx.settle(Settlement(scope_id=record.scope_id, generation=generation))
        return generation
    generation = tx.mark_deleting([record.id, *_along(tx, record, cascade=cascade)])
    if record.kind == "l7_policy":
        l7_positions.close_up(tx, record.spec["listener_id"])
    return generation


def _along(tx: Transaction, record: Record, *, cascade: bool) -> list[str]:
    """What goes with it, when it may go; whatever names it and stays lets go of it."""
    match record.kind:
        case "load_balancer":
            return _children(tx, record, cascade=cascade)
        case "listener":
            _let_go(tx, "pool", "listener_id", record)
            return [part.id for part in _policies(tx, record)]
        case "l7_policy":
            return tx.ids("l7_rule", ("l7policy_id", record.id))
        case "pool":
            _no_target(tx, record)
            _let_go(tx, "listener", "default_pool_id", record)
            return [part.id for part in _parts(tx, record)]
        case "local_network":
            _unused(tx, record, "stands in it")
        case "tls_container" | "amphora_group":
            _unused(tx, record, "uses it")
    return []


def replace(tx: Transaction, leftover: Record) -> None:
    """Make room for another in its place; never at the cost of what somebody else has built on it."""
    using = users(tx, leftover.kind, leftover.id)
    if using:
        raise Conflict(
            f"it was left behind by an interrupted run, differs in what cannot be changed, and {subject(using[0])} uses it",
            subject=subject(leftover), hint=f"delete {leftover.id} and what uses it, then repeat",
        )  # fmt: skip
    remove(tx, leftover)


def _children(tx: Transaction, record: Record, *, cascade: bool) -> list[str]:
    children = [r for r in tx.find(scope_id=record.scope_id) if r.id != record.id and not r.deleting]
    if children and not cascade:
        message = f"it has children, such as {subject(children[0])}; delete them first, or use cascade=true"
        raise Invalid([Violation((), message)], subject=subject(record))
    return [child.id for child in children]


def _parts(tx: Transaction, pool: Record) -> list[Record]:
    return [r for kind in ("member", "health_monitor") for r in tx.find(kind, parent=("pool_id", pool.id))]


def _policies(tx: Transaction, listener: Record) -> list[Record]:
    """The L7 policies of a listener and their rules, which go with it."""
    policies = tx.find("l7_policy", parent=("listener_id", listener.id))
    return policies + [r for policy in policies for r in tx.find("l7_rule", parent=("l7policy_id", policy.id))]


def _no_target(tx: Transaction, pool: Record) -> None:
    """As Octavia: a pool that L7 policies redirect to stays."""
    using = [r for r in tx.find("l7_policy", parent=("redirect_pool_id", pool.id)) if not r.deleting]
    if using:
        raise Conflict(
            f"{subject(using[0])} redirects to it", subject=subject(pool),
            hint="delete that policy first, or let it do something else",
        )  # fmt: skip


def _let_go(tx: Transaction, kind: str, attribute: str, record: Record) -> None:
    """As Octavia: a listener loses its default pool, a pool its listener, and stays."""
    without = {WITHOUT_POOL: True} if kind == "listener" else {}
    for other in tx.find(kind, parent=(attribute, record.id)):
        if not other.deleting:
            tx.update(other.id, {**other.spec, attribute: None, **without})


def _unused(tx: Transaction, record: Record, how: str) -> None:
    using = users(tx, record.kind, record.id)
    if using:
        word = KINDS[record.kind].LABEL
        hint = f"take {subject(using[0])} off it or delete that first, then the {word}"
        raise Conflict(f"{subject(using[0])} {how}", subject=subject(record), hint=hint)
