# SPDX-License-Identifier: Apache-2.0
"""The facts of an attribute that pydantic has no word for, and a view of all its facts.

An attribute is a field of a pydantic model: its type, limits, default and description are pydantic's; the classes here
stand beside them in ``Annotated[...]``. Nothing here imports pydantic, whose import takes time that not everybody has.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import formats
from .naming import camel

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic.fields import FieldInfo
    from pydantic_core import CoreSchema

ITEMS = 10_000
"""Items of a list, entries of a map, where the attribute does not say how many."""
LENGTH = 4_096
"""Characters of a text, likewise."""
STRANGERS = 20
"""Attributes that cannot be given, of one object, that are named; the others are counted."""
INTEGERS = 2**63 - 1
"""The largest number that the store's columns and every client can hold."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an enumeration, with what it means."""

    value: str
    doc: str


class OneOf:
    """``Literal`` of these values, each with what it means."""

    def __init__(self, choices: tuple[Choice, ...]) -> None:
        self.choices = choices

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.literal_schema([choice.value for choice in self.choices])


class JsonText:
    """A text that holds a JSON object with the attributes of this model; sorted, to have one spelling."""

    def __init__(self, model: type) -> None:
        self.model = model

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        from .violations import canonical_json

        check = functools.partial(canonical_json, self.model)
        return core_schema.no_info_after_validator_function(check, handler(source))


class Replaces:
    """A change makes a new object. ``why`` it cannot be made in place; ``delete_first``: the old object goes before."""

    def __init__(self, why: str, *, delete_first: bool = False) -> None:
        self.why = why
        self.delete_first = delete_first


@dataclass(frozen=True, slots=True)
class Between:
    """A change that makes a new object between some values only, and is made in place between all others.

    ``crosses`` gets the old and the new value; ``doc`` names the values ("between datagrams and streams").
    """

    crosses: Callable[[Any, Any], bool]
    doc: str
    why: str


class Cost:
    """What a change in place does to the traffic."""

    def __init__(self, text: str) -> None:
        self.text = text


class Reference:
    """It is the id of an object of this kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class Null:
    """What Octavia takes a null in a request for, where that is not the default (to Pulumi null is no input)."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Secret:
    """Encrypted in Pulumi's state and in the store, and never shown."""


class Sealed:
    """As ``Secret``, but to Pulumi it is as secret as the program says."""


class Filled:
    """When absent the control plane chooses, and shows what it chose."""


class Always:
    """Shown in every state of the object, so that no program has to ask whether it is there."""


class Unordered:
    """A list whose order means nothing."""


class Output:
    """Made by the control plane, never given by a user. ``volatile``: it changes by itself, so that another value is no drift."""

    def __init__(self, *, volatile: bool = False) -> None:
        self.volatile = volatile


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over several attributes of one object.

    ``check`` gets the object and answers a message when the rule is broken, else None. It is asked only when every attribute
    in ``on`` is known and valid by itself; the violation is reported at the attribute ``at``.
    """

    on: tuple[str, ...]
    at: str
    check: Callable[[Any], str | None]
    doc: str


def broken(rules: Iterable[Rule], made: Any, unasked: Collection[Any]) -> Iterator[tuple[Rule, str]]:
    """The rules that the object breaks, and how, of those that ask for none of the attributes ``unasked``."""
    for rule in rules:
        if unasked and any(name in unasked for name in rule.on):
            continue
        if message := rule.check(made):
            yield rule, message


@dataclass(frozen=True, slots=True)
class Unique:
    """What two objects of a kind may not share. The store keeps it by a constraint, so two writers cannot both win.

    ``key`` makes the text that must be unique from the object's values; ``at`` is the property to blame; ``message``
    says what is taken, given the values and the other object's name.
    """

    key: Callable[[Mapping[str, Any]], str]
    at: str
    message: Callable[[Mapping[str, Any], str], str]
    doc: str


@dataclass(frozen=True)
class Attribute:
    """The facts of one field, by name. ``annotation`` is its type without None and metadata; ``item`` that of the items of a
    list or of the values of a map."""

    name: str
    doc: str
    annotation: Any
    item: Any = None
    nullable: bool = False
    default: Any = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    max_length: int | None = None
    max_items: int | None = None
    choices: tuple[Choice, ...] = ()
    format: Callable[[str], str] | None = None
    replaces: bool = False
    replaces_between: Between | None = None
    why: str = ""
    delete_before_replace: bool = False
    secret: bool = False
    sealed: bool = False
    output: bool = False
    volatile: bool = False
    filled: bool = False
    always: bool = False
    reference: str = ""
    cost: str = ""
    unordered: bool = False
    json: type | None = None
    null: Any = None

    @cached_property
    def camel(self) -> str:
        """The name in the schema: ``protocol_port`` → ``protocolPort``."""
        return camel(self.name)

    @property
    def hidden(self) -> bool:
        """Whether the control plane keeps it encrypted and shows it to nobody."""
        return self.secret or self.sealed

    @cached_property
    def nested(self) -> type | None:
        """The model that this one holds (itself, or as the items of a list)."""
        inner = self.item if self.item is not None else self.annotation
        return inner if hasattr(inner, "model_fields") else None

    @cached_property
    def is_list(self) -> bool:
        """A list of items."""
        return self.annotation is tuple

    @cached_property
    def is_map(self) -> bool:
        """A map of strings."""
        return self.annotation is dict

    def blank(self, given: Any) -> bool:
        """Whether it is text with nothing in it: in an input that takes text, that is none.

        Free text that is required may be a blank: an L7 rule can ask for one in a header.
        """
        if self.annotation is not str or not isinstance(given, str):
            return False
        return not (given if self._takes_blanks else given.strip())

    @cached_property
    def _takes_blanks(self) -> bool:
        return self.required and self.format is formats.text


@functools.cache
def attributes(kind: type) -> Mapping[str, Attribute]:
    """All attributes of a model, by name, in the order of their declaration: the fields that have a description."""
    fields: Mapping[str, FieldInfo] = getattr(kind, "model_fields", {})
    return types.MappingProxyType({n: attribute(n, field) for n, field in fields.items() if field.description})


@functools.cache
def inputs(kind: type) -> Mapping[str, Attribute]:
    """The attributes a user may give."""
    return types.MappingProxyType({name: a for name, a in attributes(kind).items() if not a.output})


def attribute(name: str, field: FieldInfo) -> Attribute:
    """The facts of a field."""
    nullable, annotation, facts = _bare(field.annotation)
    item, of_items = None, ()
    if typing.get_origin(annotation) in (tuple, dict):
        _, item, of_items = _bare(typing.get_args(annotation)[typing.get_origin(annotation) is dict])
    found: dict[str, Any] = {}
    for fact in _flat((*field.metadata, *facts)):
        found.update(_told(fact))
    if item is not None and "max_length" in found:
        found["max_items"] = found.pop("max_length")
    for fact in _flat(of_items):
        found.update(_told(fact))
    required = field.is_required()
    default = None if required else field.get_default(call_default_factory=True, validated_data={})
    return Attribute(
        name=name, doc=field.description or "", annotation=typing.get_origin(annotation) or annotation, item=item,
        nullable=nullable, default=default, required=required, **found,
    )  # fmt: skip


_BY_MARKER: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    OneOf: lambda fact: {"choices": fact.choices},
    JsonText: lambda fact: {"json": fact.model},
    Replaces: lambda fact: {"replaces": True, "why": fact.why, "delete_before_replace": fact.delete_first},
    Between: lambda fact: {"replaces_between": fact, "why": fact.why},
    Cost: lambda fact: {"cost": fact.text},
    Reference: lambda fact: {"reference": fact.kind},
    Null: lambda fact: {"null": fact.value},
    Secret: lambda _: {"secret": True},
    Sealed: lambda _: {"sealed": True},
    Filled: lambda _: {"filled": True},
    Always: lambda _: {"always": True},
    Unordered: lambda _: {"unordered": True},
    Output: lambda fact: {"output": True, "volatile": fact.volatile},
}
_BY_LIMIT = {"ge": "minimum", "le": "maximum", "max_length": "max_length"}
"""The names of pydantic's limits (annotated_types)."""


def _told(fact: Any) -> dict[str, Any]:
    """What one piece of metadata says."""
    if (told := _BY_MARKER.get(type(fact))) is not None:
        return told(fact)
    if type(fact).__name__ == "AfterValidator":
        return {"format": fact.func}
    return {ours: getattr(fact, name) for name, ours in _BY_LIMIT.items() if getattr(fact, name, None) is not None}


def _flat(facts: tuple[Any, ...]) -> Iterator[Any]:
    """``Field(...)`` in an alias stands for the limits in it."""
    for fact in facts:
        yield from fact.metadata if hasattr(fact, "metadata") else (fact,)


def _bare(hint: Any) -> tuple[bool, Any, tuple[Any, ...]]:
    """Whether None is allowed, the type without it, and the metadata around it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (inner,) = (one for one in typing.get_args(hint) if one is not type(None))
        return True, *_bare(inner)[1:]
    if hasattr(hint, "__metadata__"):
        nullable, inner, facts = _bare(hint.__origin__)
        return nullable, inner, (*facts, *hint.__metadata__)
    return False, hint, ()
