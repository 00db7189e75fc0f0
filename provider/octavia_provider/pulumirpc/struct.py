# SPDX-License-Identifier: Apache-2.0
"""Property values from and to ``google.protobuf.Struct``, as plain JSON data.

What JSON cannot say is an object with a signature, as on the wire (``sdk/go/common/resource/properties.go``,
``sdk/go/common/resource/sig`` and ``pulumi.runtime.rpc``): a secret, a reference to a resource, an asset. An unknown
of a preview is one of a few reserved strings.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = Any
Props: TypeAlias = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a signature of the protocol, not a password
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWNS = frozenset(
    (
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # list
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
    )
)
_EXACT = 2**53  # beyond it a double is not exact, and is kept as one


def from_struct(struct: Any) -> Props:
    """A ``google.protobuf.Struct`` as a dict, sorted by key; whole numbers become ints."""
    return {key: _from_value(struct.fields[key]) for key in sorted(struct.fields)}


def _from_value(value: Any) -> Json:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < _EXACT else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    return None


def fill_struct(struct: Any, props: Props) -> None:
    """Write a dict into a ``google.protobuf.Struct``, and make an empty one present."""
    struct.SetInParent()
    for key, value in props.items():
        _fill_value(struct.fields[key], value)


def _fill_value(target: Any, value: Json) -> None:
    if value is None:
        target.null_value = 0
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, dict):
        fill_struct(target.struct_value, value)
    else:
        target.list_value.SetInParent()
        for item in value:
            _fill_value(target.list_value.values.add(), item)
