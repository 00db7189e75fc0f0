# SPDX-License-Identifier: Apache-2.0
"""PEM as tools write it (RFC 7468, RFC 1421): blocks with whatever text around them.

Taken as they are: a byte order mark, CRLF and CR, blanks around lines and blank lines, no line break at the end, all of a
block on one line, and ``\\n`` written out, as files of environment variables and JSON have it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BEGIN = re.compile(r"-----BEGIN ([A-Za-z0-9 #]+)-----")
_HEADER = re.compile(r"[A-Za-z0-9-]+:.*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
# PEM of any maker; what `openssl … -text` prints of a key; PuTTY's files; JSON web keys; PEM in base64, as Kubernetes has it.
_PRIVATE = re.compile(
    r"BEGIN[^\n]{0,40}PRIVATE[ _-]?KEY|(?:RSA |DSA |EC |ED25519 |ED448 )?Private-Key:|privateExponent:|^[ \t]*priv:\s"
    r"|PuTTY-User-Key-File|Private-Lines:",
    re.IGNORECASE | re.MULTILINE,
)
_WORDS = ("PRIVATE", "PRIV:", "PUTTY")
_WEB_KEY = re.compile(r'"d"\s*:')
_IN_BASE64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/\s]*")
"""``-----BEGIN `` in base64, and what follows it."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block: ``RSA PRIVATE KEY``, its headers (``Proc-Type: 4,ENCRYPTED``) and its body, base64 without blanks."""

    label: str
    headers: tuple[str, ...]
    body: str

    @property
    def text(self) -> str:
        """The block as RFC 7468 has it, lines of 64 characters."""
        lines = [self.body[i : i + 64] for i in range(0, len(self.body), 64)]
        headers = [*self.headers, ""] if self.headers else []
        return "\n".join([f"-----BEGIN {self.label}-----", *headers, *lines, f"-----END {self.label}-----", ""])


def holds_private_key(text: str) -> bool:
    """Whether somewhere in the text is a private key, in whatever form."""
    if _private(text) or ('"kty"' in text and _WEB_KEY.search(text)):
        return True
    return any(_private(inner) for inner in _decoded(text))


def _private(text: str) -> bool:
    upper = text.upper()  # most text has none of these words, which is seen at once
    return any(word in upper for word in _WORDS) and bool(_PRIVATE.search(text))


def in_base64(text: str) -> bool:
    """Whether PEM was put into base64 once more."""
    return _IN_BASE64.search(text) is not None


def _decoded(text: str) -> Iterator[str]:
    for run in _IN_BASE64.finditer(text):
        clean = "".join(run[0].split())
        yield base64.b64decode(clean[: len(clean) // 4 * 4]).decode("latin-1")


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a text in their order; ``ValueError`` says what is wrong with one."""
    text = _lines(text)
    found = list(_BEGIN.finditer(text))
    for place, begin in enumerate(found):
        label = begin[1].strip()
        limit = found[place + 1].start() if place + 1 < len(found) else len(text)
        end = text.find(f"-----END {label}-----", begin.end(), limit)
        if end < 0:
            raise ValueError(f"is cut off: there is a line BEGIN {label} and no END {label} after it")
        yield _block(label, text[begin.end() : end])


def _lines(text: str) -> str:
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\\r", "").replace("\\n", "\n") if "\n" not in text.strip() else text


def _block(label: str, inside: str) -> Block:
    headers: list[str] = []
    body: list[str] = []
    for line in filter(None, map(str.strip, inside.split("\n"))):
        (headers if not body and _HEADER.fullmatch(line) else body).append(line)
    joined = "".join("".join(body).split())
    if not _BASE64.fullmatch(joined) or len(joined) % 4:
        raise ValueError(f"is damaged: its {label} is not base64")
    return Block(label, tuple(headers), joined)
