# SPDX-License-Identifier: Apache-2.0
"""The templates of ``haproxy.cfg``, compiled once, and what an operator lays over them.

The environment quotes every value that a template puts in (``finalize``), so that no template can forget it. jinja2 is imported
when the first configuration is rendered: not by a preview, nor by a command that only asks.

A file of an operator's folder stands in place of ours of the same name; ours is there as ``octavia/NAME``, to be extended.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from octavia_provider.model.errors import PermanentError

from .memo import Memo
from .quoting import FILTERS, quote

Macro = Callable[..., str]
OURS = "octavia"
HINT = "docs/how-to/templates.md"
_OBJECT = re.compile(r"'octavia_provider\.(?:\w+\.)*(\w+) object'")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class TemplateFault(PermanentError):
    """A template cannot be read, or not be carried out. ``str()`` names file and line."""


class Templates:
    """The macros of ``haproxy/*.j2``. ``folder``: the operator's; None: ours alone."""

    def __init__(self, folder: Path | None = None) -> None:
        from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader, StrictUndefined

        self.folder = folder
        self._ours = PackageLoader("octavia_provider.render")
        theirs = [FileSystemLoader(folder), PrefixLoader({OURS: self._ours})] if folder else []
        self._environment = Environment(
            loader=ChoiceLoader([*theirs, self._ours]), finalize=quote, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,  # noqa: S701 - haproxy's quoting, not HTML's
        )  # fmt: skip
        self._environment.filters.update(FILTERS)
        self._macros: dict[tuple[str, str], Macro] = {}
        self._memos: dict[tuple[str, str], Memo] = {}

    def names(self) -> list[str]:
        """Of our templates."""
        return [name for name in self._ours.list_templates() if name.startswith("haproxy/")]

    def file(self, template: str) -> str:
        """Where ``haproxy/TEMPLATE.j2`` is, for people."""
        name = f"haproxy/{template}.j2"
        theirs = self.folder / name if self.folder else None
        return str(theirs) if theirs and theirs.exists() else name

    def macro(self, template: str, name: str) -> Macro:
        """A macro of ``haproxy/TEMPLATE.j2``."""
        found = self._macros.get((template, name))
        if found is None:
            found = self._macros[template, name] = self._compiled(template, name)
        return found

    def known(self, template: str, macro: str) -> Memo:
        """What a macro has made of objects, where that depends on nothing else."""
        return self._memos.setdefault((template, macro), Memo())

    def call(self, owner: str, template: str, macro: str, *things: object) -> str:
        """What a macro makes of an object; ``TemplateFault`` names the object too."""
        try:
            return self.macro(template, macro)(*things)
        except Exception as error:
            raise self.fault(error, template, owner) from error

    def _compiled(self, template: str, name: str) -> Macro:
        try:
            module: Any = self._environment.get_template(f"haproxy/{template}.j2").module
        except Exception as error:
            raise self.fault(error, template) from error
        if (found := getattr(module, name, None)) is None:
            raise TemplateFault(
                f"has no macro {name}, as octavia/haproxy/{template}.j2 has.", subject=f"template {self.file(template)}",
                hint=f'{{% extends "octavia/haproxy/{template}.j2" %}}, and blocks: {HINT}',
            )  # fmt: skip
        macro: Macro = found
        return macro

    def fault(self, error: Exception, template: str, owner: str = "") -> TemplateFault:
        """What went wrong in a template, with its file and line."""
        from jinja2 import TemplateNotFound, TemplateSyntaxError, UndefinedError

        if isinstance(error, TemplateFault):
            return error
        place, what = _place(error), str(error) or type(error).__name__
        if isinstance(error, TemplateSyntaxError):
            place, what = f"{error.filename or error.name}, line {error.lineno}", error.message or what
        elif isinstance(error, TemplateNotFound):
            what = f"there is no template {what}"
        elif isinstance(error, RecursionError):
            what = f"it extends or includes itself, without end; ours is {OURS}/haproxy/{template}.j2"
        elif isinstance(error, AttributeError | UndefinedError):
            what = _OBJECT.sub(lambda match: _WORD.sub("_", match[1]).lower(), what)
        where = f" (for {owner})" if owner else ""
        return TemplateFault(
            f"{what.rstrip('.')}{where}.", subject=f"template {place or self.file(template)}", hint=HINT
        )


def _place(error: BaseException) -> str:
    """The innermost line of a template in a traceback."""
    found, trace = "", error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            found = f"{template.filename or template.name}, line {template.get_corresponding_lineno(trace.tb_lineno)}"
        trace = trace.tb_next
    return found


@functools.cache
def shipped() -> Templates:
    """Those of this package."""
    return Templates()
