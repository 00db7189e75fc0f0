# SPDX-License-Identifier: Apache-2.0
"""The body of a section."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from octavia_provider.model.common import Resource

from .environment import Templates

Frozen = TypeVar("Frozen", bound=Resource)


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
        self._add(owner, template, self._made(owner, template, macro, *things))

    def write_each(
        self, template: str, macro: str, objects: Iterable[Frozen], derived: Callable[[Frozen], object]
    ) -> None:
        """The same for objects whose lines depend on themselves alone; they are made once. ``derived``: what the macro is told beside."""
        known = self.templates.known(template, macro)
        for one in objects:
            text = known.get(one)
            if text is None:
                text = self._made(one.id, template, macro, one, derived(one))
                known.put(one, text)
            self._add(one.id, template, text)

    def _made(self, owner: str, template: str, macro: str, *things: object) -> str:
        text = self.templates.call(owner, template, macro, *things)
        if self.templates.folder is None:
            return text
        try:
            return _checked(text)
        except ValueError as error:
            raise self.templates.fault(error, template, owner) from error

    def _add(self, owner: str, template: str, text: str) -> None:
        lines = text.count("\n")
        self.texts.append(text)
        self.owners += [owner] * lines
        self.sources += [template] * lines

    @property
    def text(self) -> str:
        """All lines, newline-terminated."""
        return "".join(self.texts)


def _checked(text: str) -> str:
    """Lines of an operator's template: a section ends where a line is not indented, and then its lines have no owner."""
    for line in text.split("\n"):
        if line and not line[0].isspace():
            raise ValueError(f"a line within a section is indented, and this one is not: {line}")
    return text if not text or text.endswith("\n") else f"{text}\n"
