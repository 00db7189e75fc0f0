# SPDX-License-Identifier: Apache-2.0
"""All that is wrong with an object, at once: pydantic's errors in our words, and the rules over several attributes.

A message says what was given and what is allowed; a path leads through lists and nested objects.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from . import formats
from .echo import quoted
from .errors import Path
from .metadata import INTEGERS, STRANGERS, Attribute, broken, inputs
from .near import did_you_mean
from .unknown import Wrong, contains_unknown

if TYPE_CHECKING:
    from .base import Model

    M = TypeVar("M", bound=Model)

REFUSED = "refused"
"""The type of errors whose message is ours."""
OBJECT = "object"
"""The key in a validation's context under which the object is kept when something is wrong with it."""
Found = list[tuple[Path, str, Any]]
"""Where, what is wrong, and what was given."""


def refused(message: str) -> PydanticCustomError:
    """An error with this message."""
    return PydanticCustomError(REFUSED, "{message}", {"message": message})


def collect(cls: type[M], raw: Any, handler: Callable[[Any], M], context: Any) -> M:
    """The object, or a ``ValidationError`` with everything that is wrong with it.

    ``null``, and text with nothing in it, means the default. What is wrong is made unknown, and the rest looked at once more:
    so the rules are asked whose attributes are well.
    """
    if not isinstance(raw, Mapping):
        if isinstance(raw, cls):
            return raw
        raise refused(f"must be an object, not {shape(raw)}")
    known = inputs(cls)
    given: dict[str, Any] = {}
    strangers: list[str] = []
    for name, value in raw.items():
        attr = known.get(name)
        if attr is None:
            strangers.append(name)
        elif value is not None and not (value.__class__ is str and attr.blank(value)):
            given[name] = value
    found: Found = list(_strangers(strangers, known, raw)) if strangers else []
    wrong: dict[Any, Wrong] = {}
    try:
        made = handler(given)
    except ValidationError as error:
        errors = _translated(error, known)
        wrong = {path[0]: Wrong(given.get(str(path[0]))) for path, _, _ in errors}
        found += errors
        made = handler({**given, **wrong})
    if cls.RULES:
        unasked = {*wrong, *(name for name in given if contains_unknown(made.__dict__[name]))}
        found += (((rule.at,), message, None) for rule, message in broken(cls.RULES, made, unasked))
    if not found:
        return made
    if context is not None:
        context[OBJECT] = made  # the outermost object comes last
    raise ValidationError.from_exception_data(cls.__name__, [
        InitErrorDetails(type=refused(message), loc=path, input=value) for path, message, value in found
    ])  # fmt: skip


def _strangers(names: list[str], known: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[tuple[Path, str, Any]]:
    for name in names[:STRANGERS]:
        yield (name,), f"is not an attribute that can be given{did_you_mean(name, known)}", raw[name]
    if len(names) > STRANGERS:
        yield (), f"has {len(names) - STRANGERS} more attributes that cannot be given", raw


def canonical_json(model: type[Model], text: str) -> str:
    """A JSON object in a text, whose attributes are those of ``model``; sorted, to have one spelling."""
    try:
        given = json.loads(text, parse_constant=_no_number, object_pairs_hook=_without_repeats)
    except PydanticCustomError:
        raise
    except (ValueError, RecursionError) as error:
        raise refused(f"is not JSON: {error}") from None
    model.model_validate(given)
    return json.dumps(given, sort_keys=True)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that comes twice, readers take the one or the other (RFC 8259, section 4)."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(name for name in found if [one for one, _ in pairs].count(name) > 1)
        raise refused(f"has {json.dumps(repeated)} more than once")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


# ── pydantic's errors in our words ───────────────────────────────────────────────────────────────────────────────────
def _translated(error: ValidationError, known: Mapping[str, Attribute]) -> Found:
    return [
        (one["loc"], _message(one, known[str(one["loc"][0])]), one["input"])
        for one in error.errors(include_url=False)
    ]  # fmt: skip


def _message(error: Any, attr: Attribute) -> str:
    given, sort = error["input"], error["type"]
    if sort in _SAID:
        return _SAID[sort](error)
    if sort in _LIMITS and abs(given) <= INTEGERS:
        limit, words = _LIMITS[sort]
        return f"must be {words} {_plain(error['ctx'][limit])}, not {_plain(given)}"
    if (beyond := _beyond(attr, given)) is not None:
        return beyond
    if attr.choices and isinstance(given, str):
        values = [choice.value for choice in attr.choices]
        return f"{quoted(given)} is not one of {', '.join(values)}{did_you_mean(given, values)}"
    if sort == "string_unicode":
        return _no_text(attr, given)
    return _another_type(attr.item if len(error["loc"]) > 1 else attr.annotation, given)


def _beyond(attr: Attribute, given: Any) -> str | None:
    """The attribute's own limit, for a number that is beyond all that could be held."""
    if not isinstance(given, (int, float)) or isinstance(given, bool) or not abs(given) > INTEGERS:
        return None
    limit = attr.maximum if given > 0 else attr.minimum
    if limit is None or not {attr.annotation, attr.item} & {int, float}:
        return None
    return f"must be at {'most' if given > 0 else 'least'} {_plain(limit)}"


_SAID: Mapping[str, Callable[[Any], str]] = {
    REFUSED: lambda error: error["ctx"]["message"],
    "value_error": lambda error: str(error["ctx"]["error"]),
    "missing": lambda _: "is required",
}


def _another_type(expected: Any, given: Any) -> str:
    if expected is int and isinstance(given, int) and not isinstance(given, bool):
        return f"must be at most {INTEGERS}, and at least the negative of it"
    return f"must be {_SHAPES.get(expected, 'an object')}, not {shape(given)}"


def _no_text(attr: Attribute, given: str) -> str:
    """What is wrong with text that no UTF-8 can hold."""
    for form in (attr.format, formats.command_argument):
        try:
            given = form(given) if form else given
        except ValueError as error:
            return str(error)
    return "must be text"


_LIMITS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}
_SHAPES = {
    bool: "a boolean", int: "a whole number", float: "a number", str: "a string", tuple: "a list", dict: "a map",
}  # fmt: skip


def shape(value: Any) -> str:
    """What sort of value it is."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return _SHAPES.get(type(value), type(value).__name__) if value is not None else "null"


def _plain(number: float) -> str:
    """With all its digits: 2147483648, and 0.5."""
    return str(int(number)) if float(number).is_integer() else repr(number)
