# SPDX-License-Identifier: Apache-2.0
"""The store: one thread writes, a few read, watchers are woken after commits. See ``ports.Store``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import quote

from sqlalchemy import Engine, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from octavia_provider.model.errors import Refused
from octavia_provider.ports import Transaction, Watch

from . import rows
from .cipher import Cipher, keep_key, make_key, read_key
from .engine import READERS, engines, sqlite_path
from .migrate import HEAD, migrate
from .sealing import seal
from .tables import INSTALLATION, SCOPES
from .transaction import SqlTransaction
from .watches import Watches
from .writer import Writer, friendly

T = TypeVar("T")
_KEY_CHECK = b"octavia"
_KEY_CONTEXT = "key check of the database"


class SqlStore:
    """Used from one event loop. ``schema`` is the revision of the tables."""

    schema = HEAD

    def __init__(
        self, writer: Engine, reader: Engine, cipher: Cipher, control_plane_id: str, clock: Callable[[], float]
    ) -> None:
        self._cipher = cipher
        self._clock = clock
        self._id = control_plane_id
        self._watches = Watches()
        self._engines = (writer, reader)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._writer = Writer(writer, self._begin, self._watches.wake)

    @property
    def control_plane_id(self) -> str:
        """Made with the database."""
        return self._id

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a read transaction: one committed state from its first look to its last."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in a write transaction; answers after the commit."""
        return cast("T", await self._writer.submit(work))

    def watch(self, scope_id: str | None = None) -> AbstractAsyncContextManager[Watch]:
        """Be woken by commits of a scope, or of any."""
        return self._watches.watch(scope_id)

    async def copy(self, path: Path) -> None:
        """Write a copy of the whole to a file, replacing it: one committed state."""
        await asyncio.to_thread(self._copy, path)

    def _copy(self, path: Path) -> None:
        fresh = path.with_name(f"{path.name}.new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        source = sqlite_path(str(self._engines[1].url))
        try:
            with (
                contextlib.closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True)) as ours,
                contextlib.closing(sqlite3.connect(fresh)) as theirs,
            ):
                ours.backup(theirs)
                whose = theirs.execute(f"SELECT control_plane_id FROM {INSTALLATION.name}").fetchone()  # noqa: S608
            if whose != (self._id,):
                raise sqlite3.DatabaseError("another one is in its place")
        except sqlite3.Error as error:
            raise OSError(f"the database cannot be copied: {error}") from error
        fresh.replace(path)

    async def close(self) -> None:
        """Finish what waits and close."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.shutdown)
        for engine in self._engines:
            engine.dispose()

    def _read(self, work: Callable[[Transaction], T]) -> T:
        try:
            with self._engines[1].begin() as connection:
                return work(SqlTransaction(connection, self._cipher, self._clock, writable=False))
        except DBAPIError as error:
            raise friendly(error) from None

    def _begin(self, connection: Connection) -> SqlTransaction:
        return SqlTransaction(connection, self._cipher, self._clock, writable=True)


def open_store(url: str, key_file: Path, *, clock: Callable[[], float] = time.time) -> SqlStore:
    """Open the database, making or migrating it where needed; ``Refused`` when it is newer than the code.

    ``url`` is SQLAlchemy's (``sqlite:////path/octavia.db``); ``key_file`` holds the key of the secrets. Blocks for some
    milliseconds: meant for the start of a process.
    """
    writer, reader = engines(url)
    try:
        migrate(writer)
        control_plane_id, cipher = _installation(writer, key_file)
        seal(writer, cipher)
    except DBAPIError as error:
        writer.dispose()
        raise Refused(
            f"cannot be used: {error.orig}", subject=f"database {writer.url.database}",
            hint="look at its disk, put the database of octavia in its place, or `octaviactl adopt`, which restores its copy",
        ) from None  # fmt: skip
    except BaseException:
        writer.dispose()
        raise
    return SqlStore(writer, reader, cipher, control_plane_id, clock)


def installed(url: str) -> bool:
    """Whether there is a database that was set up: not a missing or empty one. Nothing is made or changed.

    One that cannot be read counts as there: what is wrong with it is for ``open_store`` to say.
    """
    path = sqlite_path(url)
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if INSTALLATION.name in names:
                return bool(database.execute(f"SELECT count(*) FROM {INSTALLATION.name}").fetchone()[0])  # noqa: S608
            return bool(names)
    except sqlite3.Error:
        return True


def _installation(engine: Engine, key_file: Path) -> tuple[str, Cipher]:
    """The control plane's id, made with the database, and the cipher whose key belongs to it."""
    with engine.begin() as connection:
        row = connection.execute(select(INSTALLATION)).first()
        if row is None:
            _require_new(connection, key_file)
            cipher, control_plane_id = Cipher(make_key(key_file)), str(uuid.uuid4())
            connection.execute(
                insert(INSTALLATION),
                {
                    "id": 1,
                    "control_plane_id": control_plane_id,
                    "key_check": cipher.encrypt(_KEY_CHECK, _KEY_CONTEXT),
                    "created_at": rows.now(),
                },
            )
    keep_key(key_file)
    if row is not None:
        cipher, control_plane_id = Cipher(read_key(key_file)), row.control_plane_id
        cipher.decrypt(row.key_check, _KEY_CONTEXT)
    return control_plane_id, cipher


def _require_new(connection: Connection, key_file: Path) -> None:
    """A database is set up once: not in the place of one that is lost, nor in one that has lost its first row."""
    subject = f"database {connection.engine.url.database}"
    if key_file.exists():
        raise Refused(
            f"holds nothing, and {key_file.name} is the key of one that did", subject=subject,
            hint="put the database back, or `octaviactl adopt`: it shows what there is to go on with",
        )  # fmt: skip
    if connection.execute(select(SCOPES.c.id)).first() is not None:
        raise Refused(
            "is damaged: it does not say whose it is", subject=subject,
            hint="put a copy of the whole in its place, or `octaviactl adopt`",
        )  # fmt: skip
