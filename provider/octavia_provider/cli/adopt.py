# SPDX-License-Identifier: Apache-2.0
"""``octaviactl adopt``: resolve amphorae, hosts and networks that run but are not in the store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.model.errors import Conflict, NotFound, OctaviaError, Refused

from . import cloud_choice, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octavia_provider.controller.orphans import Orphan
    from octavia_provider.ports import Transaction
    from octavia_provider.store import SqlStore


@click.command()
@options.home
@click.option("--restore", is_flag=True, help="Put the copy that the control plane keeps of its store in its place.")
@click.option("--let-go", is_flag=True, help="End what the store does not know, for good.")
@options.yes
@options.as_json
def adopt(home: str | None, restore: bool, let_go: bool, yes: bool, as_json: bool) -> None:
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
    if paths.database_url(where).exists():
        raise Conflict(
            f"keeps its state in {paths.database_url(where).read_text().strip()}.", subject=str(where),
            hint="restore that database with PostgreSQL's tools, then octaviactl serve --database URL",
        )  # fmt: skip
    if let_go and cloud_choice.written_down(where) is not None:
        hint = "octaviactl leftovers --delete takes away what the store does not know"
        raise Refused("is for the embedded cloud", subject="--let-go", hint=hint)
    logfile.configure(None, level="error")
    output = _Output(as_json=as_json)
    asyncio.run(_adopt(where, output, restore=restore, let_go=let_go, yes=yes))
    if as_json:
        options.print_json(output.facts)


@dataclass(slots=True)
class _Inspection:
    """``store`` is None when it is missing, empty or without its key; ``problem`` says what is wrong with it."""

    store: SqlStore | None
    problem: str
    unknown: list[Orphan]


@dataclass(slots=True)
class _Output:
    """Lines for people, or facts for programs, which are printed at the end."""

    as_json: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def tell(self, line: str, **facts: Any) -> None:
        """One line, with what it says."""
        self.facts.update(facts)
        if not self.as_json:
            console.echo(line)

    def unknown(self, orphans: Sequence[Orphan]) -> None:
        """What is not in the store."""
        self.facts["unknown"] = [{"kind": one.kind, "id": one.id, "description": one.words} for one in orphans]
        for orphan in orphans:
            self.tell(f"not in the store: {orphan.words}")


async def _adopt(home: Path, output: _Output, *, restore: bool, let_go: bool, yes: bool) -> None:
    from octavia_provider.app import only_one
    from octavia_provider.kit import paths

    cloud = _cloud(home)
    with only_one(home, home):
        try:
            inspection = await _inspect(home, cloud, paths.database(home))
            _report(inspection, output)
            if not inspection.problem and not inspection.unknown:
                return
            if restore:
                await _restore(home, cloud, inspection, output, yes=yes)
            elif let_go:
                await _let_go(home, cloud, inspection, output, yes=yes)
            else:
                await _advise(home, cloud, inspection, output)
        finally:
            await cloud.close()


def _cloud(home: Path) -> Any:
    """The cloud of the home: OpenStack, where its control plane has said so."""
    from octavia_provider.clouds.netns import NetnsCloud

    written = cloud_choice.written_down(home)
    if written is None:
        return NetnsCloud(home)
    from octavia_provider.clouds.openstack import configuration

    chosen = configuration(written["os_cloud"])
    from octavia_provider.clouds.openstack.driver import driver

    return driver(chosen, written["control_plane"]).cloud


async def _inspect(home: Path, cloud: Any, database: Path) -> _Inspection:
    from octavia_provider.controller.orphans import look, orphans
    from octavia_provider.kit import paths
    from octavia_provider.store import installed, open_store

    running, store, problem = await look(cloud), None, ""
    try:
        if installed(f"sqlite:///{database}"):
            store = open_store(f"sqlite:///{database}", paths.key_file(home))
        elif paths.key_file(home).exists():
            problem = f"{database.name} is not there, or is empty"
    except OctaviaError as error:
        problem = str(error)
    return _Inspection(store, problem, await orphans(running, store))


def _report(inspection: _Inspection, output: _Output) -> None:
    output.facts["problem"] = inspection.problem or None
    if inspection.problem:
        output.tell(f"the store: {inspection.problem}")
    output.unknown(inspection.unknown)
    if not inspection.problem and not inspection.unknown:
        output.tell("the store knows all that runs; nothing is to be done")


async def _advise(home: Path, cloud: Any, inspection: _Inspection, output: _Output) -> None:
    """Print the options, and what each would do."""
    copy = await _inspect_copy(home, cloud)
    if copy is not None and not _is_older(copy[1], inspection):
        at, unknown = copy
        covered = f"all but {len(unknown)} of it" if unknown else "all that runs"
        line = f"octaviactl adopt --restore   puts the store's copy of {at} back, which knows {covered}"
        output.tell(line, copy={"made_at": at, "missing": len(unknown)})
    effect = _let_go_effect(inspection)
    output.tell(f"{_let_go_command(home)}    {effect}", let_go_effect=effect)


def _let_go_command(home: Path) -> str:
    return "octaviactl adopt --let-go" if cloud_choice.written_down(home) is None else "octaviactl leftovers --delete"


def _let_go_effect(inspection: _Inspection) -> str:
    if inspection.store is not None and not _not_in_store(inspection.unknown):
        return "puts the state that the store has in force; nothing is ended"
    return "ends what the store does not know; its traffic stops"


def _not_in_store(unknown: Sequence[Orphan]) -> list[Orphan]:
    """The objects missing from the store, without those that it has in an older state."""
    return [orphan for orphan in unknown if orphan.kind != "newer"]


def _is_older(unknown: Sequence[Orphan], inspection: _Inspection) -> bool:
    """Whether a copy that lacks ``unknown`` covers less of what runs than the current store."""
    return inspection.store is not None and len(unknown) > len(_not_in_store(inspection.unknown))


async def _inspect_copy(home: Path, cloud: Any) -> tuple[str, list[Orphan]] | None:
    """The time of the copy and what is not in it; None when there is no usable copy."""
    from octavia_provider.kit import paths

    source = paths.database_copy(home)
    if not source.is_file():
        return None
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(source.stat().st_mtime))
    with tempfile.TemporaryDirectory(prefix="octavia-") as scratch:
        copied = Path(shutil.copy(source, scratch))
        inspection = await _inspect(home, cloud, copied)
        if inspection.store is None:
            return None
        await inspection.store.close()
    return at, _not_in_store(inspection.unknown)


async def _restore(home: Path, cloud: Any, inspection: _Inspection, output: _Output, *, yes: bool) -> None:
    from octavia_provider.kit import home_cloud, paths

    copy = await _inspect_copy(home, cloud)
    if copy is None:
        raise NotFound(
            "there is no copy of the store that the key fits.", subject=str(home),
            hint=f"put a backup of octavia.db and octavia.key in their places, or `{_let_go_command(home)}`",
        )  # fmt: skip
    if _is_older(copy[1], inspection):
        raise Conflict(
            f"the store's copy of {copy[0]} knows less of what runs than the store itself.", subject=str(home),
            hint=f"`{_let_go_command(home)}`, which {_let_go_effect(inspection)}",
        )  # fmt: skip
    if not yes:
        question = f"Put the store's copy of {copy[0]} back? What was changed after it is not in it."
        console.confirm(question, err=output.as_json)
    if inspection.store:
        await inspection.store.close()
    _rename_away(home, paths.database(home).name)
    database = paths.database(home)
    temporary = database.with_name(f"{database.name}.new")
    shutil.copy(paths.database_copy(home), temporary)
    temporary.chmod(0o600)
    temporary.replace(database)
    restored = await _inspect(home, cloud, database)
    await _raise_epochs(restored)
    if restored.store:
        await restored.store.close()
    unknown = _not_in_store(restored.unknown)
    output.tell(f"restored the store's copy of {copy[0]}", restored=copy[0])
    output.unknown(unknown)
    output.tell(
        f"Next: {_let_go_command(home)}, which ends these"
        if unknown
        else f"Next: {home_cloud.start_hint(home)}; then `up` for what changed since"
    )


async def _raise_epochs(inspection: _Inspection) -> None:
    """Raise the epochs (``VersionStamp.epoch``), so that amphorae accept the store's older state."""
    newer = {orphan.id: orphan.order[0] + 1 for orphan in inspection.unknown if orphan.kind == "newer"}

    def work(tx: Transaction) -> None:
        for id_, epoch in newer.items():
            tx.raise_epoch(id_, epoch)

    if inspection.store is not None and newer:
        await inspection.store.write(work)


async def _let_go(home: Path, cloud: Any, inspection: _Inspection, output: _Output, *, yes: bool) -> None:
    if not yes:
        to_delete = inspection.unknown if inspection.store is None else _not_in_store(inspection.unknown)
        lost = " and begin anew, without the store" if inspection.store is None else ""
        question = f"End these {len(to_delete)} for good, and what runs in them{lost}?"
        question = question if to_delete or lost else "Put the state that the store has in force?"
        console.confirm(question, err=output.as_json)
    if inspection.store is None:
        await cloud.stop()
        for name in ("octavia.db", "octavia.key"):
            _rename_away(home, name)
        output.tell("let go; the next start is that of a new installation", let_go=True)
        return
    await _raise_epochs(inspection)
    await _delete_unknown(cloud, inspection.unknown)
    await inspection.store.close()
    output.tell("let go; octaviactl start", let_go=True)


async def _delete_unknown(cloud: Any, unknown: list[Orphan]) -> None:
    """Delete publications first, networks last, when nothing is attached to them."""
    balancers = {orphan.id for orphan in unknown if orphan.kind == "load_balancer"}
    for orphan in unknown:
        if orphan.kind == "listener":
            await cloud.withdraw(orphan.id)
    alone = {orphan.id for orphan in unknown if orphan.kind == "amphora"}
    for one in await cloud.all_instances():
        if one.load_balancer_id not in balancers and one.amphora_id not in alone:
            continue
        if one.host is None:
            await cloud.delete(one.amphora_id)
        else:
            await cloud.detach(one.host, one.load_balancer_id)
    for orphan in unknown:
        if orphan.kind == "local_host":
            await cloud.delete_host(orphan.id)
    for orphan in unknown:
        if orphan.kind == "local_network":
            await cloud.delete_network(orphan.id)


def _rename_away(home: Path, name: str) -> None:
    """Rename a database or key file and its companions; nothing is deleted."""
    suffix = f"lost-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    for path in (home / name, home / f"{name}-wal", home / f"{name}-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_name(f"{path.name}.{suffix}"))
