# SPDX-License-Identifier: Apache-2.0
"""``octaviactl serve``: the control plane, in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from octavia_provider.model.errors import PermanentError

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
@click.option(
    "--check", is_flag=True, help="Make nothing: say whether this machine has what is needed, by the exit code."
)
@options.templates_dir
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning"]), show_default=True)
def serve(
    *, home: str | None, stay: bool, idle_seconds: float, check: bool, templates_dir: Path | None, log_level: str
) -> None:
    """Run the control plane of this machine's embedded cloud until it is told to end; traffic goes on without it."""
    from octavia_provider.kit import paths

    _preflight(paths.home(home))
    if check:
        return
    from octavia_provider import app

    settings = app.Settings(
        home=paths.home(home),
        idle_seconds=None if stay else idle_seconds,
        log_level=log_level,
        templates_dir=templates_dir,
    )
    app.serve(settings)


def _preflight(where: Path) -> None:
    """Fail before anything is created. Existing load balancers are served whatever the machine lacks."""
    from octavia_provider.clouds.netns import doctor
    from octavia_provider.kit import paths
    from octavia_provider.store import offline

    try:
        if offline.objects(paths.database(where)):
            return
    except OSError:
        return  # opening the store reports the error
    missing = doctor.lacking()
    if missing:
        raise PermanentError(
            f"cannot run load balancers: {'; '.join(f'{one.name}: {one.detail}' for one in missing)}.",
            subject="this machine", hint="; ".join(dict.fromkeys(one.fix for one in missing)),
        )  # fmt: skip
