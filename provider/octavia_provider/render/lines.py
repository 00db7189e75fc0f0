# SPDX-License-Identifier: Apache-2.0
"""Lines with their owners, and the quoting of what a user wrote (haproxy 2.6, section 2.2)."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9._:/@+,=*~?&!()-]+")
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "$": r"\$"})


def quote(value: str) -> str:
    """One word of a configuration, whatever is in it; control characters are refused by the model before."""
    if _PLAIN.fullmatch(value):
        return value
    return f'"{value.translate(_ESCAPED)}"'


def bracketed(address: str) -> str:
    """In brackets, or haproxy takes the last part of an IPv6 address for a port."""
    return f"[{address}]" if ":" in address else address


class Lines:
    """The body of a section: each line indented, with the id of the object that it came from."""

    __slots__ = ("owners", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.owners: list[str] = []

    def add(self, owner: str, *words: str) -> None:
        """Add one line."""
        self.texts.append(f"    {' '.join(words)}\n")
        self.owners.append(owner)

    @property
    def text(self) -> str:
        """All lines, newline-terminated."""
        return "".join(self.texts)
