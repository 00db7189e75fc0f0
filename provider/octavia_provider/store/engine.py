# SPDX-License-Identifier: Apache-2.0
"""Engines of SQLAlchemy for a database by its URL, and how SQLite is set up.

One engine writes, over one connection that the writer thread keeps; another reads, and cannot write. SQLite:

- ``journal_mode=WAL``: readers see committed state while a write runs.
- ``synchronous=FULL``: an answered write survives a power cut. The id of a new object is in Pulumi's checkpoint from
  then on, and a revision that was pushed must never be given out twice; NORMAL may lose the last commits. One fsync a
  commit costs about 0.15 ms on an SSD, and waiting writes share it.
- ``foreign_keys=ON``, and ``BEGIN IMMEDIATE`` for writes: a write never fails half-way for want of the lock.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, create_engine, event, pool
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError

from octavia_provider.model.errors import Refused

BUSY_SECONDS = 30.0
READERS = 2


def engines(url: str) -> tuple[Engine, Engine]:
    """The writing engine and the reading one."""
    path = sqlite_path(url)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would ask the umask; -wal and -shm follow it
    except OSError as error:
        hint = "look at the owner and mode of its folder"
        raise Refused(f"cannot be opened: {error.strerror}", subject=f"database {path}", hint=hint) from None
    return _engine(url, readonly=False), _engine(url, readonly=True)


def sqlite_path(url: str) -> Path:
    """The file of a database; ``Refused`` for the URL of anything else."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Refused(f"{url!r} is not the URL of a database", hint="sqlite:////path/to/octavia.db") from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        shown = parsed.render_as_string(hide_password=True)
        raise Refused(
            f"{shown}: this version keeps its state in a file of SQLite", hint="sqlite:////path/to/octavia.db"
        )
    return Path(parsed.database)


def _engine(url: str, *, readonly: bool) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        poolclass=pool.QueuePool,
        pool_size=READERS if readonly else 1,
        max_overflow=0,
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
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


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()
