# SPDX-License-Identifier: Apache-2.0
"""Diff: old inputs against new ones, attribute by attribute. Pure.

Both sides are compared in canonical form with defaults filled in, so an explicit default or another spelling of an
address is no change. An unknown value counts as a change. Where the control plane chose a value because the input was
not set (``filled``), the chosen value is compared in place of the old input, and leaving the input unset keeps it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from octavia_provider.model.errors import Path
from octavia_provider.model.metadata import Attribute, attributes, inputs
from octavia_provider.model.unknown import contains_unknown
from octavia_provider.model.validation import validate

ADD, DELETE, UPDATE = "ADD", "DELETE", "UPDATE"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: its path in the model's names, its kind, its attribute, and whether it replaces the object."""

    path: Path
    kind: str
    attribute: Attribute
    replaces: bool


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared, each side validated once: names are the model's, secrets are unwrapped.

    ``old`` and ``new`` are the inputs as they were given; ``before``, ``after`` and ``outputs`` (the old ones) are canonical.
    """

    kind: type
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    outputs: Mapping[str, Any]

    @classmethod
    def of(cls, kind: type, old: Mapping[str, Any], old_outputs: Mapping[str, Any], new: Mapping[str, Any]) -> Sides:
        """Validate each side."""
        outputs = {name: value for name, value in old_outputs.items() if value is not None}
        return cls(kind, old, new, _canonical(kind, old), _canonical(kind, new), _canonical(kind, outputs))

    @property
    def was(self) -> dict[str, Any]:
        """The object as it was: what its old inputs set, and what the control plane chose and shows."""
        return {**self.outputs, **{name: value for name, value in self.before.items() if is_set(self.old, name)}}

    @property
    def given(self) -> dict[str, Any]:
        """The new inputs that are set, in canonical form."""
        return {name: value for name, value in self.after.items() if is_set(self.new, name)}


def diff(sides: Sides, ignore: Sequence[str] = (), fixed: Collection[str] = ()) -> list[Change]:
    """The changes from the old inputs to the new ones; ``ignore`` lists attributes in Pulumi's names, ``fixed`` (the model's
    names) those that the service cannot change."""
    old, new, before, after, outputs = sides.old, sides.new, sides.before, sides.after, sides.outputs
    found: list[Change] = []
    for name, attr in inputs(sides.kind).items():
        if attr.camel in ignore:
            continue
        was_set, now_set = is_set(old, name), is_set(new, name)
        left = before.get(name)
        if attr.filled:
            if not now_set and (not was_set or attr.replaces):
                continue
            left = left if was_set else outputs.get(name)
        left = fill_chosen(attr, left, outputs.get(name))
        right = fill_chosen(attr, after.get(name), left)
        changes = _compare(attr, (name,), left, right, was_set=was_set, now_set=now_set)
        found.extend(replace(change, replaces=True) if name in fixed else change for change in changes)
    return found


def fill_chosen(attr: Attribute, value: Any, chosen_by_control_plane: Any) -> Any:
    """Fill unset ``filled`` values in a list of objects from those objects in ``chosen_by_control_plane`` that are
    equal otherwise."""
    if (
        attr.nested is None
        or not isinstance(value, (list, tuple))
        or not isinstance(chosen_by_control_plane, (list, tuple))
    ):
        return value
    filled = [name for name, inner in inputs(attr.nested).items() if inner.filled]
    return tuple(_fill_chosen_item(item, chosen_by_control_plane, filled) for item in value)


def _fill_chosen_item(item: Any, candidates: Sequence[Any], filled: Sequence[str]) -> Any:
    if not isinstance(item, Mapping):
        return item
    for other in candidates:
        if isinstance(other, Mapping) and all(other.get(n) == v for n, v in item.items() if n not in filled):
            return {n: other.get(n) if v is None and n in filled else v for n, v in item.items()}
    return item


def is_set(values: Mapping[str, Any], name: str) -> bool:
    """Whether the inputs set this attribute."""
    return values.get(name) is not None


def equal(attr: Attribute, left: Any, right: Any) -> bool:
    """Whether two canonical values are equal; order is ignored where the attribute is unordered."""
    if attr.unordered and isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return sorted(map(str, left)) == sorted(map(str, right))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return list(left) == list(right)
    return bool(left == right)


def _canonical(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    known = inputs(kind)
    return validate(kind, {name: value for name, value in values.items() if name in known}).values


def _compare(attr: Attribute, path: Path, left: Any, right: Any, *, was_set: bool, now_set: bool) -> Iterator[Change]:
    if not contains_unknown(right) and equal(attr, left, right):
        return
    if was_set and now_set and left is not None and right is not None and not contains_unknown(right):
        nested = list(_nested_changes(attr, path, left, right))
        if nested:
            yield from (Change(where, kind, attr, attr.replaces) for where, kind in nested)
            return
    replaces = attr.replaces or _replaces_between(attr, left, right)
    yield Change(path, UPDATE if was_set and now_set else (ADD if now_set else DELETE), attr, replaces)


def _replaces_between(attr: Attribute, left: Any, right: Any) -> bool:
    between = attr.replaces_between
    return between is not None and not contains_unknown(right) and between.crosses(left, right)


def _nested_changes(attr: Attribute, path: Path, left: Any, right: Any) -> Iterator[tuple[Path, str]]:
    """The changes inside a map or a list; none for a scalar."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        names = attributes(attr.nested) if attr.nested else dict.fromkeys([*left, *right])
        for name in names:
            yield from _item_change((*path, name), left.get(name), right.get(name))
    elif attr.unordered:
        yield from (((*path, i), DELETE) for i, item in enumerate(left) if item not in right)
        yield from (((*path, i), ADD) for i, item in enumerate(right) if item not in left)
    elif isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        for i in range(max(len(left), len(right))):
            yield from _item_change((*path, i), *(side[i] if i < len(side) else None for side in (left, right)))


def _item_change(path: Path, left: Any, right: Any) -> Iterator[tuple[Path, str]]:
    if left != right:
        yield path, ADD if left is None else (DELETE if right is None else UPDATE)
