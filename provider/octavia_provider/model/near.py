# SPDX-License-Identifier: Apache-2.0
"""What a mistyped word probably was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 100
"""Characters of a word that is compared: to compare longer ones takes long, and nobody mistypes so much."""


def near(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, whatever the case and the way of joining words; None: none is."""
    if len(word) > LONGEST:
        return None
    forms: dict[str, str] = {}
    for one in known:
        forms.setdefault(_bare(one), one)
    found = difflib.get_close_matches(
        _bare(word), forms, n=1, cutoff=0.65
    )  # two letters that changed places, of three: dve
    return forms[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean ROUND_ROBIN?``, or nothing."""
    found = near(word, known)
    return f"; did you mean {found}?" if found and found != word else ""


def _bare(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())
