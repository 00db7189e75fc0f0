# SPDX-License-Identifier: Apache-2.0
"""What the engine's commands share: options, exit codes, error handling, the choice of the stack."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Invalid, OctaviaError

FAILED, USAGE, CHANGES, INTERRUPTED = 1, 2, 3, 130
Command = Callable[..., Any]

cwd_option = click.option(
    "--cwd",
    "-C",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=".",
    help="The project's folder.",
)
stack_option = click.option("--stack", "-s", help="The stack; else the selected one, else the only one, else `dev`.")
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
secrets_option = click.option("--show-secrets", is_flag=True, help="Show secrets instead of [secret].")


def handle_errors(command: Command) -> Command:
    """Decorator: print our errors in one line on stderr and exit with the matching code."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except OctaviaError as error:
            console.print_error(error)
            sys.exit(USAGE if isinstance(error, Invalid) else FAILED)
        except BrokenPipeError:
            raise
        except OSError as error:
            console.print_error(_os_error_text(error))
            sys.exit(FAILED)

    return wrapped


def _os_error_text(error: OSError) -> str:
    """An ``OSError`` in one line, with a hint."""
    what = (error.strerror or str(error)).lower()
    where = f"{error.filename}: " if error.filename else ""
    hint = ""
    if isinstance(error, PermissionError):
        hint = " Try: run as its owner, or keep the state elsewhere with OCTAVIA_STATE"
    elif error.filename:
        hint = " Try: another folder; OCTAVIA_STATE says where the state is, OCTAVIA_HOME where the control plane is"
    return f"{where}{what}.{hint}"


def run_options(command: Command) -> Command:
    """The options of everything that runs a stack."""
    options = [
        stack_option,
        cwd_option,
        click.option("--parallel", "-p", type=click.IntRange(min=1), help="Steps at once (4 × CPUs)."),
        click.option("--config", "-c", "config", multiple=True, metavar="KEY=VALUE", help="Set for this run only."),
        json_option,
        secrets_option,
        click.option("--diff", is_flag=True, help="Show what differs in each resource."),
        click.option("--debug", is_flag=True, help="With --json: debug messages too."),
    ]
    for option in reversed(options):
        command = option(command)
    return handle_errors(command)


yes_option = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")


def require_terminal(*, as_json: bool = False) -> None:
    """Raise ``UsageError`` when no confirmation can be asked for."""
    if not sys.stdin.isatty() or as_json:
        raise click.UsageError("nobody can be asked here; say --yes")
