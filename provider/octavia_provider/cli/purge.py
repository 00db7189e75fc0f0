# SPDX-License-Identifier: Apache-2.0
"""``octaviactl purge``: remove a control plane, its data, and the embedded cloud or what it has made in OpenStack."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import PermanentError

from . import cloud_choice, options

OWN_FILES = (
    "database.url", "octavia.db", "octavia.db-shm", "octavia.db-wal", "octavia.db.copy", "octavia.db.copy.new", "octavia.key",
    "octavia.key.new", "control-plane.log", "stderr.log", "api.sock",
    "serve.lock", "start.lock", "cloud", "log", "instances", "openstack.json",
)  # fmt: skip

OF_FAILED_START = ("control-plane.log", "stderr.log", "start.lock", "serve.lock", "api.sock", "database.url")
"""What a control plane that never served may leave; beside them, ``cloud`` and ``log`` with nothing in them."""

RENAMED_PREFIXES = (
    "control-plane.log.",
    "octavia.db.lost-",
    "octavia.db-wal.lost-",
    "octavia.db-shm.lost-",
    "octavia.key.lost-",
)

BESIDE = ", and the embedded cloud that is in it too"


@click.command()
@options.home
@cloud_choice.options
@click.option(
    "--keep-cloud",
    is_flag=True,
    help="Leave what is in OpenStack there: octaviactl leftovers shows it, if not its load balancers.",
)
@options.yes
@options.as_json
def purge(
    *,
    home: str | None,
    cloud: str | None,
    os_cloud: str | None,
    config_file: Path | None,
    keep_cloud: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take the embedded cloud down and remove its database, keys and logs. Stacks that it serves lose what they made.

    On OpenStack all that has the tag of the control plane is deleted in the project: servers, ports, security groups, server groups.
    """
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.kit import logfile, paths

    where = paths.home(home)
    if where.exists() and not where.is_dir():
        raise PermanentError("is not a directory.", subject=str(where), hint="name the home that is meant: --home")
    if not where.exists() or not any(where.iterdir()):
        options.print_result(f"{where}: nothing there", as_json=as_json, home=str(where), removed=False, left=[])
        return
    if not _is_installation(where, paths.key_file(where)) and not _is_failed_start(where):
        raise PermanentError(
            "has no key of an installation of this program; nothing was removed.", subject=str(where),
            hint="name the home that is meant: --home, or OCTAVIA_HOME",
        )  # fmt: skip
    embedded.require_private(where)
    is_openstack, name = cloud_choice.openstack(where, cloud=cloud, os_cloud=os_cloud, config_file=config_file)
    found = _in_openstack(where, name) if is_openstack and not keep_cloud else []
    beside = is_openstack and (where / "cloud").is_dir()  # an embedded control plane served this home too
    if not yes:
        console.confirm(
            f"Remove the installation in {where}, {_included(found, is_openstack)}{BESIDE * beside}?", err=as_json
        )
    logfile.configure(None, level="warning")  # the cloud is deleted in this process; its log lines are not output
    embedded.stop(where, Deadline(60.0))
    if is_openstack and not keep_cloud:
        found = _delete_in_openstack(where, name)
    if beside or not is_openstack:
        _take_down_embedded(where)
    for path in sorted(where.iterdir()):
        if path.name in OWN_FILES or path.name.startswith(RENAMED_PREFIXES):
            _remove(path)
    foreign = sorted(path.name for path in where.iterdir())
    line = f"removed the installation in {where}; what is not ours was left: {', '.join(foreign)}"
    if not foreign:
        where.rmdir()
        line = f"removed {where}"
    line = _told(found) + "ended the embedded cloud; " * beside + line
    facts = {"in_cloud": len(found), "embedded_cloud_ended": beside} if is_openstack else {}
    options.print_result(line, as_json=as_json, home=str(where), removed=True, left=foreign, **facts)


def _included(found: list[Any], is_openstack: bool) -> str:
    if not is_openstack:
        return "the load balancers it serves included"
    return f"and the {len(found)} things that it has made in OpenStack" if found else "and leave OpenStack as it is"


def _told(found: list[Any]) -> str:
    kinds = [one.kind.replace("_", " ") for one in found]
    counted = ", ".join(f"{kinds.count(kind)} {kind}{'s' * (kinds.count(kind) > 1)}" for kind in dict.fromkeys(kinds))
    return f"deleted in OpenStack: {counted}; " if counted else ""


def _take_down_embedded(home: Path) -> None:
    from octavia_provider.clouds.netns import NetnsCloud, ranges

    asyncio.run(NetnsCloud(home).stop())
    ranges.release(home)


def _in_openstack(home: Path, name: str | None) -> list[Any]:
    """All that the control plane of the home has made there."""
    from octavia_provider.clouds.openstack import leftovers
    from octavia_provider.kit import paths
    from octavia_provider.store import offline

    if paths.database_url(home).exists():
        raise PermanentError(
            f"shares the database {paths.database_url(home).read_text().strip()}, and what is in OpenStack, with others.",
            subject=str(home), hint="--keep-cloud; the last of them: octaviactl leftovers --control-plane ID --delete before it",
        )  # fmt: skip
    written = cloud_choice.written_down(home) or {}
    whose = offline.control_plane_id(paths.database(home)) or written.get("control_plane")
    found = asyncio.run(leftovers.look(name))
    balancers = set(offline.scopes(paths.database(home)))
    return [one for one in found if _is_ours(one, whose, balancers)]


def _is_ours(one: Any, whose: str | None, balancers: set[str]) -> bool:
    """A server group has no tag: its load balancer says whose it is."""
    return one.control_plane == whose if one.control_plane else one.load_balancer in balancers


def _delete_in_openstack(home: Path, name: str | None) -> list[Any]:
    """Looked at again: the control plane has ended, and makes nothing more."""
    from octavia_provider.clouds.openstack import leftovers

    found = _in_openstack(home, name)
    if failed := asyncio.run(leftovers.take_away(name, found)):
        raise PermanentError(
            "; ".join(failed), subject=f"{len(failed)} of {len(found)} things in OpenStack were not deleted",
            hint="octaviactl purge again, when what is in the way is gone; nothing of the installation was removed",
        )  # fmt: skip
    return found


def _is_installation(home: Path, key: Path) -> bool:
    """Whether the folder has a key, a running cloud or a store: one is enough, the others may be lost."""
    if key.is_file() or (home / "cloud" / "holder.sock").is_socket():
        return True
    store = home / "octavia.db"
    if not (home / "serve.lock").is_file() or not store.is_file():
        return False
    with store.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def _is_failed_start(home: Path) -> bool:
    """Whether there is a lock of a start, and nothing but what a failed one leaves."""
    left = list(home.iterdir())
    return any(path.name in ("start.lock", "serve.lock") for path in left) and all(_of_failed_start(p) for p in left)


def _of_failed_start(path: Path) -> bool:
    if path.is_symlink():
        return False
    if path.is_dir():
        return path.name in ("cloud", "log") and not any(path.iterdir())
    return path.name in OF_FAILED_START or path.name.startswith("control-plane.log.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
