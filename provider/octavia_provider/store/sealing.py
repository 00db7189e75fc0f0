# SPDX-License-Identifier: Apache-2.0
"""What older code wrote in plain text and this code keeps encrypted: it is encrypted when the store is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, select, update

from . import rows
from .cipher import Cipher
from .tables import OBJECTS


def seal(engine: Engine, cipher: Cipher) -> bool:
    """Encrypt it; whether there was something."""
    query = select(OBJECTS.c.id, OBJECTS.c.kind, OBJECTS.c.spec, OBJECTS.c.accepted).where(
        OBJECTS.c.kind.in_(rows.SECRET_KINDS)
    )
    with engine.begin() as connection:
        found = [row for row in connection.execute(query) if _plain(row.spec) or _plain(row.accepted)]
        for row in found:
            sealed = {name: _sealed(row, getattr(row, name), cipher) for name in ("spec", "accepted")}
            connection.execute(update(OBJECTS).where(OBJECTS.c.id == row.id).values(**sealed))
    return bool(found)


def _plain(form: Mapping[str, Any] | None) -> bool:
    return form is not None and any(isinstance(form.get(name), Mapping) and form[name] for name in rows.HIDDEN_MAPS)


def _sealed(row: Any, form: Mapping[str, Any] | None, cipher: Cipher) -> Any:
    return rows.sealed(row.kind, row.id, form, cipher) if form is not None and _plain(form) else form
