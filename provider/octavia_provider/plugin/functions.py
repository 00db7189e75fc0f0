# SPDX-License-Identifier: Apache-2.0
"""Functions such as ``octavia:index:getLoadBalancer``: look an object up by id or name. Derived from the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from octavia_provider.client.client import Client
from octavia_provider.client.deadline import Deadline
from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Conflict, NotFound, PermanentError
from octavia_provider.model.kinds import KINDS, PARENTS, token
from octavia_provider.model.metadata import attributes
from octavia_provider.model.naming import camel
from octavia_provider.model.near import did_you_mean
from octavia_provider.model.unknown import Unknown

from . import outputs, values
from .inputs import Failure

if TYPE_CHECKING:
    from octavia_provider.model.common import Resource


@dataclass(frozen=True, slots=True)
class Function:
    """A look-up of one kind; ``parent`` is the argument that names where to look, where one is needed."""

    token: str
    kind_name: str
    parent: str = ""

    @property
    def kind(self) -> type[Resource]:
        """The class of what is looked up."""
        return KINDS[self.kind_name]

    @property
    def arguments(self) -> Sequence[str]:
        """The names of its arguments."""
        named = ("name",) if "name" in attributes(self.kind) else ()
        return ("id", *named, *([self.parent] if self.parent else ()))


def _function(kind_name: str) -> Function:
    head, _, name = token(kind_name).rpartition(":")
    return Function(f"{head}:get{name}", kind_name, camel(PARENTS[kind_name][1]) if kind_name in PARENTS else "")


FUNCTIONS: Mapping[str, Function] = {function.token: function for function in map(_function, KINDS)}


def invoke(
    name: str, args: Mapping[str, Any], client: Client, deadline: Deadline
) -> tuple[dict[str, Any], list[Failure]]:
    """Look the object up: its outputs and id, or the failures of the arguments."""
    function = FUNCTIONS.get(name)
    if function is None:
        suggestion = did_you_mean(name, FUNCTIONS)
        raise PermanentError(
            f"is no function of this provider, which has {', '.join(FUNCTIONS)}{suggestion}", subject=name
        )
    arguments = {name: value for name, value in values.plain(args).items() if value is not None}
    failures = _check(function, arguments)
    if failures:
        return {}, failures
    obj = _look_up(function, arguments, client, deadline)
    return {"id": obj["id"], **outputs.from_object(function.kind, obj, {})}, []


def _check(function: Function, arguments: Mapping[str, Any]) -> list[Failure]:
    failures = [
        Failure(name, f"is not an argument of this function{did_you_mean(name, function.arguments)}")
        for name in arguments
        if name not in function.arguments
    ]
    failures += [
        Failure(name, "must be a string")
        for name, value in arguments.items()
        if name in function.arguments and not isinstance(value, (str, Unknown))
    ]
    if ("id" in arguments) == ("name" in arguments):
        failures.append(Failure("id", "is required, or name, and not both"))
    if function.parent and function.parent not in arguments:
        label = KINDS[PARENTS[function.kind_name][0]].LABEL
        failures.append(Failure(function.parent, f"is required: a {function.kind.LABEL} is looked up in its {label}"))
    return failures


def _look_up(function: Function, arguments: Mapping[str, Any], client: Client, deadline: Deadline) -> dict[str, Any]:
    kind, label = function.kind_name, function.kind.LABEL
    parent = arguments.get(function.parent) if function.parent else None
    if "id" in arguments:
        obj = client.get(kind, arguments["id"], deadline=deadline, parent=parent).object
        return _with_parent(function, obj, parent)
    name = arguments["name"]
    matches = list(client.list(kind, deadline=deadline, parent=parent, filters={"name": name}))
    if not matches:
        raise NotFound(
            f"there is none with the name {quoted(name)}.", subject=label, hint="look it up by id, or create it"
        )
    if len(matches) > 1:
        ids = ", ".join(str(match["id"]) for match in matches)
        raise Conflict(f"{len(matches)} have the name {quoted(name)}: {ids}.", subject=label, hint="look it up by id")
    return _with_parent(function, matches[0], parent)


def _with_parent(function: Function, obj: dict[str, Any], parent: str | None) -> dict[str, Any]:
    return {**obj, PARENTS[function.kind_name][1]: parent} if parent else obj
