# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL, the database that several control planes share. The driver (psycopg 3) is imported when it is used.

- A write transaction begins by taking one advisory lock, which COMMIT gives back: writers of all processes are serial,
  as SQLite's are, so uniqueness, quotas and exchanges hold with no transaction that must be run again (ADR 0016).
- A paused writer must not keep the lock: the server ends a session that does nothing inside a transaction for longer
  than ``PAUSED_SECONDS``, which is less than the third of a lease (15 s) after which leases are renewed.
- Readers have one snapshot from their first look to their last, and cannot write.
- What a commit wrote is announced by NOTIFY in the same transaction; ``listening`` receives it.
- Leases run out by the server's clock: machines that differ in theirs cannot both hold one.
"""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Engine, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from octavia_provider.model.errors import PermanentError, Refused

from .engine_options import READERS, SERIALIZERS
from .tables import INSTALLATION

if TYPE_CHECKING:
    from . import listening

DRIVER = "postgresql+psycopg"
PAUSED_SECONDS = 4
CHANNEL = "octavia"
WAIT_SECONDS = 30  # for the lock: as long as SQLite's
WRITERS_LOCK = 0x6F637461766961  # "octavia"
NAMES = 100  # scopes in one notification: it may have 8,000 bytes
# A server that went away without a word is noticed within half a minute, and a connection attempt takes no longer
_CONNECT = {
    "application_name": "octavia",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
_NOW = text("SELECT extract(epoch FROM clock_timestamp())::float8")  # now() would be the time before the lock was had
_LOCK = f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})"


class Postgresql:
    """One database of a server. ``origin`` tells this process's notifications from others'."""

    advice = "look at the server and its log, and at what the URL says: host, user, password"

    def __init__(self, url: URL) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise Refused(
                "needs the driver psycopg, which is not installed", subject=f"database {url.database}",
                hint="pip install 'pulumi-resource-octavia[postgresql]', in the environment of octaviactl",
            )  # fmt: skip
        self._url = url.set(drivername=DRIVER)
        self._origin = uuid.uuid4().hex
        self._listener: listening.Listener | None = None

    def engines(self) -> tuple[Engine, Engine]:
        """The writing engine and the reading one."""
        return self._writer(), self._reader()

    def installed(self) -> bool:
        """Whether it was set up; one that cannot be read counts as there."""
        engine = self._reader()
        try:
            with engine.connect() as connection:
                tables = inspect(connection).get_table_names()
                if INSTALLATION.name in tables:
                    return connection.execute(select(INSTALLATION.c.id)).first() is not None
                return bool(tables)
        except DBAPIError:
            return True
        finally:
            engine.dispose()

    def now(self, connection: Connection) -> float:
        """The time by which leases run out: the server's."""
        return float(connection.execute(_NOW).scalar_one())

    def announce(self, connection: Connection, scopes: Iterable[str]) -> None:
        """Tell the other processes what this transaction wrote, once it is committed."""
        for names in _chunks(sorted(scopes)):
            connection.execute(select(func.pg_notify(CHANNEL, " ".join((self._origin, *names)))))

    def listen(self, wake: Callable[[Iterable[str]], None]) -> None:
        """Call ``wake``, in a thread, with the scopes that other processes have written. Blocks until it listens."""
        import psycopg

        from .listening import Listener

        dialect = self._url.get_dialect()()
        positional, named = dialect.create_connect_args(self._url)
        connect = partial(psycopg.connect, *positional, **{**named, **_CONNECT}, autocommit=True)
        self._listener = Listener(connect, CHANNEL, self._origin, wake)

    def vacuum(self) -> None:
        """The server does it."""

    def copy(self, path: Path, control_plane_id: str) -> NoReturn:  # noqa: ARG002
        """Copies are made with the server's own tools."""
        raise PermanentError("is copied with pg_dump", subject=f"database {self._url.database}")

    def close(self) -> None:
        """End listening."""
        if self._listener is not None:
            self._listener.close()

    def _writer(self) -> Engine:
        engine = create_engine(
            self._url, connect_args=_CONNECT, pool_size=1, max_overflow=0, isolation_level="READ COMMITTED",
            **SERIALIZERS,
        )  # fmt: skip

        @event.listens_for(engine, "connect")
        def connect(dbapi: Any, _record: Any) -> None:
            with dbapi.cursor() as cursor:
                cursor.execute(f"SET idle_in_transaction_session_timeout = '{PAUSED_SECONDS}s'")
                cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
            dbapi.commit()

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(_LOCK)

        return engine

    def _reader(self) -> Engine:
        engine = create_engine(
            self._url, connect_args=_CONNECT, pool_size=READERS, max_overflow=0, pool_pre_ping=True,
            isolation_level="REPEATABLE READ", **SERIALIZERS,
        )  # fmt: skip
        return engine.execution_options(postgresql_readonly=True)


def _chunks(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[i : i + NAMES] for i in range(0, len(names), NAMES))
