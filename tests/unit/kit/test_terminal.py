# SPDX-License-Identifier: Apache-2.0
"""Text of others is seen on a terminal, and does nothing there."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from octavia_provider.kit import terminal
from octavia_provider.model.errors import NotFound

CONTROLS = [
    chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp", "Cs")
]
BIDI = [chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]
"""All characters with the property Bidi_Control (Unicode Character Database, PropList.txt)."""
HIDDEN = ["\u00ad", "\u180e", "\u200b", "\u2060", "\ufeff", "\U000e0041"]


def test_nothing_that_a_terminal_obeys_or_hides_is_left() -> None:
    written = terminal.escape_line("".join([*CONTROLS, *BIDI, *HIDDEN]))
    assert written.isascii()
    assert written.isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("web", "web"), ("[/x] [red] :smile:", "[/x] [red] :smile:"), ("\x1b[31mred", "\\x1b[31mred"), ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202eevil", "\\u202eevil"), ("\x9b2J", "\\x9b2J"), ("\udc80", "\\udc80"), ("\U000e0041", "\\U000e0041"),
        ("Bücher 図書 مكتبة می\u200cخواهم 👩\u200d💻", "Bücher 図書 مكتبة می\u200cخواهم 👩\u200d💻"), (7, "7"),
    ],
)  # fmt: skip
def test_a_line(value: object, shown: str) -> None:
    assert terminal.escape_line(value) == shown


def test_text_keeps_its_lines_and_tabs() -> None:
    assert terminal.escape_text("a\n\tb\x1b\r\n") == "a\n\tb\\x1b\\r\n"


@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_loses_nothing(indent: int | None) -> None:
    value = {"name": "".join([*reversed(CONTROLS), *BIDI, *HIDDEN, "ü"]), "\x9b": ["\u202e", 1, None]}
    written = terminal.dump_json(value, indent=indent)
    assert json.loads(written) == value
    assert written.replace("\n", "").isprintable()
    assert "ü" in written


def test_an_error_is_escaped_wherever_it_is_told() -> None:
    assert str(NotFound("is \x1b[2Jnot there", subject="pool \u202eb")) == "pool \\u202eb: is \\x1b[2Jnot there"
