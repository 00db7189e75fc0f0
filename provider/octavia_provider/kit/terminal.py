# SPDX-License-Identifier: Apache-2.0
"""Escape foreign text for a terminal: names, responses, logs, messages. Characters that could move the cursor, change
colours, reorder or hide text are printed as visible escapes."""

from __future__ import annotations

import json
import re
from typing import Any

# Control characters of ISO 6429 (C0, DEL, C1); line and paragraph separators; bidirectional controls (UAX 9); invisible
# format characters; lone surrogates, which cannot be encoded. The joiners U+200C and U+200D stay: some scripts need them.
_CONTROL = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_CONTROL_PATTERN = re.compile(f"[{_CONTROL}]")
_SHORT_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def escape_line(value: object) -> str:
    """One line: line breaks and tabs are escaped too."""
    return _CONTROL_PATTERN.sub(lambda found: _escape(found[0]), str(value))


def escape_text(value: object) -> str:
    """Several lines: line breaks and tabs are kept."""
    return "\n".join("\t".join(map(escape_line, row.split("\t"))) for row in str(value).split("\n"))


def dump_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON in which control characters are ``\\uXXXX`` escapes, so nothing is lost."""
    written = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return _CONTROL_PATTERN.sub(lambda found: found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1], written)


def _escape(character: str) -> str:
    code = ord(character)
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
