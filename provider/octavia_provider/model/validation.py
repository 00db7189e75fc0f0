# SPDX-License-Identifier: Apache-2.0
"""Validation within one object, for Check (where values may still be unknown) and the API (where none is)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import Invalid, Path, Violation
from .metadata import broken, inputs
from .unknown import Wrong, contains_unknown

if TYPE_CHECKING:
    from .base import Model


@dataclass(slots=True)
class Validated:
    """``values``: canonical, every input present (defaults filled in); ``violations``: what is wrong, all of it.

    Of what is wrong, ``values`` has what was given; what is required and missing is not in them.
    """

    values: dict[str, Any] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


def validate(kind: type[Model], raw: Mapping[str, Any], *, path: Path = ()) -> Validated:
    """Validate the inputs of one object (names in the API's spelling); ``null`` means the default, as in Octavia
    (but for ``Attribute.null``)."""
    made, found = _validate(kind, raw)
    if not found:
        return Validated(plain(made))
    return Validated(_partial(made), [Violation((*path, *where), message) for where, message in found])


def notes(kind: type[Model], raw: Mapping[str, Any]) -> list[Violation]:
    """What is taken and has no effect (``Model.NOTES``), of inputs that are valid."""
    made, _ = _validate(kind, raw)
    unasked = {name for name in inputs(kind) if contains_unknown(getattr(made, name))}
    return [Violation((rule.at,), message) for rule, message in broken(kind.NOTES, made, unasked)]


def validated(kind: type[Model], raw: Mapping[str, Any], *, subject: str = "") -> dict[str, Any]:
    """The canonical values, or ``Invalid`` with every violation."""
    result = validate(kind, raw)
    if result.violations:
        raise Invalid(result.violations, subject=subject)
    return result.values


def plain(made: Model) -> dict[str, Any]:
    """The inputs of an object, by name; objects within it as mappings."""
    names, nested = _shown(type(made))
    has = made.__dict__
    values = {name: has[name] for name in names}
    for name in nested:
        values[name] = _unmade(values[name])
    return values


@functools.cache
def _shown(kind: type[Model]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    known = inputs(kind)
    return tuple(known), tuple(name for name, attr in known.items() if attr.nested is not None)


def _unmade(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_unmade, value))
    return plain(value) if hasattr(type(value), "model_fields") else value


def _partial(made: Model) -> dict[str, Any]:
    values = plain(made)
    for name, value in list(values.items()):
        if isinstance(value, Wrong):
            values[name] = value.given
            if value.given is None:
                del values[name]
    return values


def _validate(kind: type[Model], raw: Mapping[str, Any]) -> tuple[Model, list[tuple[Path, str]]]:
    context: dict[str, Any] = {}
    try:
        return kind.model_validate(raw, context=context), []
    except ValueError as error:  # pydantic's, which is not imported here
        errors: list[Any] = error.errors(include_url=False)  # type: ignore[attr-defined]
        return context["object"], [(one["loc"], one["msg"]) for one in errors]
