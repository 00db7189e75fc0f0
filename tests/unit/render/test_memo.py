# SPDX-License-Identifier: Apache-2.0
"""What was made of an object is remembered by its identity, and forgotten when nobody asks for it."""

from __future__ import annotations

import pytest

from octavia_provider.render import memo


def test_an_object_is_known_by_its_identity() -> None:
    known, one, equal = memo.Memo(), ["a"], ["a"]
    known.put(one, "text")
    assert (known.get(one), known.get(equal)) == ("text", None)


def test_what_is_asked_for_stays_and_the_rest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MOST", 3)
    known, objects = memo.Memo(), [[n] for n in range(20)]
    for number, one in enumerate(objects):
        known.put(one, str(number))
        assert known.get(objects[0]) == "0"
    assert known.get(objects[0]) == "0"
    assert known.get(objects[5]) is None
