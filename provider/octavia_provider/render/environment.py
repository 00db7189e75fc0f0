# SPDX-License-Identifier: Apache-2.0
"""The Jinja environment of ``haproxy.cfg``: it quotes every value that a template puts in, so that no template can forget it.

jinja2 is imported when the first configuration is rendered: not by a preview, nor by a command that only asks.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

Macro = Callable[..., str]
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


class Templates:
    """The macros of ``templates/haproxy``, compiled once."""

    def __init__(self) -> None:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        self._environment = Environment(
            loader=PackageLoader("octavia_provider.render"), finalize=quote, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,  # noqa: S701 - haproxy's quoting, not HTML's
        )  # fmt: skip
        self._environment.filters.update(
            raw=Raw, in_quotes=in_quotes, words=words, log_format=log_format, literal=literal, one_line=one_line,
            bracketed=bracketed,
        )  # fmt: skip
        self._macros: dict[tuple[str, str], Macro] = {}

    def macro(self, template: str, name: str) -> Macro:
        """A macro of ``haproxy/TEMPLATE.j2``."""
        found = self._macros.get((template, name))
        if found is None:
            module: Any = self._environment.get_template(f"haproxy/{template}.j2").module
            found = self._macros[template, name] = getattr(module, name)
        return found


@functools.cache
def shipped() -> Templates:
    """Those of this package."""
    return Templates()


class Section:
    """The body of a section: its text, and for each line the object that it came from and the template that wrote it."""

    __slots__ = ("owners", "sources", "templates", "texts")

    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        self.texts: list[str] = []
        self.owners: list[str] = []
        self.sources: list[str] = []

    def write(self, owner: str, template: str, macro: str, *things: object) -> None:
        """Add what a macro makes of an object."""
        self.write_each(template, macro, [(owner, things)])

    def write_each(self, template: str, macro: str, objects: Iterable[tuple[str, tuple[object, ...]]]) -> None:
        """The same for many: each an owner, and what the macro is told."""
        call = self.templates.macro(template, macro)
        for owner, things in objects:
            text = call(*things)
            lines = text.count("\n")
            self.texts.append(text)
            self.owners += [owner] * lines
            self.sources += [template] * lines

    @property
    def text(self) -> str:
        """All lines, newline-terminated."""
        return "".join(self.texts)
