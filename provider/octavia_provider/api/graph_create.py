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
from octavia_provider.model.validation import validate

from .compat.coercion import understood

PROJECT = ("project_id", "tenant_id")
# By what objects name their parents in calls of their own; nested ones stand in theirs.
_PARENTS: Mapping[str, tuple[str, ...]] = {
    "listener": ("loadbalancer_id",), "pool": ("loadbalancer_id", "listener_id"), "member": ("pool_id",),
    "health_monitor": ("pool_id",), "l7_policy": ("listener_id",), "l7_rule": ("l7policy_id",),
}  # fmt: skip


@dataclass(slots=True)
class CreateRequest:
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


def create_requests(kind: str, raw: Mapping[str, Any], project_id: str) -> list[CreateRequest]:
    """All objects of a body, parents first (the one asked for is the first), valid by themselves; else ``Invalid``."""
    found: list[Violation] = []
    own = kind == "load_balancer"  # what is in one has its project, and Octavia ignores what is given there
    found.extend(misnamed(raw))
    root = CreateRequest(kind, _without_project(kind, raw), _project(raw, project_id, found) if own else project_id)
    if kind == "load_balancer" and not raw.get("vip_network_id"):
        given = [form for form in VIP_FORMS if raw.get(form)]  # by which the network was found
        root.said = {"vip_network_id": (given[0],)} if given else {}
    made = _Expansion(found).expand(root)
    misshapen = [violation.path for violation in found]
    for create_request in made:
        if len(found) >= VIOLATIONS:
            break
        if create_request.kind == "l7_policy" and create_request.raw.get("action"):
            create_request.raw = follow_action(create_request.raw)
        result = validate(KINDS[create_request.kind], create_request.raw, path=create_request.path)
        create_request.values = result.values
        found.extend(_news(create_request, result.violations, misshapen))
    if found:
        raise Invalid(found, subject=root.subject)
    return made


def _news(create_request: CreateRequest, found: Sequence[Violation], misshapen: Sequence[Path]) -> Iterator[Violation]:
    """Without what another violation says: what could not be read is not missed too, a parent's id is wrong where it is given."""
    for violation in found:
        at = create_request.at(violation.path)
        if at != create_request.path and not any(path[: len(at)] == at for path in misshapen):
            yield Violation(at, violation.message)


def told(error: PermanentError, create_request: CreateRequest, made: Sequence[CreateRequest]) -> PermanentError:
    """Why an order was refused, in the words of the request: its paths, and no id that was made up here."""
    message = _known(error.message, made)
    match error:
        case Invalid():
            violations = [Violation(create_request.at(v.path), _known(v.message, made)) for v in error.violations]
            return Invalid(violations, subject=create_request.subject)
        case Conflict():
            path = create_request.at((*create_request.path, *error.path)) if error.path else ()
            return Conflict(message, subject=create_request.subject, hint=error.hint, path=path, holder=error.holder)
        case NotFound():
            return NotFound(
                message, subject=create_request.subject, path=create_request.at(error.path) if error.path else ()
            )
        case Forbidden():
            return Forbidden(message, subject=create_request.subject, hint=error.hint, path=create_request.path)
    return error


def _known(message: str, made: Sequence[CreateRequest]) -> str:
    for create_request in made:
        message = message.replace(
            create_request.id, create_request.name or spell(create_request.path) or "of this request"
        )
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
        self._made: list[CreateRequest] = []
        self._references: list[tuple[CreateRequest, str, Any]] = []
        self._balancer_id: Any = None

    def expand(self, root: CreateRequest) -> list[CreateRequest]:
        """All objects, the given one first."""
        self._add(root)
        pools = self._pools_by_name(required=root.kind == "load_balancer")
        for create_request, attribute, name in self._references:
            if isinstance(name, str) and name in pools:
                create_request.raw[f"{attribute}_id"] = pools[name].id
            elif isinstance(name, str) and name:
                self._refuse(
                    (*create_request.path, attribute, "name"), f"no pool of this request has the name {quoted(name)}"
                )
            else:
                self._refuse((*create_request.path, attribute, "name"), "must be the name of a pool of this request")
        return self._made

    def _pools_by_name(self, *, required: bool) -> dict[str, CreateRequest]:
        """The pools of the request; each name is that of one (octavia/api/v2/controllers/load_balancer.py: _graph_create)."""
        pools: dict[str, CreateRequest] = {}
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

    def _add(self, create_request: CreateRequest) -> None:
        self._made.append(create_request)
        match create_request.kind:
            case "load_balancer":
                self._balancer_id = create_request.id
                self._items(create_request, "pools", "pool", loadbalancer_id=create_request.id)
                self._items(create_request, "listeners", "listener", loadbalancer_id=create_request.id)
            case "listener":
                self._balancer_id = create_request.raw.get("loadbalancer_id")
                self._pool(create_request, "default_pool")
                self._items(create_request, "l7policies", "l7_policy", listener_id=create_request.id)
            case "pool":
                self._items(create_request, "members", "member", pool_id=create_request.id)
                monitor = create_request.raw.pop("healthmonitor", None)
                if monitor is not None:
                    self._item(create_request, ("healthmonitor",), monitor, "health_monitor", pool_id=create_request.id)
            case "l7_policy":
                if create_request.path:
                    self._pool(create_request, "redirect_pool")
                self._items(create_request, "rules", "l7_rule", l7policy_id=create_request.id)

    def _pool(self, create_request: CreateRequest, name: str) -> None:
        """A pool given in full, or by the name of one in the same request."""
        given, attribute = create_request.raw.pop(name, None), f"{name}_id"
        if create_request.raw.get(attribute) is None:
            create_request.said[attribute] = (name,)
        elif given is not None:
            self._refuse((*create_request.path, attribute), f"does not go with {name}: one of them says the pool")
        if isinstance(given, dict) and given.keys() == {"name"}:
            self._references.append((create_request, name, given["name"]))
        elif given is not None:
            pool = self._item(create_request, (name,), given, "pool", loadbalancer_id=self._balancer_id)
            create_request.raw[attribute] = pool.id if pool else None

    def _items(self, create_request: CreateRequest, name: str, kind: str, **parent: str) -> None:
        given = create_request.raw.pop(name, None)
        if isinstance(given, list):
            for index, item in enumerate(given):
                self._item(create_request, (name, index), item, kind, **parent)
        elif given is not None:
            self._refuse((*create_request.path, name), "must be a list")

    def _item(
        self, create_request: CreateRequest, place: Path, given: Any, kind: str, **parent: Any
    ) -> CreateRequest | None:
        path = (*create_request.path, *place)
        if not isinstance(given, dict):
            self._refuse(path, "must be an object")
            return None
        self._found.extend(misnamed(given, path))
        raw = _without_project(kind, given)
        for name in _PARENTS[kind]:
            if raw.pop(name, None) is not None:
                self._refuse((*path, name), f"cannot be given here: {KINDS[kind].LABEL}s belong to what they stand in")
        made = CreateRequest(kind, {**raw, **parent}, create_request.project_id, path, said=dict.fromkeys(parent, ()))
        self._add(made)
        return made

    def _refuse(self, path: Path, message: str) -> None:
        self._found.append(Violation(path, message))
        if len(self._found) >= VIOLATIONS:
            raise Invalid(self._found)
