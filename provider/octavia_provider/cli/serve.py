# SPDX-License-Identifier: Apache-2.0
"""``octaviactl serve``: the control plane, in the foreground."""

from __future__ import annotations

import click

from . import options


@click.command()
@options.home
@click.option("--stay", is_flag=True, help="Do not end when nothing is left to serve (for services).")
@click.option(
    "--idle-seconds",
    default=60.0,
    show_default=True,
    envvar="OCTAVIA_IDLE_SECONDS",
    help="End after so long without any object.",
)
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning"]), show_default=True)
def serve(home: str | None, stay: bool, idle_seconds: float, log_level: str) -> None:
    """Run the control plane of this machine's embedded cloud until it is told to end; traffic goes on without it."""
    from octavia_provider import app
    from octavia_provider.kit import paths

    app.serve(app.Settings(home=paths.home(home), idle_seconds=None if stay else idle_seconds, log_level=log_level))
