# SPDX-License-Identifier: Apache-2.0
"""What every kind, and every object within one, is made of: a frozen pydantic model that reports all violations at once.

Unknown values of a preview pass through the outermost validator of each field and of each item; all else in the object is
validated all the same. Types are strict: only a whole number that comes as a double, as all numbers of Pulumi do, is converted.
"""

import functools
import operator
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, WrapValidator, model_validator
from pydantic.fields import FieldInfo

from . import armor, formats, violations
from .metadata import ITEMS, LENGTH, Attribute, Rule, attribute
from .unknown import Unknown

PRIVATE_KEY = (
    "holds a private key, and what is given here is not kept secret; a key goes into private_key of a TLS container"
)
Handler = Callable[[Any], Any]


def _load_no_plugins() -> None:
    """Keep pydantic from loading plugins of whatever is installed beside us, for which it reads the metadata of all of it.

    It has no switch that leaves the reading out. Where a version of pydantic looks for them elsewhere, only time is lost.
    """
    loader = types.ModuleType("pydantic.plugin._loader")
    vars(loader)["get_plugins"] = tuple
    sys.modules.setdefault(loader.__name__, loader)


_load_no_plugins()


class Model(BaseModel):
    """An object: its fields are its attributes, ``RULES`` what holds between them.

    ``NOTES`` are rules that refuse nothing: what Octavia takes and what has no effect, said in a preview.
    """

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)
    RULES: ClassVar[tuple[Rule, ...]] = ()
    NOTES: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Put the outermost validator around each field."""
        for name, field in cls.model_fields.items():
            if not any(isinstance(one, WrapValidator) for one in field.metadata):
                _guard(attribute(name, field), field)

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, given: Any, handler: Handler, info: ValidationInfo) -> Self:
        return violations.collect(cls, given, handler, info.context)

    @classmethod
    def trusted(cls, values: Mapping[str, Any]) -> Self:
        """An object from values that were validated before they were stored. Names that it has not are ignored."""
        defaults, nested = _layout(cls)
        found = dict(defaults)
        for name, value in values.items():
            if name in found:
                found[name] = tuple(value) if value.__class__ is list else value
        for name, inner in nested:
            value = found[name]
            if isinstance(value, Mapping):
                found[name] = inner.trusted(value)
            elif value:
                found[name] = tuple(inner.trusted(item) for item in value)
        made = cls.__new__(cls)
        for name, value in (("__dict__", found), ("__pydantic_fields_set__", set()), ("__pydantic_extra__", None),
                            ("__pydantic_private__", None)):  # fmt: skip
            object.__setattr__(made, name, value)
        return made


@functools.cache
def _layout(cls: type[Model]) -> tuple[dict[str, Any], tuple[tuple[str, type[Model]], ...]]:
    """The defaults of all fields, and the fields that hold models."""
    facts = {name: attribute(name, field) for name, field in cls.model_fields.items()}
    nested = tuple((name, fact.nested) for name, fact in facts.items() if fact.nested is not None)
    return {name: fact.default for name, fact in facts.items()}, nested


def _guard(attr: Attribute, field: FieldInfo) -> None:
    """Put the outermost validator around a field, and around the items of a list or map; limits come before formats."""
    if attr.item is not None:
        hint: Any = _around_items(field.annotation, WrapValidator(_outermost(attr, attr.item)))
        field.annotation = hint
    field.metadata.sort(key=lambda one: type(one).__name__ == "AfterValidator")
    field.metadata.append(WrapValidator(_outermost(attr, attr.annotation)))


def _around_items(hint: Any, validator: WrapValidator) -> Any:
    """``tuple[X, ...]`` → ``tuple[Annotated[X, validator], ...]``; likewise the values of a map."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return types.GenericAlias(tuple, (Annotated[arguments[0], validator], ...))
    if origin is dict:
        return types.GenericAlias(dict, (arguments[0], Annotated[arguments[1], validator]))
    if origin is Annotated:
        return Annotated[(_around_items(arguments[0], validator), *arguments[1:])]
    if arguments:  # X | None
        return functools.reduce(operator.or_, (_around_items(one, validator) for one in arguments))
    return hint


def _outermost(attr: Attribute, of: Any) -> Callable[[Any, Handler], Any]:
    """What lets unknown values through, and says what is allowed of values of this type beyond pydantic's limits."""
    if of is str:
        narrow = attr.format in _NARROW or bool(attr.choices)
        return _text(attr.max_length or LENGTH, hidden=attr.hidden, narrow=narrow)
    return _OUTERMOST[of](attr) if of in _OUTERMOST else _known


def _known(value: Any, handler: Handler) -> Any:
    return value if isinstance(value, Unknown) else handler(value)


def _whole(value: Any, handler: Handler) -> Any:
    if value.__class__ is float and value.is_integer():
        value = int(value)  # every number is a double on Pulumi's wire
    return value if isinstance(value, Unknown) else handler(value)


@functools.cache
def _text(most: int, *, hidden: bool, narrow: bool) -> Callable[[Any, Handler], Any]:
    def validate(value: Any, handler: Handler) -> Any:
        if isinstance(value, str):
            if len(value) > most:
                raise violations.refused(f"must not be longer than {most} characters, and has {len(value)}")
            if not hidden and armor.holds_private_key(value):
                raise violations.refused(PRIVATE_KEY)
        elif isinstance(value, Unknown):
            return value
        return handler(value)

    def validate_narrow(value: Any, handler: Handler) -> Any:
        try:
            return value if isinstance(value, Unknown) else handler(value)
        except ValueError:
            return validate(value, handler)

    return validate_narrow if narrow else validate


_NARROW = frozenset({formats.uuid_string, formats.ip_address, formats.member_address, formats.cidr, formats.netmask})
"""Forms that have no room for a private key: what is of them is not searched for one."""


def _list(attr: Attribute) -> Callable[[Any, Handler], Any]:
    most = attr.max_items or ITEMS

    def validate(value: Any, handler: Handler) -> Any:
        if isinstance(value, Unknown):
            return value
        if isinstance(value, (list, tuple)) and len(value) > most:
            raise violations.refused(f"must not have more than {most} items, and has {len(value)}")
        return handler(tuple(value) if isinstance(value, list) else value)

    return validate


def _map(_: Attribute) -> Callable[[Any, Handler], Any]:
    def validate(value: Any, handler: Handler) -> Any:
        if isinstance(value, Unknown):
            return value
        if isinstance(value, Mapping) and len(value) > ITEMS:
            raise violations.refused(f"must not have more than {ITEMS} entries, and has {len(value)}")
        return handler(value)

    return validate


_OUTERMOST: Mapping[type, Callable[[Attribute], Callable[[Any, Handler], Any]]] = {
    int: lambda _: _whole, tuple: _list, dict: _map,
}  # fmt: skip
