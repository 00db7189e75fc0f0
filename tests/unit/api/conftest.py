# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from unit.api import settling


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[settling.Plane]:
    async with settling.plane(tmp_path) as found:
        yield found
