# SPDX-License-Identifier: Apache-2.0
"""Regular expressions that haproxy accepts: a subset of PCRE2 (10.42, without Unicode), parsed and measured.

haproxy compiles an expression when it loads its configuration, and refuses the whole file for one that is wrong. So
what is accepted here compiles there: what PCRE2 has beyond this grammar is refused, with the place and the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_DEPTH = 50
MAX_SIZE = 20_000  # of the compiled form, which PCRE2 bounds by 64 KiB; measured from above
MAX_REPEAT = 65_535
MANY = 1 << 20  # a length without bound

_REPEAT = re.compile(r"\{(\d{1,5})(?:(,)(\d{1,5})?)?\}")
_NAME = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]{0,31})>")
_FLAGS = re.compile(r"\(\?(?=[ims-])[ims]*(?:-[ims]+)?([:)])")
_HEX = re.compile(r"\\x([0-9A-Fa-f]{2})")
_POSIX = re.compile(r"\[:\^?(alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]")
_COLLATING = re.compile(r"\[([.:=])(?:[^\]\\]|\\.)*?\1\]")
_CLASSES = "dDwWsShHvV"
_CONTROLS = {"t": 9, "n": 10, "r": 13, "f": 12, "e": 27, "a": 7}
_PLACES = "bBAzZ"  # assertions that match no character
_SPECIAL = "*+?{"
_REFERENCE = re.compile(r"\\.?")


@dataclass(frozen=True, slots=True)
class _Part:
    """How long what it matches is, at least and at most, and how much it takes in the compiled form."""

    least: int = 0
    most: int = 0
    size: int = 4
    group: bool = False
    repeatable: bool = True


def regular_expression(value: str) -> str:
    """The expression as it is; ``ValueError`` with the reason where haproxy would not take it."""
    if not value.isascii():
        raise ValueError("a regular expression must be ASCII; write other bytes as \\xHH")
    _Parser(value).parse()
    return value


def bad_reference(value: str, pattern: str) -> str | None:
    r"""What is wrong with a replacement: a backslash stands before the number of a group of the pattern, or another.

    haproxy's own grammar (``exp_replace``) has more: ``\xHH`` is that byte, line breaks too, which end the header and
    begin another; a backslash at the end makes it answer 500; any other character loses its backslash.
    """
    parser = _Parser(pattern)
    parser.parse()
    for found in _REFERENCE.finditer(value):
        what, place = found[0], f"at character {found.start() + 1}"
        if what == "\\":
            return "ends with a backslash; write \\\\ for the character"
        if what[1] not in "0123456789\\":
            return f"has {what} {place}: a backslash stands before a group's number; write \\\\ for the character"
        if what[1] != "\\" and int(what[1]) > parser.groups:
            return f"has {what} {place}, and the pattern does not have so many groups, but {parser.groups}"
    return None


class _Parser:
    """Recursive descent over the pattern; ``at`` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.names: set[str] = set()
        self.groups = 0

    def parse(self) -> None:
        whole = self._alternatives()
        if self.at < len(self.text):
            raise self._error("there is a ) without its (")
        if whole.size > MAX_SIZE:
            raise ValueError("the regular expression is too large once its repetitions are counted")

    def _error(self, why: str) -> ValueError:
        return ValueError(f"not a regular expression that haproxy takes, at character {self.at + 1}: {why}")

    def _next(self, count: int = 1) -> str:
        return self.text[self.at : self.at + count]

    def _alternatives(self) -> _Part:
        parts = [self._sequence()]
        while self._next() == "|":
            self.at += 1
            parts.append(self._sequence())
        return _Part(min(p.least for p in parts), max(p.most for p in parts), sum(p.size + 4 for p in parts))

    def _sequence(self) -> _Part:
        least = most = size = 0
        while self._next() not in ("", "|", ")"):
            part = self._repeated(self._atom())
            least, most, size = least + part.least, min(MANY, most + part.most), size + part.size
        return _Part(least, most, size)

    def _repeated(self, part: _Part) -> _Part:
        sign = self._next()
        if not sign or sign not in _SPECIAL:
            return part
        if not part.repeatable:
            raise self._error(f"{sign} has nothing to repeat")
        least, most = self._bounds(sign)
        if self._next() in ("?", "+"):  # lazy, possessive
            self.at += 1
        if self._next() and self._next() in _SPECIAL:
            raise self._error("a repetition cannot be repeated; put it in (?:…)")
        copies = max(least, most if most < MANY else 1, 1)
        size = (part.size + 12) * copies if part.group else 2 * part.size + 12
        return _Part(part.least * least, min(MANY, part.most * most), size, part.group)

    def _bounds(self, sign: str) -> tuple[int, int]:
        if sign != "{":
            self.at += 1
            return {"*": (0, MANY), "+": (1, MANY), "?": (0, 1)}[sign]
        found = _REPEAT.match(self.text, self.at)
        if found is None:
            raise self._error("{ must be {n}, {n,} or {n,m}; write \\{ for the character")
        least = int(found[1])
        most = least if found[2] is None else (int(found[3]) if found[3] else MANY)
        if least > most or least > MAX_REPEAT or MAX_REPEAT < most < MANY:
            raise self._error(f"{found[0]} must go upwards, and not beyond {MAX_REPEAT}")
        self.at = found.end()
        return least, most

    def _atom(self) -> _Part:
        char = self._next()
        if char in _SPECIAL:
            raise self._error(f"{char} has nothing to repeat; write \\{char} for the character")
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        self.at += 1
        if char in "^$":
            return _Part(repeatable=False)
        return _Part(1, 1)

    def _group(self) -> _Part:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"groups are nested more than {MAX_DEPTH} deep")
        behind, ahead = self._next(4) in ("(?<=", "(?<!"), self._next(3) in ("(?=", "(?!")
        flags = _FLAGS.match(self.text, self.at)
        if flags is not None and flags[1] == ")":
            self.at, self.depth = flags.end(), self.depth - 1
            return _Part(repeatable=False)
        self._open(flags, 4 if behind else 3 if ahead or self._next(3) in ("(?:", "(?>") else 0)
        inner = self._alternatives()
        if self._next() != ")":
            raise self._error("a ( is not closed")
        self.at += 1
        self.depth -= 1
        if behind and (inner.least != inner.most or inner.most > 255):
            raise self._error("what stands in a lookbehind must have one fixed length")
        if behind or ahead:
            return _Part(size=inner.size + 16, repeatable=False)
        return _Part(inner.least, inner.most, inner.size + 16, group=True)

    def _open(self, flags: re.Match[str] | None, plain: int) -> None:
        named = _NAME.match(self.text, self.at)
        if flags is not None:
            self.at = flags.end()
        elif plain:
            self.at += plain
        elif named is not None:
            if named[1] in self.names:
                raise self._error(f"two groups have the name {named[1]}")
            self.names.add(named[1])
            self.groups += 1
            self.at = named.end()
        elif self._next(2) in ("(?", "(*"):
            raise self._error(f"{self._next(3)} is not supported")
        else:
            self.groups += 1
            self.at += 1

    def _escape(self) -> _Part:
        char = self.text[self.at + 1 : self.at + 2]
        if char in "123456789" and char:
            raise self._error(f"\\{char} is not supported: haproxy keeps no groups while it compares")
        if char and char in _PLACES:
            self.at += 2
            return _Part(repeatable=False)
        if char and char in _CLASSES + "N":
            self.at += 2
            return _Part(1, 1)
        if char == "R":
            self.at += 2
            return _Part(1, 2)
        self._character()
        return _Part(1, 1)

    def _character(self) -> int:
        """An escape or a plain character that stands for one character: its code."""
        if self._next() != "\\":
            self.at += 1
            return ord(self.text[self.at - 1])
        char = self.text[self.at + 1 : self.at + 2]
        found = _HEX.match(self.text, self.at)
        if found:
            self.at = found.end()
            return int(found[1], 16)
        if not char or (char.isalnum() and char not in _CONTROLS):
            raise self._error(f"\\{char} is not supported" if char else "it ends with a backslash")
        self.at += 2
        return _CONTROLS.get(char, ord(char))

    def _class(self) -> _Part:
        if _COLLATING.match(self.text, self.at):
            raise self._error(f"PCRE takes {self._next(2)} for the start of a POSIX class; escape what follows the [")
        self.at += 2 if self._next(2) == "[^" else 1
        if self._next() == "]":
            raise self._error("[] is empty; write \\] for the character")
        while self._next() != "]":
            if not self._next():
                raise self._error("a [ is not closed")
            self._class_item()
        self.at += 1
        return _Part(1, 1, size=40)

    def _class_item(self) -> None:
        posix = _POSIX.match(self.text, self.at)
        many = posix is not None or (self._next() == "\\" and self._next(2)[1:] in tuple(_CLASSES))
        if posix:
            self.at = posix.end()
        elif many:
            self.at += 2
        elif self._next() == "[":
            raise self._error("[ within [ ] must be written \\[")
        low = None if many else self._character()
        if self._next() != "-" or self._next(2) in ("-]", "-"):
            return
        self.at += 1
        starts = self._next() == "[" or (self._next() == "\\" and self._next(2)[1:] in tuple(_CLASSES))
        if low is None or starts:
            raise self._error("- stands between two characters, or last in [ ]")
        if self._character() < low:
            raise self._error("a range must go upwards")
        if self._next() == "-" and self._next(2) != "-]":
            raise self._error("- stands between two characters, or last in [ ]")
