# SPDX-License-Identifier: Apache-2.0
"""haproxy's quoting (2.6, section 2.2) and the filters of the templates."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

_PLAIN = re.compile(r"[A-Za-z0-9._:/@+,=*~?&!()-]+")
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "$": r"\$"})
_REMEMBERED = 1 << 14


class Raw(str):
    """Text that is put in as it is."""

    __slots__ = ()


@functools.lru_cache(maxsize=_REMEMBERED, typed=True)
def quote(value: object) -> str:
    """One word of a configuration, whatever is in it (haproxy 2.6, section 2.2); the model refuses control characters."""
    if isinstance(value, Raw):
        return value
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise TypeError(f"{value!r} is neither text nor a whole number")
    text = str(value)
    return text if _PLAIN.fullmatch(text) else f'"{text.translate(_ESCAPED)}"'


@functools.lru_cache(maxsize=_REMEMBERED)
def in_quotes(value: str) -> Raw:
    """Part of a word around which the template has double quotes."""
    return Raw(value.translate(_ESCAPED))


def bracketed(address: str) -> Raw:
    """In brackets, or haproxy takes the last part of an IPv6 address for a port."""
    return Raw(f"[{address}]" if ":" in address else address)


def words(values: Iterable[object]) -> Raw:
    """Each a word."""
    return Raw(" ".join(map(quote, values)))


def log_format(value: str) -> str:
    """A word that haproxy reads as a log format: what begins with % would be evaluated."""
    return value.replace("%", "%%")


def literal(value: str) -> str:
    """A text in a regular expression (PCRE) that stands for itself."""
    return "\\Q" + value.replace(r"\E", r"\E\\E\Q") + "\\E"


def one_line(text: str) -> Raw:
    """One line of a section, which the template has over several."""
    return Raw(f"    {joined(text)}\n")


def joined(text: str) -> str:
    """The words of all lines."""
    return " ".join([word for line in text.split("\n") if (word := line.strip())])


FILTERS: dict[str, Callable[..., str]] = {
    "raw": Raw, "in_quotes": in_quotes, "words": words, "log_format": log_format, "literal": literal, "one_line": one_line,
    "bracketed": bracketed,
}  # fmt: skip
