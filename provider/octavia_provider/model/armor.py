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
# PEM of any maker, its lines BEGIN and END; what `openssl … -text` prints of a key; PuTTY's files; JSON web keys.
_PRIVATE = re.compile(
    r"- ?(?:BEGIN|END)[^\n]{0,40}PRIVATE(?:[\s_-]|%20){0,4}KEY|(?:RSA |DSA |EC |ED25519 |ED448 )?Private-Key:"
    r"|privateExponent:|^[ \t]*priv:\s|PuTTY-User-Key-File|Private-Lines:",
    re.IGNORECASE | re.MULTILINE,
)
_WEB_KEY = re.compile(r'"d"\s*:')
_IN_BASE64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/\s]*")
"""``-----BEGIN `` in base64, and what follows it."""
# What is put into base64: PEM, as Kubernetes has it, or DER, as it stands in PEM. A line that is nothing else begins it.
_RUN = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{32,}(?:\s+[A-Za-z0-9+/]+)*={0,2}")
# A sequence that begins with a version and a number or an algorithm is PKCS #1 or #8, with a version and a text of bytes
# SEC 1, with version 3 PKCS #12; one that begins with how it is encrypted (PKCS #5) is an encrypted PKCS #8.
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..)"
_PRIVATE_DER = re.compile(
    rb"\x30" + _LENGTH + rb"(?:\x02\x01(?:\x00\x02|\x00\x30|\x01\x30|\x01\x04|\x03\x30)"
    rb"|\x30" + _LENGTH + rb"\x06.\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05|\x0c\x01))",
    re.DOTALL,
)  # fmt: skip
_SHORTEST = 32
"""Characters of base64 that are looked into."""
_DEPTH = 3
"""How often something may have been put into base64."""


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
    return _holds(text, _DEPTH)


def _holds(text: str, depth: int) -> bool:
    if _private(text) or ('"kty"' in text and _WEB_KEY.search(text)):
        return True
    return (
        depth > 0
        and len(text) >= _SHORTEST
        and any(
            _PRIVATE_DER.match(inner) is not None or _holds(inner.decode("latin-1"), depth - 1)
            for inner in _decoded(text)
        )
    )


def _private(text: str) -> bool:
    upper = text.upper()  # most text has none of these words, which is seen at once
    return ("PRIVATE" in upper or "PRIV:" in upper or "PUTTY" in upper) and bool(_PRIVATE.search(text))


def in_base64(text: str) -> bool:
    """Whether PEM was put into base64 once more."""
    return _IN_BASE64.search(text) is not None


def _decoded(text: str) -> Iterator[bytes]:
    for run in _RUN.finditer(text):
        clean = "".join(run[0].split()).rstrip("=")
        yield base64.b64decode(clean[: len(clean) // 4 * 4])


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
