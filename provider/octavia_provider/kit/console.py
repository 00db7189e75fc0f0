# SPDX-License-Identifier: Apache-2.0
"""Terminal output of commands. All output goes through here, so that no foreign text is printed unescaped."""

from __future__ import annotations

from typing import Any

import click

from . import terminal


class Styled(str):
    """Escaped text with colour codes, safe to print."""

    __slots__ = ()


def styled(value: object, **style: Any) -> Styled:
    """A value, escaped and coloured (``click.style``)."""
    return Styled(click.style(terminal.escape_line(value), **style))


def echo(*parts: object, err: bool = False, nl: bool = True, color: bool | None = None) -> None:
    """Print a line; parts that are not ``Styled`` are escaped."""
    output = "".join(part if isinstance(part, Styled) else terminal.escape_line(part) for part in parts)
    click.echo(output, err=err, nl=nl, color=color)


def echo_text(value: object, *, err: bool = False, nl: bool = True) -> None:
    """Print text of several lines."""
    click.echo(terminal.escape_text(value), err=err, nl=nl)


def print_error(message: object, *, color: bool | None = None) -> None:
    """Print an error: one line on standard error."""
    text = "; ".join(part.strip() for part in str(message).splitlines() if part.strip())
    click.echo(styled(f"error: {text}", fg="red"), err=True, color=color)


def confirm(question: str, *, err: bool = False) -> None:
    """Ask for confirmation; ``click.Abort`` when it is denied."""
    click.confirm(terminal.escape_text(question), abort=True, err=err)


def echo_json(value: Any, *, indent: int | None = 2) -> None:
    """Print JSON on standard output."""
    click.echo(terminal.dump_json(value, indent=indent))
