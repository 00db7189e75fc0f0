# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, and how they reach a control plane."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

home = click.option("--home", envvar="OCTAVIA_HOME", help="The installation's directory.")
endpoint = click.option(
    "--endpoint", envvar="OCTAVIA_ENDPOINT", help="URL of a control plane; default: the embedded one."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def print_json(document: Any) -> None:
    """JSON on standard output."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def running_client(home: str | None, endpoint: str | None) -> Client | None:
    """A client of a control plane that runs; None where none does (looking must not start one)."""
    from octavia_provider.client import embedded
    from octavia_provider.kit import paths

    if endpoint or embedded.running(paths.home(home)):
        return embedded.connect(endpoint, home)
    return None


def control_plane(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a control plane."""
    return home(endpoint(command))
