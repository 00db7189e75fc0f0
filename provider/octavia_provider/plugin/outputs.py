# SPDX-License-Identifier: Apache-2.0
"""What a resource shows to a program, and which of what it shows are its inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from octavia_provider.model.metadata import Attribute, attributes, inputs
from octavia_provider.model.unknown import UNKNOWN, contains_unknown
from octavia_provider.model.validation import validate

from . import diffs, spelling, values
from .inputs import NAME
from .values import Secret


def shown(kind: type, obj: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs: every attribute of the object as the control plane shows it, in Pulumi's names.

    What was given as a secret (``given``: the checked inputs) is shown as one; a list without order is shown in the
    order in which it was given. What is hidden (keys, environments) no control plane ever shows: they are what was given.
    """
    known = attributes(kind)
    mine = {name: obj[name] for name in known if obj.get(name) is not None}
    outputs = spelling.to_pulumi(kind, mine)
    hidden = {a.camel: given.get(a.camel, a.default) for a in known.values() if a.hidden}
    outputs.update({name: value for name, value in hidden.items() if value is not None})
    for attr in known.values():
        if attr.camel in outputs:
            outputs[attr.camel] = _bare(_like(attr, outputs[attr.camel], given.get(attr.camel)))
    return outputs


def unmoved(kind: type, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs as they were known, where nothing is new but what moves by itself (``volatile``); else those of now.

    For what a program only reads (``LoadBalancer.get``): engines compare its outputs in a refresh to say what drifted.
    """
    moving = {attr.camel for attr in attributes(kind).values() if attr.volatile}

    def fixed(outputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values.plain(value) for name, value in outputs.items() if name not in moving}

    return dict(before) if fixed(now) == fixed(before) else dict(now)


def expected(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a create, as a preview can know them: inputs and defaults; all else is unknown."""
    raw, _ = spelling.to_model(kind, values.plain(given))
    canonical = validate(kind, raw).values
    outputs: dict[str, Any] = {}
    for attr in attributes(kind).values():
        if attr.output or (attr.filled and not diffs.given(raw, attr.name)):
            outputs[attr.camel] = UNKNOWN
        elif canonical.get(attr.name) is not None:
            value = spelling.to_pulumi(kind, {attr.name: _undecided(attr, canonical[attr.name])})[attr.camel]
            outputs[attr.camel] = _bare(_like(attr, value, given.get(attr.camel)))
    return outputs


def after_update(
    kind: type, olds: Mapping[str, Any], given: Mapping[str, Any], stable: Collection[str]
) -> dict[str, Any]:
    """The outputs of an update, as a preview can know them; ``stable`` (the model's names) are those that stay."""
    outputs = expected(kind, given)
    for attr in attributes(kind).values():
        if _stays(attr, outputs.get(attr.camel), stable) and attr.camel in olds:
            outputs[attr.camel] = olds[attr.camel]
    return outputs


def as_inputs(
    kind: type, obj: Mapping[str, Any], given: Mapping[str, Any], wanted: Collection[str] = ()
) -> dict[str, Any]:
    """The inputs that a program would have to give for the object as it is now (Read).

    ``given`` are the inputs so far ({} for an import). Kept: what was given, in the words in which it was given while it
    still means the same, and what differs from its default; the name always (an object without one must not get an
    auto-name). Left out: defaults, and what the control plane chose, except for ``wanted`` (the model's names).
    """
    raw, _ = spelling.to_model(kind, values.plain(given))
    known = inputs(kind)
    said = validate(kind, raw).values
    now = validate(kind, {name: obj.get(name) for name in known}).values
    found: dict[str, Any] = {}
    for name, attr in known.items():
        value = now.get(name)
        if attr.hidden and attr.camel in given:
            found[attr.camel] = _like(attr, values.plain(given[attr.camel]), given[attr.camel])
        elif diffs.given(raw, name) and diffs.same(attr, diffs.completed(attr, said.get(name), value), value):
            found[attr.camel] = given[attr.camel]
        elif name == NAME or (value is not None and _told(attr, value, given=diffs.given(raw, name), wanted=wanted)):
            found[attr.camel] = _like(attr, spelling.to_pulumi(kind, {name: value})[attr.camel], given.get(attr.camel))
    return {name: _bare(value) for name, value in found.items()}


def _undecided(attr: Attribute, value: Any) -> Any:
    """A list of objects, with what the control plane is to choose in them unknown."""
    if attr.nested is None or not isinstance(value, (list, tuple)):
        return value
    left = [name for name, inner in attributes(attr.nested).items() if inner.output or inner.filled]
    return [
        {**item, **{n: UNKNOWN for n in left if item.get(n) is None}} if isinstance(item, Mapping) else item
        for item in value
    ]


def _stays(attr: Attribute, value: Any, stable: Collection[str]) -> bool:
    """Whether an output that a preview does not know is what it was."""
    if attr.nested is not None and attr.name in stable:
        return contains_unknown(value)
    return (attr.name in stable or attr.filled) and value is UNKNOWN


def _told(attr: Attribute, value: Any, *, given: bool, wanted: Collection[str]) -> bool:
    if given or attr.required or attr.name in wanted:
        return True
    return not attr.filled and not diffs.same(attr, value, attr.default)


def _like(attr: Attribute, value: Any, given: Any) -> Any:
    plain = values.plain(given)
    if attr.unordered and isinstance(plain, list) and diffs.same(attr, plain, value):
        value = plain
    value = values.plain(value)
    return Secret(value) if attr.secret or values.is_secret(given) else value


def _bare(value: Any) -> Any:
    """Without the nulls of nested objects, which nobody writes."""
    if isinstance(value, Secret):
        return Secret(_bare(value.value))
    if isinstance(value, Mapping):
        return {name: _bare(item) for name, item in value.items() if item is not None}
    return [_bare(item) for item in value] if isinstance(value, (list, tuple)) else value
