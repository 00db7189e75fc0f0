# SPDX-License-Identifier: Apache-2.0
"""Property values, in the form in which they travel.

Inside the engine a property is plain JSON data; what JSON cannot say is an object with a signature, as on the wire
(``sdk/go/common/resource/properties.go`` and ``pulumi.runtime.rpc``): a secret, a reference to a resource, an asset.
An unknown of a preview is one of a few reserved strings. In the checkpoint a secret's value is ciphertext.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Json: TypeAlias = Any
Props: TypeAlias = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a signature of the protocol, not a password
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
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


def signature(value: Json) -> str | None:
    """The signature of a special object, or None."""
    return value.get(SIGNATURE) if isinstance(value, dict) else None


def is_secret(value: Json) -> bool:
    """Whether the value itself is a secret."""
    return signature(value) == SECRET


def secret(value: Json) -> Json:
    """The value as a secret; a secret stays as it is."""
    return value if is_secret(value) else {SIGNATURE: SECRET, "value": value}


def is_unknown(value: Json) -> bool:
    """Whether the value itself is unknown."""
    return isinstance(value, str) and value in UNKNOWNS


def _any(value: Json, test: Callable[[Json], bool]) -> bool:
    if test(value):
        return True
    if isinstance(value, dict):
        return any(_any(item, test) for item in value.values())
    return isinstance(value, list) and any(_any(item, test) for item in value)


def has_unknown(value: Json) -> bool:
    """Whether anything in the value is unknown."""
    return _any(value, is_unknown)


def has_secret(value: Json) -> bool:
    """Whether anything in the value is secret."""
    return _any(value, is_secret)


def rewrite(value: Json, special: Callable[[dict[str, Any]], Json]) -> Json:
    """The value with every signed object replaced by what ``special`` makes of it (which does the descent)."""
    if isinstance(value, dict):
        if SIGNATURE in value:
            return special(value)
        return {key: rewrite(item, special) for key, item in value.items()}
    if isinstance(value, list):
        return [rewrite(item, special) for item in value]
    return value


def plain(value: Json) -> Json:
    """The value without secrecy: what is compared, and what a peer gets that knows no secrets."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] == SECRET:
            return plain(item.get("value"))
        return {key: plain(entry) for key, entry in item.items()}

    return rewrite(value, special)


def without_references(value: Json) -> Json:
    """The value for a peer that knows no references to resources: the id, or the URN of a component."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] == RESOURCE:
            return item.get("id") or item.get("urn")
        return {key: without_references(entry) for key, entry in item.items()}

    return rewrite(value, special)


def without_outputs(value: Json) -> Json:
    """The value with output values resolved: to an unknown, a secret or the plain value."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] != OUTPUT:
            return {key: without_outputs(entry) for key, entry in item.items()}
        inner = without_outputs(item["value"]) if "value" in item else UNKNOWN
        return secret(inner) if item.get("secret") else inner

    return rewrite(value, special)


def redacted(value: Json) -> Json:
    """The value fit to be shown: ``[secret]`` for a secret."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] == SECRET:
            return "[secret]"
        return {key: redacted(entry) for key, entry in item.items()}

    return rewrite(value, special)


def annotate_secrets(answer: Props, asked: Props) -> Props:
    """What a peer without secrets answered, secret again where the question's property of that name was."""
    return {key: _annotate(value, asked[key]) if key in asked else value for key, value in answer.items()}


def _annotate(value: Json, asked: Json) -> Json:
    if is_secret(asked):
        return secret(value)
    if isinstance(value, dict) and isinstance(asked, dict):
        return annotate_secrets(value, asked)
    if isinstance(value, list) and isinstance(asked, list):
        pairs = zip(value, asked, strict=False)
        return [_annotate(left, right) for left, right in pairs] + value[len(asked) :]
    return value


def mark_secret(props: Props, names: Iterable[str]) -> Props:
    """The properties with those of these names made secret (``additionalSecretOutputs``)."""
    names = set(names)
    return {key: secret(value) if key in names else value for key, value in props.items()}


def encrypt(value: Json, cipher: Callable[[str], str]) -> Json:
    """The value as the checkpoint holds it: each secret as ``{signature, ciphertext}``."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] != SECRET:
            return {key: encrypt(entry, cipher) for key, entry in item.items()}
        if "value" not in item:
            return item
        text = json.dumps(encrypt(item["value"], cipher), separators=(",", ":"), ensure_ascii=False)
        return {SIGNATURE: SECRET, "ciphertext": cipher(text)}

    return rewrite(value, special)


def decrypt(value: Json, decipher: Callable[[str], str]) -> Json:
    """The reverse of :func:`encrypt`; takes the exported form ``{signature, plaintext}`` as well."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] != SECRET:
            return {key: decrypt(entry, decipher) for key, entry in item.items()}
        if "ciphertext" in item:
            return {SIGNATURE: SECRET, "value": decrypt(json.loads(decipher(item["ciphertext"])), decipher)}
        if "plaintext" in item:
            return {SIGNATURE: SECRET, "value": decrypt(json.loads(item["plaintext"]), decipher)}
        return item

    return rewrite(value, special)
