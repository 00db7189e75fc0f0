# SPDX-License-Identifier: Apache-2.0
"""The store: one thread writes, a few read, watchers are woken after commits. See ``ports.Store``."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Engine, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from octavia_provider.model.errors import Refused
from octavia_provider.ports import Transaction, Watch

from . import rows
from .cipher import Cipher, make_key, read_key
from .engine import READERS, engines
from .migrate import HEAD, migrate
from .tables import INSTALLATION
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
    except DBAPIError as error:
        writer.dispose()
        raise Refused(
            f"cannot be used: {error.orig}", subject=f"database {writer.url.database}",
            hint="look whether it is a database of octavia and its disk is well",
        ) from None  # fmt: skip
    except BaseException:
        writer.dispose()
        raise
    return SqlStore(writer, reader, cipher, control_plane_id, clock)


def _installation(engine: Engine, key_file: Path) -> tuple[str, Cipher]:
    """The control plane's id, made with the database, and the cipher whose key belongs to it."""
    with engine.begin() as connection:
        row = connection.execute(select(INSTALLATION)).first()
        if row is not None:
            cipher = Cipher(read_key(key_file))
            cipher.decrypt(row.key_check, _KEY_CONTEXT)
            return row.control_plane_id, cipher
        cipher = Cipher(make_key(key_file))
        control_plane_id = str(uuid.uuid4())
        connection.execute(
            insert(INSTALLATION),
            {
                "id": 1,
                "control_plane_id": control_plane_id,
                "key_check": cipher.encrypt(_KEY_CHECK, _KEY_CONTEXT),
                "created_at": rows.now(),
            },
        )
        return control_plane_id, cipher
