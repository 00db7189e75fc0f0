# SPDX-License-Identifier: Apache-2.0
"""``octaviactl service``: the control plane as a systemd service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Forbidden, PermanentError, Refused

from . import options

UNIT = Path("/etc/systemd/system/octavia.service")


@click.group()
def service() -> None:
    """Start the control plane at boot, so that a machine that reboots has its load balancers again."""


@service.command()
@options.home
@options.templates_dir
@click.option("--print", "print_", is_flag=True, help="Print the unit file, change nothing.")
@options.as_json
def install(*, home: str | None, templates_dir: Path | None, print_: bool, as_json: bool) -> None:
    """Install and start a systemd service."""
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.kit import paths
    from octavia_provider.render import systemd

    text = systemd.unit(python=sys.executable, home=paths.home(home), templates_dir=templates_dir)
    if print_:
        if as_json:
            options.print_json({"unit": str(UNIT), "text": text})
        else:
            console.echo_text(text, nl=False)
        return
    _require_systemd()
    UNIT.write_text(text)
    _systemctl("daemon-reload")
    embedded.stop(paths.home(home), Deadline(60.0))  # one that was started on demand holds the home's lock
    _systemctl("enable", "--now", UNIT.name)
    line = f"installed {UNIT}; it starts at boot and runs now"
    options.print_result(line, as_json=as_json, unit=str(UNIT), installed=True)


@service.command()
@options.as_json
def uninstall(*, as_json: bool) -> None:
    """Stop the service and remove it; the load balancers go on."""
    _require_systemd()
    if not UNIT.exists():
        options.print_result("not installed", as_json=as_json, unit=str(UNIT), removed=False)
        return
    _systemctl("disable", "--now", UNIT.name)
    UNIT.unlink()
    _systemctl("daemon-reload")
    options.print_result(f"removed {UNIT}", as_json=as_json, unit=str(UNIT), removed=True)


def _require_systemd() -> None:
    if os.geteuid() != 0:
        raise Forbidden(
            "only root can install a service.", subject="octaviactl service", hint="sudo octaviactl service …"
        )
    if not Path("/run/systemd/system").is_dir():
        raise PermanentError(
            "this machine was not started by systemd.", subject="octaviactl service",
            hint="run `octaviactl serve --stay` from what starts services here",
        )  # fmt: skip


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(
            done.stderr.strip() or "failed", subject=f"systemctl {' '.join(words)}", hint="journalctl -u octavia"
        )
