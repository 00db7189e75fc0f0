# SPDX-License-Identifier: Apache-2.0
"""The body of a section."""

from __future__ import annotations

from collections.abc import Iterable

from .environment import Templates


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
        call, check, owner = self.templates.macro(template, macro), self.templates.folder is not None, ""
        try:
            for owner, things in objects:
                text = call(*things)
                if check:
                    text = _checked(text)
                lines = text.count("\n")
                self.texts.append(text)
                self.owners += [owner] * lines
                self.sources += [template] * lines
        except Exception as error:
            raise self.templates.fault(error, template, owner) from error

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
