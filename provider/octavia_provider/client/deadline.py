# SPDX-License-Identifier: Apache-2.0
"""A deadline that can be cancelled: what bounds every call to a control plane."""

from __future__ import annotations

import threading
import time

from octavia_provider.model.errors import Interrupted


class Deadline:
    """So many seconds from now, or until ``cancelled`` is set, whichever is first."""

    def __init__(self, seconds: float, cancelled: threading.Event | None = None) -> None:
        self.seconds = seconds
        self.cancelled = cancelled or threading.Event()
        self._began = time.monotonic()
        self._end = self._began + seconds

    def remaining(self) -> float:
        """Seconds left; 0 when it has passed or was cancelled."""
        return 0.0 if self.cancelled.is_set() else max(0.0, self._end - time.monotonic())

    def elapsed(self) -> float:
        """Seconds since it was set."""
        return time.monotonic() - self._began

    def passed(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self.remaining() <= 0

    def sleep(self, seconds: float) -> bool:
        """Rest, no longer than what is left; True when there is something left afterwards."""
        self.cancelled.wait(min(seconds, self.remaining()))
        return not self.passed()

    def interrupted(self, subject: str, activity: str) -> Interrupted:
        """The error that says why the waiting ended."""
        if self.cancelled.is_set():
            return Interrupted(f"cancelled while {activity}", subject=subject)
        return Interrupted(f"gave up after {self.seconds:g} s while {activity}", subject=subject)
