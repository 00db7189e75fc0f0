# SPDX-License-Identifier: Apache-2.0
"""Validation within one object: every violation at once, unknown values let through.

The same function serves Check (where values may still be unknown) and the API (where none is).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import armor, formats
from .attributes import Attribute, Rule, inputs
from .echo import quoted
from .errors import Invalid, Path, Violation
from .near import did_you_mean


class Unknown:
    """A value that will be known only when another resource has been made."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
STRANGERS = 20
"""Attributes that cannot be given, of one object, that are named; the others are counted."""
PRIVATE_KEY = (
    "holds a private key, and what is given here is not kept secret; a key goes into private_key of a TLS container"
)
ITEMS = 10_000
"""Items of a list, entries of a map, where the attribute does not say how many."""
LENGTH = 4_096
"""Characters of a text, likewise."""
INTEGERS = 2**63 - 1
"""The largest number that the store's columns and every client can hold."""


@dataclass(slots=True)
class Validated:
    """``values``: canonical, every input present (defaults filled in); ``violations``: what is wrong, all of it."""

    values: dict[str, Any] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


def validate(kind: type, raw: Mapping[str, Any], *, path: Path = ()) -> Validated:
    """Validate the inputs of one object (names in the API's spelling); ``null`` means the default, as in Octavia
    (but for ``Attribute.null``)."""
    result = Validated()
    known = inputs(kind)
    strangers = [name for name in raw if name not in known]
    for name in strangers[:STRANGERS]:
        message = f"is not an attribute that can be given{did_you_mean(name, known)}"
        result.violations.append(Violation((*path, name), message))
    if len(strangers) > STRANGERS:
        result.violations.append(
            Violation(path, f"has {len(strangers) - STRANGERS} more attributes that cannot be given")
        )
    for name, attr in known.items():
        given = raw.get(name)
        if blank(attr, given):
            given = None
        if given is None and attr.required:
            result.violations.append(Violation((*path, name), "is required"))
        elif given is None:
            result.values[name] = attr.default
        else:
            result.values[name] = _value(attr, attr.annotation, given, (*path, name), result.violations)
    broken = {v.path[len(path)] for v in result.violations if len(v.path) > len(path)}
    _rules(getattr(kind, "RULES", ()), result, broken, path)
    return result


def notes(kind: type, raw: Mapping[str, Any]) -> list[Violation]:
    """What is taken and has no effect (``Resource.NOTES``), of inputs that are valid."""
    result = validate(kind, raw)
    result.violations.clear()
    _rules(getattr(kind, "NOTES", ()), result, set(), ())
    return result.violations


def validated(kind: type, raw: Mapping[str, Any], *, subject: str = "") -> dict[str, Any]:
    """The canonical values, or ``Invalid`` with every violation."""
    result = validate(kind, raw)
    if result.violations:
        raise Invalid(result.violations, subject=subject)
    return result.values


def blank(attr: Attribute, given: Any) -> bool:
    """Whether it is text with nothing in it: in an input that takes text, that is none.

    Free text that is required may be a blank: an L7 rule can ask for one in a header.
    """
    counts = attr.required and attr.format is formats.text
    return attr.annotation is str and isinstance(given, str) and not (given if counts else given.strip())


def contains_unknown(value: Any) -> bool:
    """Whether any part of the value is unknown."""
    if isinstance(value, Mapping):
        return any(contains_unknown(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(contains_unknown(v) for v in value)
    return isinstance(value, Unknown)


def _rules(rules: tuple[Rule, ...], result: Validated, broken: set[str | int], path: Path) -> None:
    for rule in rules:
        if broken.intersection(rule.on) or any(contains_unknown(result.values.get(name)) for name in rule.on):
            continue
        message = rule.check(result.values)
        if message:
            result.violations.append(Violation((*path, rule.at), message))


def _value(attr: Attribute, annotation: Any, given: Any, path: Path, found: list[Violation]) -> Any:
    if isinstance(given, Unknown):
        return given
    if attr.is_list and annotation is attr.annotation:
        return _list(attr, given, path, found)
    if attr.is_map and annotation is attr.annotation:
        return _map(attr, given, path, found)
    if attr.nested is annotation and attr.nested is not None:
        return _nested(attr.nested, given, path, found)
    value, message = _scalar(annotation, given)
    if message is None:
        value, message = _limits(attr, value)
    if message is not None:
        found.append(Violation(path, message))
        return value
    return _json(attr.json, value, path, found) if attr.json is not None else value


def _nested(kind: type, given: Any, path: Path, found: list[Violation]) -> Any:
    if not isinstance(given, Mapping):
        found.append(Violation(path, f"must be an object, not {_shape(given)}"))
        return given
    inner = validate(kind, given, path=path)
    found.extend(inner.violations)
    return inner.values


def _json(kind: type, text: str, path: Path, found: list[Violation]) -> str:
    """A JSON object in a text: its attributes are validated as those of any object; sorted, to have one spelling."""
    try:
        given = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        found.append(Violation(path, f"is not JSON: {error}"))
        return text
    known = len(found)
    _nested(kind, given, path, found)
    return text if len(found) > known else json.dumps(given, sort_keys=True)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _list(attr: Attribute, given: Any, path: Path, found: list[Violation]) -> Any:
    if not isinstance(given, (list, tuple)):
        found.append(Violation(path, f"must be a list, not {_shape(given)}"))
        return given
    most = attr.max_items or ITEMS
    if len(given) > most:
        found.append(Violation(path, f"must not have more than {most} items, and has {len(given)}"))
        return tuple(given)
    return tuple(_value(attr, attr.item, item, (*path, i), found) for i, item in enumerate(given))


def _map(attr: Attribute, given: Any, path: Path, found: list[Violation]) -> Any:
    if not isinstance(given, Mapping):
        found.append(Violation(path, f"must be a map, not {_shape(given)}"))
        return given
    if len(given) > ITEMS:
        found.append(Violation(path, f"must not have more than {ITEMS} entries, and has {len(given)}"))
        return given
    return {str(key): _value(attr, attr.item, item, (*path, str(key)), found) for key, item in given.items()}


_SHAPES = {bool: "a boolean", int: "a whole number", float: "a number", str: "a string"}


def _shape(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return _SHAPES.get(type(value), type(value).__name__) if value is not None else "null"


def _scalar(annotation: Any, given: Any) -> tuple[Any, str | None]:
    if annotation is int and isinstance(given, float) and given.is_integer():
        return int(given), None  # every number is a double on Pulumi's wire
    if annotation is float and isinstance(given, int) and not isinstance(given, bool):
        return (float(given), None) if abs(given) <= INTEGERS else (given, f"must be at most {INTEGERS}")
    if annotation is int and isinstance(given, int) and abs(given) > INTEGERS:
        return given, f"must be at most {INTEGERS}, and at least the negative of it"
    if isinstance(given, annotation) and not (isinstance(given, bool) and annotation is not bool):
        return given, None
    return given, f"must be {_SHAPES[annotation]}, not {_shape(given)}"


def _limits(attr: Attribute, value: Any) -> tuple[Any, str | None]:
    if isinstance(value, str) and (message := _refused(attr, value)):
        return value, message
    if attr.choices and value not in {c.value for c in attr.choices}:
        known = [c.value for c in attr.choices]
        meant = did_you_mean(value, known) if isinstance(value, str) else ""
        return value, f"{quoted(value)} is not one of {', '.join(known)}{meant}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value, _range(attr, value)
    if isinstance(value, str):
        return _text(attr, value)
    return value, None


def _refused(attr: Attribute, value: str) -> str | None:
    """What is refused of any text, before anything looks at it more closely."""
    most = attr.max_length or LENGTH
    if len(value) > most:
        return f"must not be longer than {most} characters, and has {len(value)}"
    return PRIVATE_KEY if not attr.hidden and armor.holds_private_key(value) else None


def _range(attr: Attribute, value: float) -> str | None:
    if attr.minimum is not None and value < attr.minimum:
        return f"must be at least {_plain(attr.minimum)}, not {_plain(value)}"
    if attr.maximum is not None and value > attr.maximum:
        return f"must be at most {_plain(attr.maximum)}, not {_plain(value)}"
    return None


def _plain(number: float) -> str:
    """With all its digits: 2147483648, and 0.5."""
    return str(int(number)) if float(number).is_integer() else repr(number)


def _text(attr: Attribute, value: str) -> tuple[str, str | None]:
    if attr.format is None:
        return value, None
    try:
        return attr.format(value), None
    except ValueError as error:
        return value, str(error)
