# SPDX-License-Identifier: Apache-2.0
"""The store: one thread writes, a few read, watchers are woken after commits. See ``ports.Store``."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Engine, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from octavia_provider.model.errors import Refused
from octavia_provider.ports import Transaction, Watch

from . import rows
from .cipher import Cipher, keep_key, make_key, read_key
from .engine import Database, database
from .engine_options import READERS
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
        self, database: Database, engines: tuple[Engine, Engine], cipher: Cipher, control_plane_id: str,
        clock: Callable[[], float] | None,
    ) -> None:  # fmt: skip
        self._cipher = cipher
        self._clock = clock
        self._id = control_plane_id
        self._watches = Watches()
        self._database = database
        self._engines = engines
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._writer = Writer(engines[0], self._begin, database.announce, self._watches.wake)
        database.listen(self._watches.wake_from_thread)

    @property
    def control_plane_id(self) -> str:
        """Made with the database."""
        return self._id

    @property
    def url(self) -> str:
        """Of the database, without a password."""
        url = self._engines[0].url
        return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)

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
        await asyncio.to_thread(self._database.copy, path, self._id)

    async def close(self) -> None:
        """Finish what waits and close."""
        await asyncio.to_thread(self._database.close)
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.shutdown)
        for engine in self._engines:
            engine.dispose()

    def _read(self, work: Callable[[Transaction], T]) -> T:
        try:
            with self._engines[1].begin() as connection:
                return work(self._transaction(connection, writable=False))
        except DBAPIError as error:
            raise friendly(error) from None

    def _begin(self, connection: Connection) -> SqlTransaction:
        return self._transaction(connection, writable=True)

    def _transaction(self, connection: Connection, *, writable: bool) -> SqlTransaction:
        clock = self._clock or partial(self._database.now, connection)
        event_clock = self._clock or time.time
        return SqlTransaction(connection, self._cipher, clock, writable=writable, event_clock=event_clock)


def open_store(url: str, key_file: Path, *, clock: Callable[[], float] | None = None) -> SqlStore:
    """Open the database, making or migrating it where needed; ``Refused`` when it is newer than the code.

    ``url`` is SQLAlchemy's (``sqlite:////path/octavia.db``, ``postgresql://user@host/octavia``); ``key_file`` holds the
    key of the secrets; ``clock`` stands in place of the database's own. Blocks for some milliseconds: meant for the start
    of a process.
    """
    found = database(url)
    writer, reader = found.engines()
    try:
        try:
            control_plane_id, cipher = _prepared(found, writer, key_file)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The server ended the session, as it does where a process stood still inside a transaction.
            control_plane_id, cipher = _prepared(found, writer, key_file)
        return SqlStore(found, (writer, reader), cipher, control_plane_id, clock)
    except DBAPIError as error:
        writer.dispose()
        raise Refused(
            f"cannot be used: {error.orig}", subject=f"database {writer.url.database}",
            hint=found.advice,
        ) from None  # fmt: skip
    except BaseException:
        writer.dispose()
        raise


def _prepared(found: Database, writer: Engine, key_file: Path) -> tuple[str, Cipher]:
    """Bring the tables and their secrets up to date; what was done before it was cut off stays done."""
    migrate(writer)
    control_plane_id, cipher = _installation(writer, key_file)
    if seal(writer, cipher):
        found.vacuum()
    return control_plane_id, cipher


def installed(url: str) -> bool:
    """Whether there is a database that was set up: not a missing or empty one. Nothing is made or changed.

    One that cannot be read counts as there: what is wrong with it is for ``open_store`` to say.
    """
    return database(url).installed()


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
