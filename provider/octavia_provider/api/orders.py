# SPDX-License-Identifier: Apache-2.0
"""What a POST asks for: one object, or a load balancer with all that is nested in it, as a list of single objects.

Nested objects get their ids here, so that each can name its parent before any is written; each is then validated as if
it had come alone, with its place in the body as the path.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import (
    VIOLATIONS,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Path,
    PermanentError,
    Violation,
    spell,
)
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.l7_policy import follow_action
from octavia_provider.model.load_balancer import VIP_FORMS
from octavia_provider.model.quota import Quota
from octavia_provider.model.validate import validate

from .reading import understood

PROJECT = ("project_id", "tenant_id")
# By what objects name their parents in calls of their own; nested ones stand in theirs.
_PARENTS: Mapping[str, tuple[str, ...]] = {
    "listener": ("loadbalancer_id",), "pool": ("loadbalancer_id", "listener_id"), "member": ("pool_id",),
    "health_monitor": ("pool_id",), "l7_policy": ("listener_id",), "l7_rule": ("l7policy_id",),
}  # fmt: skip


@dataclass(slots=True)
class Order:
    """One object to be made. ``values``: its canonical inputs, once validated.

    ``said``: where the request says an attribute that it does not give by its name, from the object's own place: a
    listener's ``default_pool_id`` as ``default_pool``, a parent's id by where the object stands. ``project_id``: whose it
    is, unless it belongs to a load balancer and so to that one's project.
    """

    kind: str
    raw: dict[str, Any]
    project_id: str
    path: Path = ()
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    values: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name; empty where it has none."""
        name = self.raw.get("name")
        return name if isinstance(name, str) else ""

    @property
    def subject(self) -> str:
        """How messages call it."""
        return f"{KINDS[self.kind].LABEL} {self.name}" if self.name else KINDS[self.kind].LABEL

    def at(self, path: Path) -> Path:
        """The path in the request of what is wrong at ``path``, which leads to an attribute of this object."""
        inner = path[len(self.path) :]
        if inner and inner[0] in self.said:
            return (*self.path, *self.said[str(inner[0])], *inner[1:])
        return path


def orders(kind: str, raw: Mapping[str, Any], project_id: str) -> list[Order]:
    """All objects of a body, parents first (the one asked for is the first), valid by themselves; else ``Invalid``."""
    found: list[Violation] = []
    own = kind == "load_balancer"  # what is in one has its project, and Octavia ignores what is given there
    found.extend(misnamed(raw))
    root = Order(kind, _without_project(kind, raw), _project(raw, project_id, found) if own else project_id)
    if kind == "load_balancer" and not raw.get("vip_network_id"):
        given = [form for form in VIP_FORMS if raw.get(form)]  # by which the network was found
        root.said = {"vip_network_id": (given[0],)} if given else {}
    made = _Expansion(found).expand(root)
    misshapen = [violation.path for violation in found]
    for order in made:
        if len(found) >= VIOLATIONS:
            break
        if order.kind == "l7_policy" and order.raw.get("action"):
            order.raw = follow_action(order.raw)
        result = validate(KINDS[order.kind], order.raw, path=order.path)
        order.values = result.values
        found.extend(_news(order, result.violations, misshapen))
    if found:
        raise Invalid(found, subject=root.subject)
    return made


def _news(order: Order, found: Sequence[Violation], misshapen: Sequence[Path]) -> Iterator[Violation]:
    """Without what another violation says: what could not be read is not missed too, a parent's id is wrong where it is given."""
    for violation in found:
        at = order.at(violation.path)
        if at != order.path and not any(path[: len(at)] == at for path in misshapen):
            yield Violation(at, violation.message)


def told(error: PermanentError, order: Order, made: Sequence[Order]) -> PermanentError:
    """Why an order was refused, in the words of the request: its paths, and no id that was made up here."""
    message = _known(error.message, made)
    match error:
        case Invalid():
            violations = [Violation(order.at(v.path), _known(v.message, made)) for v in error.violations]
            return Invalid(violations, subject=order.subject)
        case Conflict():
            path = order.at((*order.path, *error.path)) if error.path else ()
            return Conflict(message, subject=order.subject, hint=error.hint, path=path, holder=error.holder)
        case NotFound():
            return NotFound(message, subject=order.subject, path=order.at(error.path) if error.path else ())
        case Forbidden():
            return Forbidden(message, subject=order.subject, hint=error.hint, path=order.path)
    return error


def _known(message: str, made: Sequence[Order]) -> str:
    for order in made:
        message = message.replace(order.id, order.name or spell(order.path) or "of this request")
    return message


def misnamed(given: Mapping[str, Any], path: Path = ()) -> Iterator[Violation]:
    """Projects that are no names. That of a load balancer's part is not used, but a wrong type is no project either."""
    for name in PROJECT:
        if not isinstance(given.get(name), (str, type(None))):
            yield Violation((*path, name), "must be a string")


def _without_project(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in understood(kind, given).items() if name not in PROJECT}


def _project(raw: Mapping[str, Any], own: str, found: list[Violation]) -> str:
    """The project that a load balancer is made for (octavia/api/common/types.py: ``tenant_id`` says it where the other does not)."""
    name = next((name for name in PROJECT if raw.get(name)), "")
    project = raw.get(name)
    if not isinstance(project, str):
        return own
    found.extend(Violation((name,), v.message) for v in validate(Quota, {Quota.KEY: project}).violations)
    return project


class _Expansion:
    """Takes nested objects out of their parents; what has the wrong shape is reported.

    Pools may be named by whatever is in the same request, wherever they stand in it, so names are looked up at the end.
    """

    def __init__(self, found: list[Violation]) -> None:
        self._found = found
        self._made: list[Order] = []
        self._references: list[tuple[Order, str, Any]] = []
        self._balancer_id: Any = None

    def expand(self, root: Order) -> list[Order]:
        """All objects, the given one first."""
        self._add(root)
        pools = self._pools_by_name(required=root.kind == "load_balancer")
        for order, attribute, name in self._references:
            if isinstance(name, str) and name in pools:
                order.raw[f"{attribute}_id"] = pools[name].id
            elif isinstance(name, str) and name:
                self._refuse((*order.path, attribute, "name"), f"no pool of this request has the name {quoted(name)}")
            else:
                self._refuse((*order.path, attribute, "name"), "must be the name of a pool of this request")
        return self._made

    def _pools_by_name(self, *, required: bool) -> dict[str, Order]:
        """The pools of the request; each name is that of one (octavia/api/v2/controllers/load_balancer.py: _graph_create)."""
        pools: dict[str, Order] = {}
        for pool in self._made:
            if pool.kind != "pool":
                continue
            at = (*pool.path, "name")
            if pool.name in pools:
                other = spell(pools[pool.name].path)
                self._refuse(
                    at,
                    f"{quoted(pool.name)} is the name of {other} too; pools made in one call need names of their own",
                )
            elif pool.name:
                pools[pool.name] = pool
            elif required and pool.raw.get("name") in (None, ""):
                self._refuse(at, "is required: pools made with their load balancer are known by their names")
        return pools

    def _add(self, order: Order) -> None:
        self._made.append(order)
        match order.kind:
            case "load_balancer":
                self._balancer_id = order.id
                self._items(order, "pools", "pool", loadbalancer_id=order.id)
                self._items(order, "listeners", "listener", loadbalancer_id=order.id)
            case "listener":
                self._balancer_id = order.raw.get("loadbalancer_id")
                self._pool(order, "default_pool")
                self._items(order, "l7policies", "l7_policy", listener_id=order.id)
            case "pool":
                self._items(order, "members", "member", pool_id=order.id)
                monitor = order.raw.pop("healthmonitor", None)
                if monitor is not None:
                    self._item(order, ("healthmonitor",), monitor, "health_monitor", pool_id=order.id)
            case "l7_policy":
                if order.path:
                    self._pool(order, "redirect_pool")
                self._items(order, "rules", "l7_rule", l7policy_id=order.id)

    def _pool(self, order: Order, name: str) -> None:
        """A pool given in full, or by the name of one in the same request."""
        given, attribute = order.raw.pop(name, None), f"{name}_id"
        if order.raw.get(attribute) is None:
            order.said[attribute] = (name,)
        elif given is not None:
            self._refuse((*order.path, attribute), f"does not go with {name}: one of them says the pool")
        if isinstance(given, dict) and given.keys() == {"name"}:
            self._references.append((order, name, given["name"]))
        elif given is not None:
            pool = self._item(order, (name,), given, "pool", loadbalancer_id=self._balancer_id)
            order.raw[attribute] = pool.id if pool else None

    def _items(self, order: Order, name: str, kind: str, **parent: str) -> None:
        given = order.raw.pop(name, None)
        if isinstance(given, list):
            for index, item in enumerate(given):
                self._item(order, (name, index), item, kind, **parent)
        elif given is not None:
            self._refuse((*order.path, name), "must be a list")

    def _item(self, order: Order, place: Path, given: Any, kind: str, **parent: Any) -> Order | None:
        path = (*order.path, *place)
        if not isinstance(given, dict):
            self._refuse(path, "must be an object")
            return None
        self._found.extend(misnamed(given, path))
        raw = _without_project(kind, given)
        for name in _PARENTS[kind]:
            if raw.pop(name, None) is not None:
                self._refuse((*path, name), f"cannot be given here: {KINDS[kind].LABEL}s belong to what they stand in")
        made = Order(kind, {**raw, **parent}, order.project_id, path, said=dict.fromkeys(parent, ()))
        self._add(made)
        return made

    def _refuse(self, path: Path, message: str) -> None:
        self._found.append(Violation(path, message))
        if len(self._found) >= VIOLATIONS:
            raise Invalid(self._found)
