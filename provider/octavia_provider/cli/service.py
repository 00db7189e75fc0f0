# SPDX-License-Identifier: Apache-2.0
"""``octaviactl service``: the control plane as a systemd service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from octavia_provider.kit import console
from octavia_provider.kit.paths import NAME
from octavia_provider.model.errors import Forbidden, PermanentError, Refused

from . import options

UNITS = Path("/etc/systemd/system")
named = click.option(
    "--name", help="Of one of several control planes of this home (`serve --name`); its unit is octavia-NAME."
)


@click.group()
def service() -> None:
    """Start the control plane at boot, so that a machine that reboots has its load balancers again."""


@service.command()
@options.home
@options.templates_dir
@click.option(
    "--database", envvar="OCTAVIA_DATABASE", metavar="URL", help="As `serve --database`; it names no password."
)
@named
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="As `serve --config`: a file of settings.",
)
@click.option("--print", "print_", is_flag=True, help="Print the unit file, change nothing.")
@options.as_json
def install(
    *,
    home: str | None,
    templates_dir: Path | None,
    database: str | None,
    name: str | None,
    config_file: Path | None,
    print_: bool,
    as_json: bool,
) -> None:
    """Install and start a systemd service."""
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.kit import paths
    from octavia_provider.render import systemd

    from . import settings_file

    _require_no_password(database)
    if home is None and config_file is not None:
        # the unit names a home in any case, and what it names goes before the file
        home = settings_file.read(config_file).get("home")
    _require_cloud(paths.home(home), config_file)
    unit = _unit(name)
    text = systemd.unit(
        python=sys.executable, home=paths.home(home), templates_dir=templates_dir, database=database, name=name,
        config=config_file,
    )  # fmt: skip
    if print_:
        if as_json:
            options.print_json({"unit": str(unit), "text": text})
        else:
            console.echo_text(text, nl=False)
        return
    _require_systemd()
    unit.write_text(text)
    _systemctl("daemon-reload")
    embedded.stop_instance(
        paths.instance(paths.home(home), name), Deadline(60.0)
    )  # one that was started on demand has the lock
    _systemctl("enable", "--now", unit.name)
    line = f"installed {unit}; it starts at boot and runs now"
    options.print_result(line, as_json=as_json, unit=str(unit), installed=True)


@service.command()
@named
@options.as_json
def uninstall(*, name: str | None, as_json: bool) -> None:
    """Stop the service and remove it; the load balancers go on."""
    _require_systemd()
    unit = _unit(name)
    if not unit.exists():
        options.print_result("not installed", as_json=as_json, unit=str(unit), removed=False)
        return
    _systemctl("disable", "--now", unit.name)
    unit.unlink()
    _systemctl("daemon-reload")
    options.print_result(f"removed {unit}", as_json=as_json, unit=str(unit), removed=True)


def _unit(name: str | None) -> Path:
    if name is not None and not NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} is no name of a control plane: small letters, digits and hyphens", param_hint="--name"
        )
    return UNITS / (f"octavia-{name}.service" if name else "octavia.service")


def _require_cloud(home: Path, config_file: Path | None) -> None:
    """The service would be refused at each start: a unit has no environment, so the file of settings names its cloud."""
    from octavia_provider.kit import home_cloud

    from . import settings_file

    cloud = (settings_file.read(config_file).get("cloud") if config_file else None) or home_cloud.EMBEDDED
    if (problem := home_cloud.problem(home, cloud)) is not None:
        hint = '--config FILE, in which stands cloud = "openstack": docs/reference/settings.md'
        hint = hint if cloud == home_cloud.EMBEDDED else problem.hint
        raise Refused(f"{problem.message} at each boot", subject=f"the home {home}", hint=hint)


def _require_no_password(database: str | None) -> None:
    """A unit file is read by every user of the machine."""
    if database is not None and urlsplit(database).password:
        raise Refused(
            "has a password, which a unit file would show to every user", subject="--database",
            hint="put it in ~/.pgpass (or PGPASSFILE), or use a certificate: docs/how-to/postgresql.md",
        )  # fmt: skip


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
