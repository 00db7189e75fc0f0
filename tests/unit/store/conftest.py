# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from octavia_provider.store import SqlStore
from unit.store.opening import opened


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    found = opened(tmp_path)
    yield found
    await found.close()
