# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from pathlib import Path

from octavia_amphora.haproxy.log_watch import LogWatch


async def test_each_write_is_told_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "haproxy.log"
    path.touch()
    told = asyncio.Event()
    watch = LogWatch(path, told.set)
    watch.open()
    for _ in range(2):
        with path.open("a") as log:
            log.write("[WARNING] Server b/s is DOWN\n")
        await asyncio.wait_for(told.wait(), 30)
        told.clear()
    watch.close()
    path.write_text("more")
    await asyncio.sleep(0)
    assert not told.is_set()
    assert not watch.is_open


async def test_a_file_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    watch = LogWatch(tmp_path / "absent", lambda: None)
    watch.open()
    assert not watch.is_open
