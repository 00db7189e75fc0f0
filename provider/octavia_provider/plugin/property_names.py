# SPDX-License-Identifier: Apache-2.0
"""Conversion of property names: the API's ``protocol_port`` is Pulumi's ``protocolPort``, at every depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavia_provider.model.errors import Path
from octavia_provider.model.metadata import Attribute, attributes


def to_model(kind: type, properties: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Properties in the model's names, and the unknown names."""
    known = {a.camel: a for a in attributes(kind).values()}
    values: dict[str, Any] = {}
    unknown_names = [name for name in properties if name not in known]
    for name, value in properties.items():
        if name in known:
            attr = known[name]
            values[attr.name] = None if attr.blank(value) else _convert_nested(attr, value, _nested_to_model)
    return values, unknown_names


def to_pulumi(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes in Pulumi's names; values that are no attributes of the kind are left out."""
    known = attributes(kind)
    return {
        known[name].camel: _convert_nested(known[name], value, to_pulumi)
        for name, value in values.items()
        if name in known
    }


def pulumi_path(kind: type, path: Path) -> str:
    """A property path as Pulumi writes it: ``sessionPersistence.cookieName``, ``insertHeaders["X-Forwarded-For"]``."""
    text = ""
    inner: type | None = kind
    attr: Attribute | None = None
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        if attr is not None and attr.is_map and attr.nested is None:
            text += f'["{part}"]'
            continue
        attr = attributes(inner).get(part) if inner is not None else None
        name = attr.camel if attr else part
        inner = attr.nested if attr else None
        text += f".{name}" if text else name
    return text


def _nested_to_model(kind: type, properties: Mapping[str, Any]) -> dict[str, Any]:
    values, unknown_names = to_model(kind, properties)
    # unknown names are kept, so that validation reports them at their path
    return {**values, **{name: properties[name] for name in unknown_names}}


def _convert_nested(attr: Attribute, value: Any, convert: Any) -> Any:
    if attr.nested is None:
        return value
    if isinstance(value, Mapping):
        return convert(attr.nested, value)
    if isinstance(value, (list, tuple)):
        return [convert(attr.nested, item) if isinstance(item, Mapping) else item for item in value]
    return value
