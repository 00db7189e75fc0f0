# SPDX-License-Identifier: Apache-2.0
"""How what a caller gave is said back to it in a message: short, on one line, and never a private key."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from . import armor

SHOWN = 100
"""Characters of a value that a message shows."""
MESSAGE = 1000
"""Characters of a whole message; the longest that we write ourselves lists the names of all headers."""
NAME = 100
_RUN = re.compile(r"\S{201,}")
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKS = "\u200e\u200f\u061c"
HIDDEN = "[a private key]"


def unseen(character: str) -> bool:
    """Whether it is one that nobody sees and that changes how the text around it is shown: control characters, line and
    paragraph separators, halves of surrogate pairs, and what turns the direction of text (Unicode TR 9, TR 36)."""
    return (
        unicodedata.category(character) in _UNSEEN
        or unicodedata.bidirectional(character) in _DIRECTIONS
        or character in _MARKS
    )


def printable(text: str) -> str:
    """The text with each character that nobody sees as ``\\u202e``."""
    return "".join(f"\\u{ord(c):04x}" if unseen(c) else c for c in text)


def quoted(value: Any) -> str:
    """A value in quotes, cut where it is long."""
    if isinstance(value, int) and value.bit_length() > 4 * SHOWN:
        return f"a number of more than {SHOWN} digits"  # to write all of them takes its time, and is forbidden
    text = value if isinstance(value, str) else str(value)
    if armor.holds_private_key(text):
        return HIDDEN
    if isinstance(value, str):
        return printable(repr(cut(text, SHOWN)))
    return printable(cut(text, SHOWN))


def cut(text: str, length: int) -> str:
    """The text, with its middle left out where it is longer."""
    if len(text) <= length:
        return text
    head, tail = length * 2 // 3, length // 4
    return f"{text[:head]}…{text[-tail:]}"


def message(text: str, length: int = MESSAGE) -> str:
    """A message whose author did not think of long values: runs without a blank are cut, and the whole."""
    if len(text) <= 2 * SHOWN:
        return text
    return cut(_RUN.sub(lambda run: cut(run[0], SHOWN), text), length)


def name(text: str) -> str:
    """A part of a property's path: an attribute that there is not, the key of a map."""
    return HIDDEN if armor.holds_private_key(text) else cut(text, NAME)
