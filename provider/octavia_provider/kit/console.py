# SPDX-License-Identifier: Apache-2.0
"""What a command writes on the terminal: the one place where it does, so that no text of others gets there unescaped."""

from __future__ import annotations

from typing import Any

import click

from . import terminal


class Styled(str):
    """Text that is safe already, with the colours that we gave it."""

    __slots__ = ()


def styled(value: object, **style: Any) -> Styled:
    """A value in colour (``click.style``), escaped, to be a part of what is said."""
    return Styled(click.style(terminal.escape_line(value), **style))


def echo(*parts: object, err: bool = False, nl: bool = True, color: bool | None = None) -> None:
    """Write a line, its parts one after the other; those that are not ``Styled`` are escaped."""
    output = "".join(part if isinstance(part, Styled) else terminal.escape_line(part) for part in parts)
    click.echo(output, err=err, nl=nl, color=color)


def echo_text(value: object, *, err: bool = False, nl: bool = True) -> None:
    """Write text that may have several lines."""
    click.echo(terminal.escape_text(value), err=err, nl=nl)


def print_error(message: object, *, color: bool | None = None) -> None:
    """An error: one line on standard error."""
    text = "; ".join(part.strip() for part in str(message).splitlines() if part.strip())
    click.echo(styled(f"error: {text}", fg="red"), err=True, color=color)


def confirm(question: str, *, err: bool = False) -> None:
    """Go on where the answer is yes; else leave (``click.Abort``)."""
    click.confirm(terminal.escape_text(question), abort=True, err=err)


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """JSON on standard output."""
    click.echo(terminal.dump_json(value, indent=indent))
