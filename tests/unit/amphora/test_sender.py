# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from octavia_amphora.heartbeat.sender import HeartbeatSender

SETTINGS: Any = SimpleNamespace(amphora_id="a", heartbeat_key="00", receivers=(), heartbeat_interval=60.0)
IDLE: Any = SimpleNamespace(balancers=list)


class Wake(asyncio.Event):
    """Tells when the sender waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.awaited.set()
        return await super().wait()


async def test_it_ends_when_it_is_cancelled_in_the_moment_in_which_it_is_woken(tmp_path: Path) -> None:
    """Or the agent does not end: a push wakes it, and the signal comes right after."""
    settings: Any = SimpleNamespace(**vars(SETTINGS), state_directory=str(tmp_path))
    for turns in range(4):
        wake = Wake()
        running = asyncio.ensure_future(HeartbeatSender(settings, IDLE, wake).run())
        await wake.awaited.wait()
        wake.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 20)
