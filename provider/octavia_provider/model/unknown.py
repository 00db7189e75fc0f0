# SPDX-License-Identifier: Apache-2.0
"""Values that are not known yet: a preview has them where another resource has to be made first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class Unknown:
    """A value that will be known only when another resource has been made."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()


class Wrong(Unknown):
    """A value that is refused, or missing: it passes, so that the rest of the object can be looked at."""

    def __init__(self, given: Any) -> None:
        self.given = given


_SINGLE = frozenset({str, int, float, bool, type(None)})


def contains_unknown(value: Any) -> bool:
    """Whether any part of the value is unknown."""
    if value.__class__ in _SINGLE:
        return False
    if isinstance(value, Mapping):
        return any(contains_unknown(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(contains_unknown(v) for v in value)
    if hasattr(type(value), "model_fields"):  # an object within the object
        return any(map(contains_unknown, value.__dict__.values()))
    return isinstance(value, Unknown)
