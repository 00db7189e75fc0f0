# SPDX-License-Identifier: Apache-2.0
"""A smaller body that still fails: what can be left out is left out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Body = dict[str, Any]
Place = tuple[str | int, ...]
MOST = 400
"""Tries: each may ask haproxy."""


def shrunk(body: Body, breaks: Callable[[Body], bool]) -> Body:
    """Take away one part after the other while ``breaks`` holds."""
    tries, changed = 0, True
    while changed and tries < MOST:
        changed = False
        for place in sorted(_places(body), key=len):
            tries += 1
            smaller = _without(body, place)
            if smaller is not None and breaks(smaller):
                body, changed = smaller, True
                break
    return body


def _places(value: Any, at: Place = ()) -> Iterator[Place]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from _places(inner, (*at, key))


def _without(body: Body, place: Place) -> Body | None:
    made = copy.deepcopy(body)
    inner: Any = made
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return made
