# SPDX-License-Identifier: Apache-2.0
"""Property values inside the engine: the JSON form of ``pulumirpc.struct``. In the checkpoint a secret's value is
ciphertext."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from octavia_provider.pulumirpc.struct import (
    OUTPUT,
    RESOURCE,
    SECRET,
    SIGNATURE,
    UNKNOWN,
    UNKNOWNS,
    Json,
    Props,
    fill_struct,
    from_struct,
)

__all__ = [
    "OUTPUT",
    "RESOURCE",
    "SECRET",
    "SIGNATURE",
    "UNKNOWN",
    "UNKNOWNS",
    "Json",
    "Props",
    "fill_struct",
    "from_struct",
]


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
    """The value without secret markers: for comparisons, and for peers without secrets support."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] == SECRET:
            return plain(item.get("value"))
        return {key: plain(entry) for key, entry in item.items()}

    return rewrite(value, special)


def without_references(value: Json) -> Json:
    """The value for a peer without resource references: the id, or the URN of a component."""

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
    """The value for display: ``[secret]`` for a secret."""

    def special(item: dict[str, Any]) -> Json:
        if item[SIGNATURE] == SECRET:
            return "[secret]"
        return {key: redacted(entry) for key, entry in item.items()}

    return rewrite(value, special)


def annotate_secrets(outputs: Props, inputs: Props) -> Props:
    """Outputs of a peer without secrets support, marked secret where the input of that name was."""
    return {key: _annotate(value, inputs[key]) if key in inputs else value for key, value in outputs.items()}


def _annotate(value: Json, input_value: Json) -> Json:
    if is_secret(input_value):
        return secret(value)
    if isinstance(value, dict) and isinstance(input_value, dict):
        return annotate_secrets(value, input_value)
    if isinstance(value, list) and isinstance(input_value, list):
        pairs = zip(value, input_value, strict=False)
        return [_annotate(left, right) for left, right in pairs] + value[len(input_value) :]
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
