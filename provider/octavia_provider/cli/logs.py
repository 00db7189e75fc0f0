# SPDX-License-Identifier: Apache-2.0
"""``octaviactl logs``: what the control plane, an amphora or a host wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from octavia_provider.model.errors import NotFound

from . import options


@click.command()
@click.argument("name", required=False)
@click.option("--lines", "-n", default=50, show_default=True, help="How many of the last lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written.")
@click.option("--list", "list_", is_flag=True, help="List the logs there are.")
@options.home
def logs(name: str | None, lines: int, follow: bool, list_: bool, home: str | None) -> None:
    """Show the control plane's log, or that of NAME: an amphora or a host (part of its id is enough)."""
    from octavia_provider.kit import paths

    where = paths.home(home)
    found = {path.stem: path for path in sorted((where / "log").glob("*.log"))}
    if list_:
        for stem in ("control-plane", *found):
            click.echo(stem)
        return
    path = paths.log_file(where) if name in (None, "control-plane") else _pick(found, str(name))
    if not path.exists():
        raise NotFound("has not been written yet.", subject=f"the log {path}")
    if follow:
        _follow(path, lines)
    else:
        click.echo("\n".join(path.read_text(errors="replace").splitlines()[-lines:]))


def _pick(found: dict[str, Path], name: str) -> Path:
    matches = [path for stem, path in found.items() if name in stem]
    if len(matches) != 1:
        what = "matches several logs" if matches else "has no log"
        raise NotFound(f"{what}.", subject=name, hint="octaviactl logs --list")
    return matches[0]


def _follow(path: Path, lines: int) -> None:
    import subprocess

    sys.stdout.flush()
    subprocess.run(["tail", "-n", str(lines), "-F", str(path)], check=False)
