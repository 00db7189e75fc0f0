# SPDX-License-Identifier: Apache-2.0
"""A store that does not know what runs: nothing that runs is touched, and there are ways to go on."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octavia_provider.client import embedded
from octavia_provider.kit import paths
from octavia_provider.model.errors import NotFound

from .installation import Installation, Stack, ask, make_stack, until

pytestmark = pytest.mark.timeout(180)


def octaviactl(site: Installation, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "octavia_provider.cli.main", *words, "--home", str(site.home)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)


def refusal(site: Installation) -> str:
    """What a start is refused with."""
    done = octaviactl(site, "serve")
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    return done.stderr


def in_force(stack: Stack) -> str:
    """The configuration; empty while the control plane has not looked yet."""
    with contextlib.suppress(NotFound):
        return stack.configuration()
    return ""


@contextlib.contextmanager
def kept(home: Path) -> Iterator[None]:
    """The store is put back afterwards."""
    names = ("octavia.db", "octavia.db-wal", "octavia.db-shm", "octavia.key", "octavia.db.copy")
    with contextlib.ExitStack() as stack:
        folder = home / "kept"
        folder.mkdir()
        stack.callback(shutil.rmtree, folder)
        for name in names:
            if (home / name).exists():
                shutil.copy(home / name, folder / name)
        yield
        for name in names:
            (home / name).unlink(missing_ok=True)
            if (folder / name).exists():
                shutil.copy(folder / name, home / name)
                (home / name).chmod(0o600)


def no_database(home: Path) -> None:
    paths.database(home).unlink()


def an_empty_file(home: Path) -> None:
    paths.database(home).write_bytes(b"")


def no_tables(home: Path) -> None:
    no_database(home)
    with contextlib.closing(sqlite3.connect(paths.database(home))) as database:
        database.execute("VACUUM")


def no_rows(home: Path) -> None:
    with contextlib.closing(sqlite3.connect(paths.database(home))) as database:
        for table in ("installation", "objects", "scopes", "amphorae", "addresses", "secrets"):
            database.execute(f"DELETE FROM {table}")
        database.commit()


def no_objects(home: Path) -> None:
    """The store is ours, and somebody has emptied it."""
    with contextlib.closing(sqlite3.connect(paths.database(home))) as database:
        for table in ("objects", "scopes", "amphorae", "addresses"):
            database.execute(f"DELETE FROM {table}")
        database.commit()


def no_amphora(home: Path) -> None:
    with contextlib.closing(sqlite3.connect(paths.database(home))) as database:
        database.execute("DELETE FROM amphorae")
        database.commit()


def another_programs_database(home: Path) -> None:
    no_database(home)
    with contextlib.closing(sqlite3.connect(paths.database(home))) as database:
        database.execute("CREATE TABLE songs (name TEXT)")


def no_database_at_all(home: Path) -> None:
    paths.database(home).write_bytes(b"this is a letter, and no database" * 100)


def no_key(home: Path) -> None:
    paths.key_file(home).unlink()


def neither(home: Path) -> None:
    no_database(home)
    no_key(home)


def another_installations(home: Path) -> None:
    """Another one's database with its own key, whole and well."""
    neither(home)
    from octavia_provider.store import open_store

    open_store(f"sqlite:///{paths.database(home)}", paths.key_file(home))


LOST: list[Callable[[Path], None]] = [
    no_database, an_empty_file, no_tables, no_rows, no_objects, no_amphora, another_programs_database, no_database_at_all,
    no_key, neither, another_installations,
]  # fmt: skip


@pytest.mark.timeout(420)  # some twenty commands, each a process of its own
def test_a_store_that_does_not_know_what_runs_is_refused__and_nothing_is_touched(site: Installation) -> None:
    stack = make_stack(site, members=1)
    site.stop()
    processes = site.processes()
    for lose in LOST:
        with kept(site.home):
            lose(site.home)
            before = paths.database(site.home).read_bytes() if paths.database(site.home).exists() else None
            said = refusal(site)
            print(lose.__name__, said)
            assert "octaviactl adopt" in said, (lose, said)
            if lose in (no_database, an_empty_file, no_key, neither):
                now = paths.database(site.home).read_bytes() if paths.database(site.home).exists() else None
                assert now == before, lose
            if lose in (no_database, no_key):
                shown = octaviactl(site, "adopt")
                assert shown.returncode == 0, (lose, shown)
                assert "--let-go" in shown.stdout, (lose, shown)
                facts = json.loads(octaviactl(site, "adopt", "--json").stdout)
                assert {"load_balancer", "local_network"} <= {one["kind"] for one in facts["unknown"]}, facts
                assert facts["problem"], facts
            assert site.processes() == processes, lose
            assert ask(stack.url)[0] == 200
    site.start()
    assert stack.operating("load_balancer", stack.load_balancer["id"]) in ("ONLINE", "OFFLINE")
    assert site.processes() == processes


@pytest.mark.parametrize("lose", [no_database, no_database_at_all])
def test_the_copy_of_the_store_is_restored_and_all_goes_on(site: Installation, lose: Callable[[Path], None]) -> None:
    stack = make_stack(site, members=1)
    site.stop()
    processes = site.processes()
    lose(site.home)
    assert "knows all that runs" in octaviactl(site, "adopt").stdout
    done = octaviactl(site, "adopt", "--restore", "--yes")
    assert done.returncode == 0, done
    site.start()
    stack.change("listener", stack.listener["id"], timeout_client_data=7000)
    assert "7000" in stack.configuration()
    assert ask(stack.url)[0] == 200
    assert set(processes) - set(site.processes()) <= set(processes) - {site.agent()}
    assert site.agent() in processes
    stack.add_members("m2")
    assert not list(site.home.glob("octavia.db.new"))


def test_an_older_backup_is_refused__and_then_let_go(site: Installation) -> None:
    """What was made after it is not in it: the newer balancer serves until the operator says otherwise."""
    stack = make_stack(site, members=1)
    site.stop()
    older = site.home.with_name(f"{site.home.name}-older")
    shutil.copy(paths.database(site.home), older)
    site.start()
    late = site.create("load_balancer", name="late", vip_network_id=stack.network["id"])
    stack.change("listener", stack.listener["id"], timeout_client_data=7000)
    listener = site.create("listener", name="late", loadbalancer_id=late["id"], protocol="HTTP", protocol_port=81)
    assert ask(listener["url"])[0] == 503
    site.stop()
    older.replace(paths.database(site.home))
    for name in ("octavia.db-wal", "octavia.db-shm"):
        (site.home / name).unlink(missing_ok=True)
    said = refusal(site)
    assert late["id"] in said
    shown = octaviactl(site, "adopt").stdout
    assert f"load balancer {stack.load_balancer['id']} in a later state" in shown
    assert ask(listener["url"])[0] == 503
    assert ask(stack.url)[0] == 200

    done = octaviactl(site, "adopt", "--let-go", "--yes")
    assert done.returncode == 0, done
    with pytest.raises(OSError, match="refused"):
        ask(listener["url"])
    site.start()
    until(lambda: in_force(stack) and "7000" not in in_force(stack), what="the state of the backup to be in force")
    assert ask(stack.url)[0] == 200
    stack.change("listener", stack.listener["id"], timeout_client_data=8000)
    assert "8000" in stack.configuration()


def test_a_copy_that_knows_less_than_the_store_is_not_put_in_its_place(site: Installation) -> None:
    """The store knows all that runs, in an earlier state; the copy is from before the balancer."""
    site.stop()
    earliest = site.home.with_name(f"{site.home.name}-earliest")
    shutil.copy(paths.database(site.home), earliest)
    site.start()
    stack = make_stack(site, members=1)
    site.stop()
    older = site.home.with_name(f"{site.home.name}-older")
    shutil.copy(paths.database(site.home), older)
    site.start()
    stack.change("listener", stack.listener["id"], timeout_client_data=7000)
    site.stop()
    older.replace(paths.database(site.home))
    earliest.replace(paths.database_copy(site.home))
    for name in ("octavia.db-wal", "octavia.db-shm"):
        (site.home / name).unlink(missing_ok=True)
    shown = octaviactl(site, "adopt").stdout
    assert "in a later state" in shown
    assert "--restore" not in shown
    assert "nothing is ended" in shown
    done = octaviactl(site, "adopt", "--restore", "--yes")
    assert done.returncode == 1
    assert "knows less" in done.stderr
    assert octaviactl(site, "adopt", "--let-go", "--yes").returncode == 0
    assert ask(stack.url)[0] == 200
    site.start()
    until(lambda: in_force(stack) and "7000" not in in_force(stack), what="the state of the store to be in force")


def test_what_is_lost_is_let_go_and_a_new_installation_begins(site: Installation) -> None:
    stack = make_stack(site, members=1)
    site.stop()
    no_key(site.home)
    done = octaviactl(site, "adopt", "--let-go", "--yes")
    assert done.returncode == 0, done
    assert list(site.home.glob("octavia.db.lost-*"))
    with pytest.raises(OSError, match="refused"):
        ask(stack.url)
    site.start()
    assert make_stack(site, members=1).load_balancer["provisioning_status"] == "ACTIVE"


def test_adopt_while_the_control_plane_runs_says_that_nothing_is_amiss(site: Installation) -> None:
    done = octaviactl(site, "adopt", "--let-go", "--yes")
    assert done.returncode == 1
    assert "control plane runs" in done.stderr
    assert embedded.running(site.home)


def test_a_store_that_is_emptied_under_a_running_control_plane_ends_nothing(site: Installation) -> None:
    stack = make_stack(site, members=1)
    processes = site.processes()
    no_objects(site.home)
    until(lambda: site.events("the store does not know what runs: the cloud stays"), what="the control plane to see it")
    assert ask(stack.url)[0] == 200
    assert site.processes() == processes
