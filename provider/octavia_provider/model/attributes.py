# SPDX-License-Identifier: Apache-2.0
"""How an attribute is declared: once, for validation, schema, Diff and the reference.

A kind of object is a frozen dataclass whose fields are made by :func:`attribute`; the type annotation says the shape
(``str``, ``int``, ``bool``, ``float``, ``tuple[X, ...]``, ``dict[str, str]``, another dataclass of attributes, each
with ``| None`` when it may be absent), the arguments say the rules. Fields declared with :func:`computed` are outputs.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MISSING: Any = dataclasses.MISSING


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an enumeration, with what it means."""

    value: str
    doc: str


@dataclass(frozen=True, slots=True)
class Between:
    """A change that makes a new object between some values only, and is made in place between all others.

    ``crosses`` gets the old and the new value; ``doc`` names the values ("between datagrams and streams").
    """

    crosses: Callable[[Any, Any], bool]
    doc: str


@dataclass(frozen=True)
class Attribute:
    """The facts of one attribute, as every face of the model needs them.

    Without slots, so that what follows from its type is worked out once: a batch of members asks a thousand times.
    """

    name: str
    doc: str
    annotation: Any
    nullable: bool
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

    @cached_property
    def hidden(self) -> bool:
        """Whether the control plane keeps it encrypted and shows it to nobody."""
        return self.secret or self.sealed

    @cached_property
    def nested(self) -> type | None:
        """The dataclass of attributes this one holds (itself, or as the items of a list)."""
        inner = self.item if self.item is not None else self.annotation
        return inner if dataclasses.is_dataclass(inner) and isinstance(inner, type) else None

    @cached_property
    def item(self) -> Any:
        """The type of the items where this is a list, of the values where it is a map; else None."""
        origin = typing.get_origin(self.annotation)
        args = typing.get_args(self.annotation)
        if origin is tuple:
            return args[0]
        return args[1] if origin is dict else None

    @cached_property
    def is_list(self) -> bool:
        """A list of items."""
        return typing.get_origin(self.annotation) is tuple

    @cached_property
    def is_map(self) -> bool:
        """A map of strings."""
        return typing.get_origin(self.annotation) is dict


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over several attributes of one object.

    ``check`` gets the object's values and answers a message when the rule is broken, else None. It is asked only when
    every attribute in ``on`` is known and valid by itself; the violation is reported at the attribute ``at``.
    """

    on: tuple[str, ...]
    at: str
    check: Callable[[Mapping[str, Any]], str | None]
    doc: str


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


def attribute(
    doc: str,
    *,
    default: Any = None,
    required: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    max_length: int | None = None,
    max_items: int | None = None,
    choices: tuple[Choice, ...] = (),
    format: Callable[[str], str] | None = None,  # noqa: A002 - JSON Schema's word
    replaces: bool = False,
    replaces_between: Between | None = None,
    why: str = "",
    delete_before_replace: bool = False,
    secret: bool = False,
    sealed: bool = False,
    filled: bool = False,
    always: bool = False,
    reference: str = "",
    cost: str = "",
    unordered: bool = False,
    json: type | None = None,
    null: Any = None,
) -> Any:
    """Declare an input.

    ``format`` answers the canonical form of a string, or raises ``ValueError`` with the reason. ``filled``: when absent the control plane chooses
    and shows what it chose; ``always``: in every state of the object, so that no program has to ask whether it is there.
    ``secret``: encrypted in Pulumi's state and in the store, and never shown; ``sealed``: that too, but to Pulumi it is as secret as the
    program says. ``reference`` names the kind whose id this is. ``cost`` says what a change in place does
    to the traffic; ``why`` says why a change cannot be made in place, where it replaces. ``unordered``: a list whose
    order means nothing. ``json``: a text that holds a JSON object with the attributes of this dataclass. ``null``: what
    Octavia takes a null in a request for, where that is not the default (to Pulumi null is no input).
    """
    facts = {
        "doc": doc, "default": default, "required": required, "minimum": minimum, "maximum": maximum,
        "max_length": max_length, "max_items": max_items, "choices": choices, "format": format,
        "replaces": replaces, "replaces_between": replaces_between, "why": why,
        "delete_before_replace": delete_before_replace, "secret": secret, "sealed": sealed,
        "filled": filled, "always": always, "reference": reference, "cost": cost,
        "unordered": unordered, "json": json, "null": null,
    }  # fmt: skip
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=facts)
    return dataclasses.field(default=MISSING if required else default, metadata=facts)


def computed(
    doc: str, *, secret: bool = False, volatile: bool = False, always: bool = False, default: Any = None
) -> Any:
    """Declare an output: made by the control plane, never given by a user. ``volatile``: it moves without anybody's doing,
    so that it is another one now says nothing about drift. ``always``: it is shown in every state of the object, as is
    an output that may not be None."""
    facts = {"doc": doc, "output": True, "secret": secret, "volatile": volatile, "always": always}
    return dataclasses.field(default=default, metadata=facts)


@functools.cache
def attributes(kind: type) -> Mapping[str, Attribute]:
    """All attributes of a dataclass, by name, in the order of their declaration."""
    hints = typing.get_type_hints(kind)
    found: dict[str, Attribute] = {}
    for field in dataclasses.fields(kind):
        if not field.metadata:
            continue
        annotation, nullable = _strip_none(hints[field.name])
        found[field.name] = Attribute(name=field.name, annotation=annotation, nullable=nullable, **field.metadata)
    return types.MappingProxyType(found)


def inputs(kind: type) -> Mapping[str, Attribute]:
    """The attributes a user may give."""
    return _inputs(kind)


@functools.cache
def _inputs(kind: type) -> Mapping[str, Attribute]:
    return types.MappingProxyType({name: a for name, a in attributes(kind).items() if not a.output})


def camel(name: str) -> str:
    """``lb_algorithm`` → ``lbAlgorithm``."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _strip_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(hint) if a is not type(None)]
        return rest[0], True
    return hint, False
