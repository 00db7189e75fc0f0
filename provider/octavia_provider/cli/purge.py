# SPDX-License-Identifier: Apache-2.0
"""``octaviactl purge``: remove the embedded cloud, its control plane and their data."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import PermanentError

from . import options

OWN_FILES = (
    "database.url", "octavia.db", "octavia.db-shm", "octavia.db-wal", "octavia.db.copy", "octavia.db.copy.new", "octavia.key",
    "octavia.key.new", "control-plane.log", "stderr.log", "api.sock",
    "serve.lock", "start.lock", "cloud", "log", "instances",
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


@click.command()
@options.home
@options.yes
@options.as_json
def purge(home: str | None, yes: bool, as_json: bool) -> None:
    """Take the embedded cloud down and remove its database, keys and logs. Stacks that it serves lose what they made."""
    from octavia_provider.client import embedded
    from octavia_provider.client.deadline import Deadline
    from octavia_provider.clouds.netns import NetnsCloud, ranges
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
    if not yes:
        console.confirm(f"Remove the installation in {where}, the load balancers it serves included?", err=as_json)
    logfile.configure(None, level="warning")  # the cloud is deleted in this process; its log lines are not output
    embedded.stop(where, Deadline(60.0))
    asyncio.run(NetnsCloud(where).stop())
    for path in sorted(where.iterdir()):
        if path.name in OWN_FILES or path.name.startswith(RENAMED_PREFIXES):
            _remove(path)
    ranges.release(where)
    foreign = sorted(path.name for path in where.iterdir())
    line = f"removed the installation in {where}; what is not ours was left: {', '.join(foreign)}"
    if not foreign:
        where.rmdir()
        line = f"removed {where}"
    options.print_result(line, as_json=as_json, home=str(where), removed=True, left=foreign)


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
