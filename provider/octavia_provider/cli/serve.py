# SPDX-License-Identifier: Apache-2.0
"""``octaviactl serve``: the control plane, in the foreground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.model.errors import PermanentError, Refused

from . import options

if TYPE_CHECKING:
    from octavia_provider.settings import Settings
    from octavia_provider.store.offline import Known


@click.command()
@options.home
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of settings (TOML: docs/reference/settings.md). Options and the environment go before it.",
)
@click.option("--stay", is_flag=True, help="Do not end when nothing is left to serve (for services).")
@click.option(
    "--idle-seconds",
    type=float,
    help="End after so long without any object. Default: OCTAVIA_IDLE_SECONDS, else 60.",
)
@click.option(
    "--check", is_flag=True, help="Make nothing: say whether this machine has what is needed, by the exit code."
)
@options.templates_dir
@click.option(
    "--database",
    metavar="URL",
    help="A PostgreSQL database that keeps the state (postgresql://user@host/name). Default: OCTAVIA_DATABASE, else the home.",
)
@click.option(
    "--name",
    help="Serve beside other control planes of this home, on one --database. Default: OCTAVIA_NAME, else the one without a name.",
)
@click.option(
    "--lease-seconds",
    type=float,
    help="Other control planes take over after so long. Default: OCTAVIA_LEASE_SECONDS, else 15.",
)
@click.option(
    "--cloud",
    type=click.Choice(["embedded", "openstack"]),
    help="Where amphorae run. Default: OCTAVIA_CLOUD, else this machine's embedded cloud.",
)
@click.option(
    "--os-cloud",
    metavar="NAME",
    help="The OpenStack cloud, by its name in clouds.yaml. Default: OCTAVIA_OS_CLOUD, else OS_CLOUD or OS_AUTH_URL and its like.",
)
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    help="Serve Keystone's users there too (docs/how-to/users.md). Default: OCTAVIA_LISTEN, else the Unix socket alone.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    help="What is logged. Default: OCTAVIA_LOG_LEVEL, else info.",
)
def serve(
    *,
    home: str | None,
    config_file: Path | None,
    stay: bool,
    idle_seconds: float | None,
    check: bool,
    templates_dir: Path | None,
    database: str | None,
    name: str | None,
    lease_seconds: float | None,
    cloud: str | None,
    os_cloud: str | None,
    listen: str | None,
    log_level: str | None,
) -> None:
    """Run the control plane of this machine's embedded cloud, or of OpenStack, until it is told to end; traffic goes on without it."""
    from octavia_provider.kit import paths

    if config_file is not None:
        from . import settings_file

        stay = settings_file.take(config_file) or stay
    given = {
        "home": paths.home(home),
        "idle_seconds": idle_seconds,
        "templates_dir": templates_dir,
        "database": database,
        "name": name,
        "lease_seconds": lease_seconds,
        "cloud": cloud,
        "os_cloud": os_cloud,
        "listen": listen,
        "log_level": log_level,
    }
    settings = _settings({n: v for n, v in given.items() if v is not None} | ({"idle_seconds": None} if stay else {}))
    objects = _objects(settings.home)
    _require_cloud(settings.home, settings.cloud, objects)
    if settings.cloud == "embedded" and objects == []:
        _preflight()
    if check:
        return
    from octavia_provider import app

    app.serve(settings)


def _settings(given: dict[str, Any]) -> Settings:
    from octavia_provider.settings import Settings

    try:
        return Settings(**given)
    except ValueError as error:  # pydantic's: of an option, or of a variable of the environment
        faults = [
            (_spelling(str(one["loc"][0]), given), f"{one['msg']}, and is {one['input']!r}")
            for one in error.errors(include_url=False)  # type: ignore[attr-defined]
        ]
        (first, what), *others = faults
        text = "; ".join((what, *(f"{name}: {why}" for name, why in others)))
        raise click.BadParameter(text, param_hint=first) from None


def _spelling(name: str, given: Mapping[str, Any]) -> str:
    """A setting as the user gave it: by an option or by the environment, which a file fills in."""
    return f"--{name.replace('_', '-')}" if name in given else f"OCTAVIA_{name.upper()}"


def _objects(where: Path) -> Sequence[Known] | None:
    """What the store of the home has; None where it cannot be read, which opening it reports."""
    from octavia_provider.kit import paths
    from octavia_provider.store import offline

    try:
        return offline.objects(paths.database(where))
    except OSError:
        return None


def _require_cloud(where: Path, cloud: str, objects: Sequence[Known] | None) -> None:
    """Fail before anything is created where the home belongs to another cloud: all of it would be lost there, or made twice."""
    from octavia_provider.kit import home_cloud

    if (problem := home_cloud.problem(where, cloud, {one.kind for one in objects or ()})) is not None:
        raise Refused(problem.message, subject=f"the home {where}", hint=problem.hint)


def _preflight() -> None:
    """Fail before anything is created. Existing load balancers are served whatever the machine lacks."""
    from octavia_provider.clouds.netns import doctor

    missing = doctor.lacking()
    if missing:
        raise PermanentError(
            f"cannot run load balancers: {'; '.join(f'{one.name}: {one.detail}' for one in missing)}.",
            subject="this machine", hint="; ".join(dict.fromkeys(one.fix for one in missing)),
        )  # fmt: skip
