# SPDX-License-Identifier: Apache-2.0
"""Pulumi's property values as the plugin works with them, from and to the JSON form of ``pulumirpc.struct``.

In Python an object is a ``dict``, an array a ``list``; numbers are ``int`` where they are whole (all are doubles on the
wire), an unknown value is ``model.unknown.UNKNOWN``, a secret is wrapped in :class:`Secret`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct

from octavia_provider.model.unknown import UNKNOWN, Unknown
from octavia_provider.pulumirpc import struct as wire
from octavia_provider.pulumirpc.struct import ARCHIVE, ASSET, OUTPUT, RESOURCE, SECRET, SIGNATURE, UNKNOWNS


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret value. Its ``repr`` does not show it."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset or archive; no resource of this provider accepts one."""

    description: str


def decode(struct: Struct) -> dict[str, Any]:
    """The properties of a call."""
    return {key: _decode(value) for key, value in wire.from_struct(struct).items()}


def encode(properties: Mapping[str, Any]) -> Struct:
    """The properties of a response; unknown values and secrets are marked as Pulumi marks them."""
    struct = Struct()
    wire.fill_struct(struct, _encode(properties))
    return struct


def plain(value: Any) -> Any:
    """The value without its secret marks, at any depth."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def is_secret(value: Any) -> bool:
    """Whether the value, or any part of it, is secret."""
    if isinstance(value, Mapping):
        return any(is_secret(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_secret(item) for item in value)
    return isinstance(value, Secret)


def _decode(value: wire.Json) -> Any:
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWNS else value
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {key: _decode(item) for key, item in value.items()}
    signature = fields.get(SIGNATURE)
    if signature is None:
        return fields
    special = _SPECIAL.get(signature)
    return special(fields) if special else Asset(f"a value of an unknown sort ({signature})")


def _output_value(fields: dict[str, Any]) -> Any:
    value = fields.get("value", UNKNOWN)
    return Secret(value) if fields.get("secret") else value


def _reference(fields: dict[str, Any]) -> Any:
    # a resource passed where an id is expected stands for its id; in a preview it has none yet
    return fields.get("id") or UNKNOWN


_SPECIAL: dict[str, Callable[[dict[str, Any]], Any]] = {
    SECRET: lambda fields: Secret(fields.get("value")),
    OUTPUT: _output_value,
    RESOURCE: _reference,
    ASSET: lambda _: Asset("an asset"),
    ARCHIVE: lambda _: Asset("an archive"),
}


def _encode(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    if isinstance(value, Unknown):
        return wire.UNKNOWN
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET, "value": _encode(value.value)}
    return value
