# SPDX-License-Identifier: Apache-2.0
"""Options shared by several commands, and the connection to a control plane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import NotFound, OctaviaError, PermanentError

from . import exit_codes

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

home = click.option("--home", envvar="OCTAVIA_HOME", help="The installation's directory.")
endpoint = click.option(
    "--endpoint",
    envvar="OCTAVIA_ENDPOINT",
    help="URL of a control plane, or several separated by commas; default: the embedded one.",
)
templates_dir = click.option(
    "--templates-dir",
    envvar="OCTAVIA_TEMPLATES_DIR",
    show_envvar=True,
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="A folder of templates that stand in place of those of haproxy's configuration.",
)
yes = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def exit_codes_help(*chosen: int) -> str:
    """The exit codes of a command, for the end of its help."""
    return "Exit codes: " + "; ".join(f"{number} {exit_codes.MEANINGS[number]}" for number in chosen) + "."


UNREADABLE = "octaviactl adopt"
"""What helps where the store of a home cannot be read."""


class NoAnswer(PermanentError):
    """The control plane does not answer, or cannot read its store, and nobody else knows; or it does not know what is asked for."""

    def __init__(self, error: OctaviaError) -> None:
        super().__init__(error.message, subject=error.subject, hint=error.hint)
        self.exit_code = exit_codes.NOT_FOUND if isinstance(error, NotFound) else exit_codes.NO_CONTROL_PLANE


def print_json(document: Any) -> None:
    """Print JSON on standard output."""
    console.echo_json(document)


def print_result(line: str, *, as_json: bool, **facts: Any) -> None:
    """What a command has done: a line for people, or its facts for programs."""
    if as_json:
        console.echo_json(facts)
    else:
        console.echo(line)


def running_client(home: str | None, endpoint: str | None) -> Client | None:
    """A client of a running control plane; None when none runs (reading must not start one)."""
    from octavia_provider.client import embedded
    from octavia_provider.kit import paths

    if endpoint or embedded.running(paths.home(home)):
        return embedded.connect(endpoint, home, start=False)
    return None


def start_hint(home: str | None) -> str:
    """What starts the control plane of the home."""
    from octavia_provider.kit import home_cloud, paths

    return home_cloud.start_hint(paths.home(home))


def control_plane(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a control plane."""
    return home(endpoint(command))
