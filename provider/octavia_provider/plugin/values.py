# SPDX-License-Identifier: Apache-2.0
"""Pulumi's property values: from and to ``google.protobuf.Struct``.

In Python an object is a ``dict``, an array a ``list``; numbers are ``int`` where they are whole (all are doubles on the
wire), an unknown value is ``model.validate.UNKNOWN``, a secret is wrapped in :class:`Secret`. Signatures and sentinels:
Pulumi's ``sdk/go/common/resource/properties.go`` and ``sdk/go/common/resource/sig``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from octavia_provider.model.validate import UNKNOWN, Unknown

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a mark of the protocol
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"

UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS = frozenset({
    UNKNOWN_STRING,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a boolean
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # an array
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
    "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown. Its ``repr`` does not show it either."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file or an archive that was passed as a value; no resource here takes one."""

    what: str


def decode(struct: Struct) -> dict[str, Any]:
    """The properties of a call."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def encode(properties: Mapping[str, Any]) -> Struct:
    """The properties of an answer; unknown values and secrets are marked as Pulumi marks them."""
    struct = Struct()
    struct.update(_encode(properties))
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


def _decode(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case "struct_value":
            return _decode_object(decode(value.struct_value))
        case _:
            return None


def _decode_object(fields: dict[str, Any]) -> Any:
    signature = fields.get(SIGNATURE)
    if signature is None:
        return fields
    special = _SPECIAL.get(signature)
    if special is None:
        return Asset(f"a value of an unknown sort ({signature})")
    return special(fields)


def _output_value(fields: dict[str, Any]) -> Any:
    value = fields.get("value", UNKNOWN)
    return Secret(value) if fields.get("secret") else value


def _reference(fields: dict[str, Any]) -> Any:
    # a resource given where its id is wanted means its id; in a preview it has none yet
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
        return UNKNOWN_STRING
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET, "value": _encode(value.value)}
    return value
