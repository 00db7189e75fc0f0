# SPDX-License-Identifier: Apache-2.0
"""SQLite, the embedded database: its engines, and what only it has: a file that can be looked at and copied.

- ``journal_mode=WAL``: readers see committed state while a write runs.
- ``synchronous=FULL``: an answered write survives a power cut. The id of a new object is in Pulumi's checkpoint from
  then on, and a revision that was pushed must never be given out twice; NORMAL may lose the last commits. One fsync a
  commit costs about 0.15 ms on an SSD, and waiting writes share it.
- ``foreign_keys=ON``, and ``BEGIN IMMEDIATE`` for writes: a write never fails half-way for want of the lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event, pool
from sqlalchemy.engine import URL, Connection

from octavia_provider.model.errors import Refused

from .engine_options import READERS, SERIALIZERS
from .tables import INSTALLATION

BUSY_SECONDS = 30.0


class Sqlite:
    """One file. ``url`` names it."""

    advice = (
        "look at its disk, put the database of octavia in its place, or `octaviactl adopt`, which restores its copy"
    )

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            shown, hint = url.render_as_string(hide_password=True), "sqlite:////path/to/octavia.db"
            raise Refused(f"{shown} keeps nothing: a file is needed", hint=hint)
        self._url = url
        self.path = Path(url.database)

    def engines(self) -> tuple[Engine, Engine]:
        """The writing engine and the reading one."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite would ask the umask; -wal and -shm follow it
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            hint = "look at the owner and mode of its folder"
            raise Refused(f"cannot be opened: {error.strerror}", subject=f"database {self.path}", hint=hint) from None
        return _engine(self._url, readonly=False), _engine(self._url, readonly=True)

    def installed(self) -> bool:
        """Whether it was set up; one that cannot be read counts as there."""
        if not self.path.exists() or (self.path.is_file() and self.path.stat().st_size == 0):
            return False
        try:
            with contextlib.closing(sqlite3.connect(_read_only(self.path), uri=True)) as database:
                names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                if INSTALLATION.name in names:
                    return bool(database.execute(f"SELECT count(*) FROM {INSTALLATION.name}").fetchone()[0])  # noqa: S608
                return bool(names)
        except sqlite3.Error:
            return True

    def now(self, _connection: Connection) -> float:
        """The time by which leases run out: the machine's, which is that of all who can open the file."""
        return time.time()

    def announce(self, connection: Connection, scopes: Iterable[str]) -> None:
        """One process uses the file, and wakes its watchers itself."""

    def listen(self, wake: Callable[[Iterable[str]], None]) -> None:
        """Nobody else announces anything."""

    def vacuum(self) -> None:
        """Take what was written over out of the file's free pages. On a full disk it stays until it is written over."""
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as database,
        ):
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def copy(self, path: Path, control_plane_id: str) -> None:
        """Write a copy of the whole to a file, replacing it: one committed state of this control plane's database."""
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with (
                contextlib.closing(sqlite3.connect(_read_only(self.path), uri=True)) as ours,
                contextlib.closing(sqlite3.connect(fresh)) as theirs,
            ):
                ours.backup(theirs)
                whose = theirs.execute(f"SELECT control_plane_id FROM {INSTALLATION.name}").fetchone()  # noqa: S608
            if whose != (control_plane_id,):
                raise sqlite3.DatabaseError("another one is in its place")
        except sqlite3.Error as error:
            raise OSError(f"the database cannot be copied: {error}") from error
        fresh.replace(path)

    def close(self) -> None:
        """Nothing is kept open."""


def _engine(url: URL, *, readonly: bool) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        poolclass=pool.QueuePool,
        pool_size=READERS if readonly else 1,
        max_overflow=0,
        **SERIALIZERS,
    )

    @event.listens_for(engine, "connect")
    def connect(dbapi: Any, _record: Any) -> None:
        _set_up(dbapi, readonly=readonly)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    return engine


def _set_up(dbapi: sqlite3.Connection, *, readonly: bool) -> None:
    dbapi.isolation_level = None  # sqlite3's own BEGIN comes too late for SAVEPOINT; ours is in begin()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"query_only={'ON' if readonly else 'OFF'}",
    ):
        dbapi.execute(f"PRAGMA {pragma}")


def _read_only(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=ro"
