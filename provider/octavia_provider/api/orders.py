# SPDX-License-Identifier: Apache-2.0
"""What a POST asks for: one object, or a load balancer with all that is nested in it, as a list of single objects.

Nested objects get their ids here, so that each can name its parent before any is written; each is then validated as if
it had come alone, with its place in the body as the path.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.errors import Invalid, Path, Violation
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.validate import validate


@dataclass(slots=True)
class Order:
    """One object to be made. ``values``: its canonical inputs, once validated."""

    kind: str
    raw: dict[str, Any]
    path: Path = ()
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """How messages call it."""
        name = self.raw.get("name")
        return f"{KINDS[self.kind].LABEL} {name}" if isinstance(name, str) and name else KINDS[self.kind].LABEL


def orders(kind: str, raw: Mapping[str, Any], project_id: str) -> list[Order]:
    """All objects of a body, parents first (the one asked for is the first), valid by themselves; else ``Invalid``."""
    found: list[Violation] = []
    made = list(_Expansion(found).expand(Order(kind, _owned(kind, raw, project_id))))
    made.sort(key=lambda order: order.path != ())
    for order in made:
        result = validate(KINDS[order.kind], order.raw, path=order.path)
        order.values = result.values
        found.extend(result.violations)
    if found:
        raise Invalid(found, subject=made[0].subject)
    return made


def _owned(kind: str, raw: Mapping[str, Any], project_id: str) -> dict[str, Any]:
    """Without the project, which children have from their load balancer: there, Octavia ignores what is given."""
    own = kind == "load_balancer"
    return {
        name: value for name, value in raw.items()
        if name not in ("project_id", "tenant_id") or (own and value not in (project_id, None))
    }  # fmt: skip


class _Expansion:
    """Takes nested objects out of their parents; what has the wrong shape is reported."""

    def __init__(self, found: list[Violation]) -> None:
        self._found = found

    def expand(self, order: Order) -> Iterator[Order]:
        match order.kind:
            case "load_balancer":
                yield from self._load_balancer(order)
            case "listener":
                yield from self._listener(order, ())
            case "pool":
                yield from self._pool(order)
            case "l7_policy":
                yield from self._l7_policy(order)
            case _:
                yield order

    def _load_balancer(self, order: Order) -> Iterator[Order]:
        parent = {"loadbalancer_id": order.id}
        pools = self._items(order, "pools", "pool", parent)
        listeners = self._items(order, "listeners", "listener", parent)
        yield order
        for pool in pools:
            yield from self._pool(pool)
        for listener in listeners:
            yield from self._listener(listener, pools)

    def _listener(self, order: Order, pools: Iterable[Order]) -> Iterator[Order]:
        given = order.raw.pop("default_pool", None)
        balancer_id = order.raw.get("loadbalancer_id")
        yield from self._named_pool(order, "default_pool", given, balancer_id, pools)
        policies = self._items(order, "l7policies", "l7_policy", {"listener_id": order.id})
        yield order
        for policy in policies:
            target = policy.raw.pop("redirect_pool", None)
            yield from self._named_pool(policy, "redirect_pool", target, balancer_id, pools)
            yield from self._l7_policy(policy)

    def _l7_policy(self, order: Order) -> Iterator[Order]:
        rules = self._items(order, "rules", "l7_rule", {"l7policy_id": order.id})
        yield order
        yield from rules

    def _named_pool(
        self, order: Order, name: str, given: Any, balancer_id: Any, pools: Iterable[Order]
    ) -> Iterator[Order]:
        """A pool given in full, or by the name of one in the same request."""
        if isinstance(given, dict) and given.keys() == {"name"}:
            self._by_name(order, name, given["name"], pools)
        elif given is not None:
            pool = self._item(order, name, given, "pool", {"loadbalancer_id": balancer_id})
            order.raw[f"{name}_id"] = pool.id
            yield from self._pool(pool)

    def _by_name(self, order: Order, attribute: str, name: Any, pools: Iterable[Order]) -> None:
        named = [pool for pool in pools if pool.raw.get("name") == name]
        if len(named) == 1:
            order.raw[f"{attribute}_id"] = named[0].id
            return
        message = f"{len(named)} pools of this request have the name {name!r}; there must be one"
        self._found.append(Violation((*order.path, attribute, "name"), message))

    def _pool(self, order: Order) -> Iterator[Order]:
        parent = {"pool_id": order.id}
        members = self._items(order, "members", "member", parent)
        monitor = order.raw.pop("healthmonitor", None)
        yield order
        yield from members
        if monitor is not None:
            yield self._item(order, "healthmonitor", monitor, "health_monitor", parent)

    def _items(self, order: Order, name: str, kind: str, parent: Mapping[str, Any]) -> list[Order]:
        given = order.raw.pop(name, None) or []
        if not isinstance(given, list):
            self._found.append(Violation((*order.path, name), "must be a list"))
            return []
        return [self._item(order, name, item, kind, parent, i) for i, item in enumerate(given)]

    def _item(
        self, order: Order, name: str, given: Any, kind: str, parent: Mapping[str, Any], *index: int
    ) -> Order:  # fmt: skip
        path = (*order.path, name, *index)
        if not isinstance(given, dict):
            self._found.append(Violation(path, "must be an object"))
            given = {}
        return Order(kind, {**_owned("", given, ""), **parent}, path)
