# SPDX-License-Identifier: Apache-2.0
"""A look into the store while no control plane runs: what there is by name, for people. Writes nothing, migrates nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """One object as the store has it; secrets in ``spec`` are sealed."""

    kind: str
    id: str
    name: str
    spec: Mapping[str, Any]


def objects(database: Path) -> list[Known]:
    """All objects that are not being deleted, in the order of their creation; none where there is no database.

    ``OSError`` where it cannot be read.
    """
    if not database.exists():
        return []
    rows = _read(database, "SELECT kind, id, name, spec FROM objects WHERE NOT deleting ORDER BY position")
    try:
        return [Known(kind, id_, name, json.loads(spec)) for kind, id_, name, spec in rows]
    except ValueError as error:
        raise OSError(f"{database} cannot be read: {error}") from error


def amphorae(database: Path) -> list[tuple[str, str]]:
    """(amphora id, load balancer id); ``OSError`` as with :func:`objects`."""
    return _read(database, "SELECT id, load_balancer_id FROM amphorae") if database.exists() else []


def scopes(database: Path) -> list[str]:
    """The ids of all that something has to be brought about for, also of what is being deleted; ``OSError`` as with :func:`objects`."""
    return [id_ for (id_,) in _read(database, "SELECT id FROM scopes")] if database.exists() else []


def control_plane_id(database: Path) -> str | None:
    """Whose store it is; None where there is none. ``OSError`` as with :func:`objects`."""
    found = _read(database, "SELECT control_plane_id FROM installation") if database.exists() else []
    return str(found[0][0]) if found else None


def _read(database: Path, query: str) -> list[Any]:
    try:
        connection = sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise OSError(f"{database} cannot be read: {error}") from error
