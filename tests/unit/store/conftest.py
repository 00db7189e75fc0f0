# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from octavia_provider.store import SqlStore
from postgresql import postgresql, postgresql_server
from unit.store.opening import opened, sqlite

__all__ = ["postgresql", "postgresql_server"]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may stop this process inside of a transaction for longer than the server takes for a pause."""
    monkeypatch.setattr("octavia_provider.store.postgresql.PAUSED_SECONDS", 60)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a new database, one of each kind in turn."""
    return sqlite(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgresql")


@pytest.fixture
async def store(tmp_path: Path, url: str) -> AsyncIterator[SqlStore]:
    found = opened(tmp_path, url)
    yield found
    await found.close()
