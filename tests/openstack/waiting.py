# SPDX-License-Identifier: Apache-2.0
"""Waiting for what is seen by calls of OpenStack, which are dear: each list of servers costs Nova as much as a boot's own calls do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
SLOW = 180.0
"""Seconds that a boot may take where the machine has much else to do."""


def until(condition: Callable[[], T], *, seconds: float = SLOW, what: str = "") -> T:
    """Wait until ``condition`` answers something true, and answer that; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}; last: {found!r}"
        time.sleep(0.25)  # the rate at which the condition is looked at; what is waited for is the condition
    return found
