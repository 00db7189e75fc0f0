# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from octavia_provider.controller.event_recorder import ControlPlaneEvents
from octavia_provider.model.errors import TransientError
from octavia_provider.model.events import Reason


class UnwritableStore:
    async def write(self, work: Any) -> None:
        raise TransientError("cannot be used now")


async def test_what_cannot_be_recorded_is_in_the_log__and_is_nobody_elses_failure() -> None:
    events = ControlPlaneEvents(UnwritableStore(), "one")  # type: ignore[arg-type]
    with capture_logs() as logged:
        await events.record(Reason.CloudLost, "it does not answer")
    assert [(one["event"], one["about"]) for one in logged] == [("event not recorded", "CloudLost")]
