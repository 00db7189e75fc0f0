# SPDX-License-Identifier: Apache-2.0
"""What older code wrote in plain text and this code keeps encrypted: it is encrypted when the store is opened."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, select, update

from . import rows
from .cipher import Cipher
from .tables import OBJECTS


def seal(engine: Engine, cipher: Cipher) -> None:
    """Encrypt it, and take the plain text out of the file's free pages too."""
    query = select(OBJECTS.c.id, OBJECTS.c.kind, OBJECTS.c.spec, OBJECTS.c.accepted).where(
        OBJECTS.c.kind.in_(rows.SECRET_KINDS)
    )
    with engine.begin() as connection:
        found = [row for row in connection.execute(query) if _plain(row.spec) or _plain(row.accepted)]
        for row in found:
            sealed = {name: _sealed(row, getattr(row, name), cipher) for name in ("spec", "accepted")}
            connection.execute(update(OBJECTS).where(OBJECTS.c.id == row.id).values(**sealed))
    if found and engine.url.database:
        with (
            contextlib.suppress(sqlite3.Error),  # a full disk: what is left in free pages is written over one day
            contextlib.closing(sqlite3.connect(engine.url.database, isolation_level=None)) as database,
        ):
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _plain(form: Mapping[str, Any] | None) -> bool:
    return form is not None and any(isinstance(form.get(name), Mapping) and form[name] for name in rows.HIDDEN_MAPS)


def _sealed(row: Any, form: Mapping[str, Any] | None, cipher: Cipher) -> Any:
    return rows.sealed(row.kind, row.id, form, cipher) if form is not None and _plain(form) else form
