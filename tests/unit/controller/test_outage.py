# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.controller import outage as module
from octavia_provider.controller.outage import Outage
from octavia_provider.model.errors import Unreachable


class Log:
    """What is logged: level, event, the rest."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, dict[str, Any]]] = []

    def warning(self, event: str, **more: Any) -> None:
        self.said.append(("warning", event, more))

    def info(self, event: str, **more: Any) -> None:
        self.said.append(("info", event, more))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(module, "log", made)
    return made


def test_an_outage_is_told_of_when_it_begins_and_when_it_ends_and_pauses_grow(log: Log) -> None:
    now = 0.0
    outage, error, pauses = Outage(lambda: now, 10.0), Unreachable("does not answer", subject="Keystone"), []
    for _ in range(8):
        pauses.append(outage.failed("look", error))
        now += pauses[-1]
    assert pauses == [1, 1, 2, 4, 8, 10, 10, 10]
    outage.failed("start", error)
    outage.over("look")
    assert len(log.said) == 1, "what else is tried still fails"
    outage.over("start")
    outage.over("start")
    assert log.said == [
        ("warning", "cloud.unreachable", {"reason": "Keystone: does not answer"}),
        ("info", "cloud.reachable", {"seconds": now}),
    ]


def test_a_cloud_of_this_machine_is_tried_each_second() -> None:
    now = 0.0
    outage = Outage(lambda: now, 1.0)
    for _ in range(5):
        assert outage.failed("start", OSError("no")) == 1.0
        now += 20
