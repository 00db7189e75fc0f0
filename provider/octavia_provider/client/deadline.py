# SPDX-License-Identifier: Apache-2.0
"""A deadline that can be cancelled; it bounds every call to a control plane."""

from __future__ import annotations

import threading
import time

from octavia_provider.model.errors import Interrupted


class Deadline:
    """``seconds`` from now, or until ``cancelled`` is set, whichever comes first."""

    def __init__(self, seconds: float, cancelled: threading.Event | None = None) -> None:
        self.seconds = seconds
        self.cancelled = cancelled or threading.Event()
        self._began = time.monotonic()
        self._end = self._began + seconds

    def remaining(self) -> float:
        """Seconds remaining; 0 when it has passed or was cancelled."""
        return 0.0 if self.cancelled.is_set() else max(0.0, self._end - time.monotonic())

    def elapsed(self) -> float:
        """Seconds since it was set."""
        return time.monotonic() - self._began

    def passed(self) -> bool:
        """Whether it has passed or was cancelled."""
        return self.remaining() <= 0

    def sleep(self, seconds: float) -> bool:
        """Sleep, at most until the deadline; return whether time remains."""
        self.cancelled.wait(min(seconds, self.remaining()))
        return not self.passed()

    def interrupted(self, subject: str, activity: str) -> Interrupted:
        """The error for an ended wait: cancelled, or timed out."""
        if self.cancelled.is_set():
            return Interrupted(f"cancelled while {activity}", subject=subject)
        return Interrupted(f"gave up after {self.seconds:g} s while {activity}", subject=subject)
