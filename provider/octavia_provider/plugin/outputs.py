# SPDX-License-Identifier: Apache-2.0
"""The outputs of a resource, and its inputs as Read reports them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from octavia_provider.model.metadata import Attribute, attributes, inputs
from octavia_provider.model.unknown import UNKNOWN, contains_unknown
from octavia_provider.model.validation import validate

from . import diffs, property_names, values
from .inputs import NAME
from .values import Secret


def from_object(kind: type, obj: Mapping[str, Any], old_inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs: every attribute of the object as the API returns it, in Pulumi's names.

    Secret inputs are secret outputs, and an unordered list keeps the order of the input. The API never returns hidden
    attributes (keys, environments), so they are taken from the inputs.
    """
    known = attributes(kind)
    present = {name: obj[name] for name in known if obj.get(name) is not None}
    outputs = property_names.to_pulumi(kind, present)
    hidden = {a.camel: old_inputs.get(a.camel, a.default) for a in known.values() if a.hidden}
    outputs.update({name: value for name, value in hidden.items() if value is not None})
    for attr in known.values():
        if attr.camel in outputs:
            outputs[attr.camel] = _without_nulls(_keep_form(attr, outputs[attr.camel], old_inputs.get(attr.camel)))
    return outputs


def keep_unless_changed(kind: type, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The previous outputs when only ``volatile`` ones changed, else the current ones.

    For resources that a program only reads (``LoadBalancer.get``): engines compare their outputs in a refresh.
    """
    volatile = {attr.camel for attr in attributes(kind).values() if attr.volatile}

    def fixed(outputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values.plain(value) for name, value in outputs.items() if name not in volatile}

    return dict(before) if fixed(now) == fixed(before) else dict(now)


def preview_create(kind: type, news: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a create in a preview: inputs and defaults; everything else is unknown."""
    raw, _ = property_names.to_model(kind, values.plain(news))
    canonical = validate(kind, raw).values
    outputs: dict[str, Any] = {}
    for attr in attributes(kind).values():
        if attr.output or (attr.filled and not diffs.is_set(raw, attr.name)):
            outputs[attr.camel] = UNKNOWN
        elif canonical.get(attr.name) is not None:
            value = property_names.to_pulumi(kind, {attr.name: _mark_chosen_unknown(attr, canonical[attr.name])})[
                attr.camel
            ]
            outputs[attr.camel] = _without_nulls(_keep_form(attr, value, news.get(attr.camel)))
    return outputs


def preview_update(
    kind: type, olds: Mapping[str, Any], news: Mapping[str, Any], stable: Collection[str]
) -> dict[str, Any]:
    """The outputs of an update in a preview; ``stable`` (the model's names) are those that keep their values."""
    outputs = preview_create(kind, news)
    for attr in attributes(kind).values():
        if _is_stable(attr, outputs.get(attr.camel), stable) and attr.camel in olds:
            outputs[attr.camel] = olds[attr.camel]
    return outputs


def to_inputs(
    kind: type, obj: Mapping[str, Any], old_inputs: Mapping[str, Any], computed: Collection[str] = ()
) -> dict[str, Any]:
    """The inputs that a program would need for the object as it is now (Read).

    ``old_inputs`` are the inputs so far ({} for an import). Kept: inputs that are set, in the user's spelling while it
    still means the same; values that differ from their default; always the name (an object without one must not get an
    auto-name). Left out: defaults, and values the control plane chose, except for ``computed`` (the model's names).
    """
    raw, _ = property_names.to_model(kind, values.plain(old_inputs))
    known = inputs(kind)
    old_values = validate(kind, raw).values
    current = validate(kind, {name: obj.get(name) for name in known}).values
    result: dict[str, Any] = {}
    for name, attr in known.items():
        value = current.get(name)
        if attr.hidden and attr.camel in old_inputs:
            result[attr.camel] = _keep_form(attr, values.plain(old_inputs[attr.camel]), old_inputs[attr.camel])
        elif diffs.is_set(raw, name) and diffs.equal(attr, diffs.fill_chosen(attr, old_values.get(name), value), value):
            result[attr.camel] = old_inputs[attr.camel]
        elif name == NAME or (
            value is not None and _is_input(attr, value, was_set=diffs.is_set(raw, name), computed=computed)
        ):
            shown = obj[name] if attr.reference == "tls_container" else value  # a stock Octavia takes whole hrefs alone
            result[attr.camel] = _keep_form(
                attr, property_names.to_pulumi(kind, {name: shown})[attr.camel], old_inputs.get(attr.camel)
            )
    return {name: _without_nulls(value) for name, value in result.items()}


def _mark_chosen_unknown(attr: Attribute, value: Any) -> Any:
    """A list of objects in which the values that the control plane will choose are unknown."""
    if attr.nested is None or not isinstance(value, (list, tuple)):
        return value
    chosen = [name for name, inner in attributes(attr.nested).items() if inner.output or inner.filled]
    return [
        {**item, **{n: UNKNOWN for n in chosen if item.get(n) is None}} if isinstance(item, Mapping) else item
        for item in value
    ]


def _is_stable(attr: Attribute, value: Any, stable: Collection[str]) -> bool:
    """Whether an output that is unknown in the preview keeps its old value."""
    if attr.nested is not None and attr.name in stable:
        return contains_unknown(value)
    return (attr.name in stable or attr.filled) and value is UNKNOWN


def _is_input(attr: Attribute, value: Any, *, was_set: bool, computed: Collection[str]) -> bool:
    if was_set or attr.required or attr.name in computed:
        return True
    return not attr.filled and not diffs.equal(attr, value, attr.default)


def _keep_form(attr: Attribute, value: Any, old_input: Any) -> Any:
    plain = values.plain(old_input)
    if attr.unordered and isinstance(plain, list) and diffs.equal(attr, plain, value):
        value = plain
    value = values.plain(value)
    return Secret(value) if attr.secret or values.is_secret(old_input) else value


def _without_nulls(value: Any) -> Any:
    """The value without nulls in nested objects: programs do not write them."""
    if isinstance(value, Secret):
        return Secret(_without_nulls(value.value))
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, (list, tuple)) else value
