# SPDX-License-Identifier: Apache-2.0
"""The lines of objects that do not change: what was made of one is remembered as long as it is asked for."""

from __future__ import annotations

MOST = 8_192
"""Objects in each of two generations; those of the older one that were not asked for meanwhile are forgotten."""


class Memo:
    """Texts by object. An object is known by its identity: it is frozen, and held here, so no other one gets its ``id``."""

    __slots__ = ("_new", "_old")

    def __init__(self) -> None:
        self._new: dict[int, tuple[object, str]] = {}
        self._old: dict[int, tuple[object, str]] = {}

    def get(self, one: object) -> str | None:
        """The text of this very object."""
        found = self._new.get(id(one))
        if found is None and (found := self._old.get(id(one))) is not None:
            self._new[id(one)] = found
        return found[1] if found else None

    def put(self, one: object, text: str) -> None:
        """Remember it."""
        if len(self._new) >= MOST:
            self._new, self._old = {}, self._new
        self._new[id(one)] = (one, text)
