# SPDX-License-Identifier: Apache-2.0
"""What is given for one object, as Octavia reads it (WSME, wsme/types.py): what it takes a null for, and numbers.

The model is stricter, since Pulumi's Check tells a program's author of a wrong type; OpenStack's own command line sends
numbers as text (``--connection-limit 7``), and a version as a number (``--http-version 1.1``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import Attribute, inputs

_VERSION = 1_000
"""No choice that is a number, as a version is, is as large."""
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def understood(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of one object. What cannot be read is left as it is, for the model to refuse."""
    known = inputs(KINDS[kind])
    nulls = {name: known[name].null for name, value in given.items() if value is None and name in known}
    nothing = {name: None for name, value in given.items() if name in known and known[name].blank(value)}
    return {**_read(known, given), **nulls, **nothing}


def _read(known: Mapping[str, Attribute], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(known[name], value) if name in known else value for name, value in given.items()}


def _value(attribute: Attribute, value: Any) -> Any:
    if isinstance(value, list) and attribute.is_list:
        return [_value(attribute, item) for item in value]
    if isinstance(value, dict) and attribute.nested is not None:
        return _read(inputs(attribute.nested), value)
    if isinstance(value, str) and int in (attribute.annotation, attribute.item):
        return int(value) if _WHOLE.fullmatch(value) else value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _VERSION:
        version = str(float(value))  # 1.0 is written as 1 by JavaScript and Go
        return version if version in {choice.value for choice in attribute.choices} else value
    return value
