# SPDX-License-Identifier: Apache-2.0
"""A reader of ``haproxy.cfg`` of our own (haproxy 2.6, section 2.2), which knows nothing of how it was written.

What a configuration of ours never needs (comments, environment variables, macros, words that go on over lines) is an
error: it would be there because somebody's string got out of its word. Some variables are the agent's: where files and
sockets are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

FILES = "\0files"
"""What is read for ``${OCTAVIA_FILES}``: no word that somebody wrote has a control character."""
SOCKETS = {"OCTAVIA_EXPORTER": "\0exporter", "OCTAVIA_METRICS": "\0metrics"}
"""What is read for the sockets of metrics, which are the agent's too."""
SECTIONS = frozenset({"global", "defaults", "peers", "frontend", "backend"})
_TOKEN = re.compile(
    r"""(?P<space>\ +)|(?P<files>"\$\{OCTAVIA_FILES\}/[0-9a-z-]+\.list")|(?P<socket>"unix@\$\{(?:OCTAVIA_EXPORTER|OCTAVIA_METRICS)\}")|(?P<strong>'[^'\x00-\x1f\x7f]*')|(?P<weak>"(?:[^"\\\x00-\x1f\x7f]|\\.)*")|(?P<escape>\\.)|"""
    r"""(?P<plain>[^\ '"\\\#\x00-\x1f\x7f]+)"""
)
_WEAK = re.compile(r"\\.|\$|[^\\$]+")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Unmeant(AssertionError):
    """Something that the model did not mean."""


@dataclass(slots=True)
class Section:
    """``kind`` and ``name`` of its first line, and the words of all others."""

    kind: str
    name: str
    lines: list[tuple[str, ...]] = field(default_factory=list)


def sections(text: str) -> list[Section]:
    """The sections of a file."""
    found: list[Section] = []
    for line in text.split("\n"):
        read = tuple(words(line))
        if not read:
            continue
        if not line[0].isspace():
            if read[0] not in SECTIONS or len(read) > 2:
                raise Unmeant(f"this begins no section: {line!r}")
            found.append(Section(read[0], read[1] if len(read) > 1 else ""))
        elif read[0] in SECTIONS or not found:
            raise Unmeant(f"a section within a section: {line!r}")
        else:
            found[-1].lines.append(read)
    return found


def words(line: str) -> Iterator[str]:
    """The words of a line, without their quotes."""
    at, word = 0, None
    while at < len(line):
        token = _TOKEN.match(line, at)
        if token is None:
            raise Unmeant(f"a comment, a control character, or a quote or backslash without end: {line!r}")
        at = token.end()
        if token.lastgroup != "space":
            word = (word or "") + _plain(token)
        elif word is not None:
            yield word
            word = None
    if word is not None:
        yield word


def _plain(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "files":
            return token[0][1:-1].replace("${OCTAVIA_FILES}", FILES)
        case "socket":
            name = token[0][8:-2]
            return f"unix@{SOCKETS[name]}"
        case "strong":
            return token[0][1:-1]
        case "weak":
            return "".join(_weak(part) for part in _WEAK.finditer(token[0][1:-1]))
        case "escape":
            return _escaped(token[0])
        case _:
            return token[0]


def _weak(part: re.Match[str]) -> str:
    if part[0] == "$":
        raise Unmeant(f"an environment variable: {part.string!r}")
    return _escaped(part[0]) if part[0].startswith("\\") else part[0]


def _escaped(pair: str) -> str:
    if pair[1] == "x":
        raise Unmeant(f"a character by its number: {pair!r}")
    return _ESCAPES.get(pair[1], pair[1])
