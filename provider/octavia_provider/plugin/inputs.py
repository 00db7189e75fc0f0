# SPDX-License-Identifier: Apache-2.0
"""Check: from the program's inputs to checked inputs, or every violation with its property path.

Checked inputs are what the user set, plus an auto-name; no defaults. So removing an input shows up in a diff (and resets
it to its default in place), a new default in a later version changes nothing by itself, imported inputs equal those of a
program, and a diff shows what somebody wrote.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from octavia_provider.model import armor, echo, naming
from octavia_provider.model.errors import bounded
from octavia_provider.model.metadata import STRANGERS, Attribute, attributes
from octavia_provider.model.metadata import inputs as model_inputs
from octavia_provider.model.near import near
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.model.validation import notes as validate_notes
from octavia_provider.model.validation import validate

from . import language, property_names, values

NAME = "name"
SUFFIX = 7
"""Hexadecimal digits after the resource's name in an auto-name, as Pulumi's providers have them."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How to name a resource without a name (pulumirpc.CheckRequest: name, randomSeed, autonaming).

    ``mode`` is PROPOSE, ENFORCE or DISABLE; ``proposed`` is the engine's proposal where the user configured one.
    """

    resource: str
    seed: bytes = b""
    proposed: str = ""
    mode: str = "PROPOSE"

    def name(self) -> str:
        """A fresh name."""
        if self.proposed:
            return self.proposed
        digits = self.seed.hex() if len(self.seed) * 2 >= SUFFIX else secrets.token_hex(SUFFIX)
        head = self.resource[: naming.NAME_LENGTH - SUFFIX - 1]
        return f"{head}-{digits[:SUFFIX]}"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of Check: the property path as Pulumi spells it, and why."""

    path: str
    reason: str


def check(
    kind: type, news: Mapping[str, Any], olds: Mapping[str, Any], naming: Naming
) -> tuple[dict[str, Any], list[Failure]]:
    """The checked inputs and all failures; ``news`` and ``olds`` have Pulumi's names and are decoded."""
    known = {attribute.camel: attribute for attribute in attributes(kind).values()}
    inputs = {
        name: value for name, value in news.items() if value is not None and not _is_empty(known.get(name), value)
    }
    failures = _reject_assets(inputs, "")
    if NAME not in inputs and NAME in attributes(kind):
        if NAME in olds:
            inputs[NAME] = olds[NAME]  # the object has this name; a new one would only rename it
        elif naming.mode == "DISABLE":
            failures.append(Failure(NAME, "is required: automatic naming is switched off (pulumi:autonaming)"))
        else:
            inputs[NAME] = naming.name()
    for attr in attributes(kind).values():
        if attr.camel in inputs and _must_be_secret(attr, inputs[attr.camel]):
            inputs[attr.camel] = values.Secret(inputs[attr.camel])  # even if the program did not mark it
    # what was refused already counts as unknown, so that everything else is validated
    values_of_model, unknown_names = property_names.to_model(kind, _without_assets(values.plain(inputs)))
    if NAME not in inputs and NAME in attributes(kind):
        values_of_model[NAME] = UNKNOWN
    failures += _unknown_inputs(kind, unknown_names)
    for violation in bounded(validate(kind, values_of_model).violations):
        message = _without_secrets(violation.message, inputs)
        failures.append(Failure(property_names.pulumi_path(kind, violation.path), message))
    return inputs, failures


def _unknown_inputs(kind: type, names: Sequence[str]) -> list[Failure]:
    """Failures for names that are no inputs of the kind, with the closest input as a suggestion."""
    known = {attr.camel: language.attribute_name(attr) for attr in model_inputs(kind).values()}
    failures = []
    for name in names[:STRANGERS]:
        suggestion = near(name, known)
        hint = f"; did you mean {known[suggestion]}?" if suggestion else ""
        failures.append(Failure(echo.name(name), f"is not an attribute that can be given{hint}"))
    if len(names) > STRANGERS:
        failures.append(Failure("", f"has {len(names) - STRANGERS} more attributes that cannot be given"))
    return failures


def _is_empty(attribute: Attribute | None, value: Any) -> bool:
    """Whether it is blank text, which counts as unset; names and descriptions may be empty."""
    if attribute is None or attribute.annotation is not str or attribute.default == "":
        return False
    return attribute.blank(values.plain(value))


def _must_be_secret(attribute: Attribute, value: Any) -> bool:
    """Whether to mark the value secret: it always is one, or it may be one and holds a private key."""
    if values.is_secret(value) or not attribute.hidden:
        return False
    return attribute.secret or any(map(armor.holds_private_key, _leaves(values.plain(value))))


def ineffective_inputs(kind: type, inputs: Mapping[str, Any]) -> list[Failure]:
    """Valid inputs that have no effect, each with its property path."""
    values_of_model, _ = property_names.to_model(kind, values.plain(inputs))
    return [
        Failure(property_names.pulumi_path(kind, note.path), _without_secrets(note.message, inputs))
        for note in validate_notes(kind, values_of_model)
    ]


def _reject_assets(value: Any, path: str) -> list[Failure]:
    if isinstance(value, values.Secret):
        return _reject_assets(value.value, path)
    if isinstance(value, values.Asset):
        return [Failure(path, f"is {value.description}, which no property here takes; give the text itself")]
    if isinstance(value, Mapping):
        parts = [(f"{path}.{name}" if path else name, item) for name, item in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
    else:
        return []
    return [failure for where, item in parts for failure in _reject_assets(item, where)]


def _without_assets(value: Any) -> Any:
    """The value with each asset in it unknown."""
    if isinstance(value, values.Asset):
        return UNKNOWN
    if isinstance(value, Mapping):
        return {name: _without_assets(item) for name, item in value.items()}
    return [_without_assets(item) for item in value] if isinstance(value, list) else value


def _without_secrets(message: str, inputs: Mapping[str, Any]) -> str:
    """The message with every secret value redacted."""
    secret = [value for value in inputs.values() if values.is_secret(value)]
    for text in _leaves(values.plain(secret)):
        message = message.replace(text, "[secret]")
    return message


def _leaves(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [str(value)] if value not in (None, "") else []
