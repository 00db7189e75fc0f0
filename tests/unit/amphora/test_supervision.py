# SPDX-License-Identifier: Apache-2.0
"""Work that has to go on goes on: what ends it is told, and it begins again, later each time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from octavia_amphora import supervision
from octavia_amphora.supervision import supervised


class Work:
    """Fails so often, then returns."""

    def __init__(self, failures: int) -> None:
        self.begun, self.failures = 0, failures

    async def __call__(self) -> None:
        self.begun += 1
        if self.begun <= self.failures:
            raise OSError(28, "No space left on device")


async def test_it_begins_again_later_each_time_until_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(supervision, "LONGEST_PAUSE", 0.004)
    told: list[tuple[str, str, float]] = []
    work = Work(4)
    await supervised("heartbeats", work, on_failure=lambda name, error, pause: told.append((name, str(error), pause)))
    assert work.begun == 5
    assert [pause for _, _, pause in told] == [0.001, 0.002, 0.004, 0.004]
    assert {(name, why) for name, why, _ in told} == {("heartbeats", "[Errno 28] No space left on device")}


async def test_after_a_good_run_it_begins_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(supervision, "STABLE_SECONDS", 0.0)
    pauses: list[float] = []
    await supervised("w", Work(3), on_failure=lambda _name, _error, pause: pauses.append(pause))
    assert pauses == [0.001] * 3


async def test_who_cancels_it_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    failed = asyncio.Event()

    async def work() -> None:
        failed.set()
        raise ValueError("why")

    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(supervised("w", work))
        await failed.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "w failed" in caplog.text
    assert "why" in caplog.text
