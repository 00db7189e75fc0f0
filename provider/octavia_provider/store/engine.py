# SPDX-License-Identifier: Apache-2.0
"""The database that a URL names. One engine writes, over one connection that the writer thread keeps; another reads,
and cannot write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError

from octavia_provider.model.errors import Refused

HINT = "sqlite:////path/to/octavia.db, or postgresql://user@host/database"


class Database(Protocol):
    """What differs between databases; see ``sqlite`` and ``postgresql``."""

    advice: str
    """What to do where it cannot be used."""

    def engines(self) -> tuple[Engine, Engine]:
        """The writing engine and the reading one."""
        ...

    def installed(self) -> bool:
        """Whether there is a database that was set up: not a missing or empty one. Nothing is made or changed."""
        ...

    def now(self, connection: Connection, /) -> float:
        """Seconds since the epoch, by a clock that all who share the database share."""
        ...

    def announce(self, connection: Connection, scopes: Iterable[str]) -> None:
        """Tell other processes what this transaction wrote, once it is committed."""
        ...

    def listen(self, wake: Callable[[Iterable[str]], None]) -> None:
        """Call ``wake``, in any thread, with what other processes have written."""
        ...

    def vacuum(self) -> None:
        """Take what was written over out of the database's files, where it would stay there."""
        ...

    def copy(self, path: Path, control_plane_id: str) -> None:
        """Write a copy of the whole to a file, replacing it; ``OSError`` where it cannot be."""
        ...

    def close(self) -> None:
        """End listening."""
        ...


def database(url: str) -> Database:
    """The database of a URL; ``Refused`` where it is none of ours."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise Refused("is not the URL of a database", subject="the database", hint=HINT) from None
    match parsed.get_backend_name():
        case "sqlite":
            from .sqlite import Sqlite

            return Sqlite(parsed)
        case "postgresql":
            from .postgresql import Postgresql

            return Postgresql(parsed)
    shown = parsed.render_as_string(hide_password=True)
    raise Refused(f"{shown} is neither SQLite nor PostgreSQL", hint=HINT)


def engines(url: str) -> tuple[Engine, Engine]:
    """The writing engine and the reading one of the database at this URL."""
    return database(url).engines()
