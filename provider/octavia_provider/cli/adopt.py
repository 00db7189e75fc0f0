# SPDX-License-Identifier: Apache-2.0
"""``octaviactl adopt``: what to do where the store does not know what runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Conflict, NotFound, OctaviaError

from . import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octavia_provider.clouds.netns import NetnsCloud
    from octavia_provider.controller.orphans import Orphan
    from octavia_provider.ports import Transaction
    from octavia_provider.store import SqlStore


@click.command()
@options.home
@click.option("--restore", is_flag=True, help="Put the copy that the control plane keeps of its store in its place.")
@click.option("--let-go", is_flag=True, help="End what the store does not know, for good.")
@options.yes
def adopt(home: str | None, restore: bool, let_go: bool, yes: bool) -> None:
    """Show what runs in this home's cloud and its store does not know, and go on with it or without it.

    The control plane does not start then: it never ends what it does not know. Without an option nothing is changed.
    """
    from octavia_provider.client import embedded
    from octavia_provider.kit import logfile, paths

    where = paths.home(home)
    if not where.is_dir():
        raise NotFound(
            "does not exist.", subject=str(where), hint="name the home that is meant: --home, or OCTAVIA_HOME"
        )
    if restore and let_go:
        raise click.UsageError("--restore first; then what is still not known can be let go with --let-go")
    if embedded.running(where):
        raise Conflict(
            "its control plane runs, so it knows all that runs.", subject=str(where), hint="octaviactl status"
        )
    logfile.configure(None, level="error")
    asyncio.run(_adopt(where, restore=restore, let_go=let_go, yes=yes))


@dataclass(slots=True)
class _Found:
    """``store`` is None where it is lost: missing, empty, or without its key; ``problem`` says what is wrong with it."""

    store: SqlStore | None
    problem: str
    unknown: list[Orphan]


async def _adopt(home: Path, *, restore: bool, let_go: bool, yes: bool) -> None:
    from octavia_provider.app import only_one
    from octavia_provider.clouds.netns import NetnsCloud
    from octavia_provider.kit import paths

    cloud = NetnsCloud(home)
    with only_one(home):
        try:
            found = await _look(home, cloud, paths.database(home))
            _tell(found)
            if not found.problem and not found.unknown:
                return
            if restore:
                await _restore(home, cloud, found, yes=yes)
            elif let_go:
                await _let_go(home, cloud, found, yes=yes)
            else:
                await _advise(home, cloud, found)
        finally:
            await cloud.close()


async def _look(home: Path, cloud: NetnsCloud, database: Path) -> _Found:
    from octavia_provider.controller.orphans import look, orphans
    from octavia_provider.kit import paths
    from octavia_provider.store import installed, open_store

    there, store, problem = await look(cloud), None, ""
    try:
        if installed(f"sqlite:///{database}"):
            store = open_store(f"sqlite:///{database}", paths.key_file(home))
        elif paths.key_file(home).exists():
            problem = f"{database.name} is not there, or is empty"
    except OctaviaError as error:
        problem = str(error)
    return _Found(store, problem, await orphans(there, store))


def _tell(found: _Found) -> None:
    if found.problem:
        console.say(f"the store: {found.problem}")
    for one in found.unknown:
        console.say(f"not in the store: {one.words}")
    if not found.problem and not found.unknown:
        console.say("the store knows all that runs; nothing is to be done")


async def _advise(home: Path, cloud: NetnsCloud, found: _Found) -> None:
    """What a restore would bring, where it brings anything."""
    copy = await _copy(home, cloud)
    if copy is not None and not _knows_less(copy[1], found):
        at, unknown = copy
        left = f"all but {len(unknown)} of it" if unknown else "all that runs"
        console.say(f"octaviactl adopt --restore   puts the store's copy of {at} back, which knows {left}")
    console.say(f"octaviactl adopt --let-go    {_letting_go(found)}")


def _letting_go(found: _Found) -> str:
    if found.store is not None and not _strange(found.unknown):
        return "puts the state that the store has in force; nothing is ended"
    return "ends what the store does not know; its traffic stops"


def _strange(unknown: Sequence[Orphan]) -> list[Orphan]:
    """Without what the store knows in an earlier state."""
    return [one for one in unknown if one.kind != "newer"]


def _knows_less(unknown: Sequence[Orphan], found: _Found) -> bool:
    """Whether a copy, which does not know ``unknown``, knows less of what runs than the store that there is."""
    return found.store is not None and len(unknown) > len(_strange(found.unknown))


async def _copy(home: Path, cloud: NetnsCloud) -> tuple[str, list[Orphan]] | None:
    """When the copy was made, and what it does not know (what is older in it, is restored with it); None: no use."""
    from octavia_provider.kit import paths

    source = paths.database_copy(home)
    if not source.is_file():
        return None
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(source.stat().st_mtime))
    with tempfile.TemporaryDirectory(prefix="octavia-") as scratch:
        trial = Path(shutil.copy(source, scratch))
        found = await _look(home, cloud, trial)
        if found.store is None:
            return None
        await found.store.close()
    return at, _strange(found.unknown)


async def _restore(home: Path, cloud: NetnsCloud, found: _Found, *, yes: bool) -> None:
    from octavia_provider.kit import paths

    copy = await _copy(home, cloud)
    if copy is None:
        raise NotFound(
            "there is no copy of the store that the key fits.", subject=str(home),
            hint="put a backup of octavia.db and octavia.key in their places, or `octaviactl adopt --let-go`",
        )  # fmt: skip
    if _knows_less(copy[1], found):
        raise Conflict(
            f"the store's copy of {copy[0]} knows less of what runs than the store itself.", subject=str(home),
            hint=f"`octaviactl adopt --let-go`, which {_letting_go(found)}",
        )  # fmt: skip
    if not yes:
        console.ask(f"Put the store's copy of {copy[0]} back? What was changed after it is not in it.")
    if found.store:
        await found.store.close()
    _set_aside(home, paths.database(home).name)
    database = paths.database(home)
    fresh = database.with_name(f"{database.name}.new")
    shutil.copy(paths.database_copy(home), fresh)
    fresh.chmod(0o600)
    fresh.replace(database)
    again = await _look(home, cloud, database)
    await _supersede(again)
    if again.store:
        await again.store.close()
    left = _strange(again.unknown)
    console.say(f"restored the store's copy of {copy[0]}")
    for one in left:
        console.say(f"not in the store: {one.words}")
    console.say(
        "Next: octaviactl adopt --let-go, which ends these"
        if left
        else "Next: octaviactl start, and `up` for what changed since"
    )


async def _supersede(found: _Found) -> None:
    """What the store says goes before the later state that amphorae have (``Stamp.epoch``)."""
    newer = {one.id: one.order[0] + 1 for one in found.unknown if one.kind == "newer"}

    def work(tx: Transaction) -> None:
        for id_, epoch in newer.items():
            tx.raise_epoch(id_, epoch)

    if found.store is not None and newer:
        await found.store.write(work)


async def _let_go(home: Path, cloud: NetnsCloud, found: _Found, *, yes: bool) -> None:
    if not yes:
        ends = found.unknown if found.store is None else _strange(found.unknown)
        lost = " and begin anew, without the store" if found.store is None else ""
        question = f"End these {len(ends)} for good, and what runs in them{lost}?"
        console.ask(question if ends or lost else "Put the state that the store has in force?")
    if found.store is None:
        await cloud.stop()
        for name in ("octavia.db", "octavia.key"):
            _set_aside(home, name)
        console.say("let go; the next start is that of a new installation")
        return
    await _supersede(found)
    await _end(cloud, found.unknown)
    await found.store.close()
    console.say("let go; octaviactl start")


async def _end(cloud: NetnsCloud, unknown: list[Orphan]) -> None:
    """Publications first, networks last: nothing else is on them then."""
    balancers = {one.id for one in unknown if one.kind == "load_balancer"}
    for one in unknown:
        if one.kind == "listener":
            await cloud.withdraw(one.id)
    amphorae = [h.amphora_id for h in await cloud.all_instances() if h.load_balancer_id in balancers]
    for id_ in (*amphorae, *(one.id for one in unknown if one.kind == "amphora")):
        await cloud.delete(id_)
    for one in unknown:
        if one.kind == "local_host":
            await cloud.delete_host(one.id)
    for one in unknown:
        if one.kind == "local_network":
            await cloud.delete_network(one.id)


def _set_aside(home: Path, name: str) -> None:
    """Rename a file with what belongs to it; nothing is removed."""
    suffix = f"lost-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    for path in (home / name, home / f"{name}-wal", home / f"{name}-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_name(f"{path.name}.{suffix}"))
