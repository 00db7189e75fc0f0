# SPDX-License-Identifier: Apache-2.0
"""One write at a time for each load balancer: Octavia answers 409 to a second one until the first is in force.

The engine makes many calls at once. Those of one load balancer take turns here, so that none of them asks in vain; those of
others, and other processes, are met with the 409 that is waited out (``service``).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from octavia_provider.client.deadline import Deadline

SLICE = 0.5
"""Seconds after which a waiting call looks whether it was cancelled."""


class Turns:
    """The locks, by the load balancer's id; and whose object is whose, as far as this process has seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._balancers: dict[str, str] = {}

    def learn(self, id: str, balancer: str) -> None:  # noqa: A002
        """An object is of this load balancer."""
        if id and balancer:
            with self._lock:
                self._balancers[id] = balancer

    def balancer_of(self, id: str) -> str | None:  # noqa: A002
        """The load balancer of an object, where it is known."""
        with self._lock:
            return self._balancers.get(id)

    @contextmanager
    def turn(self, balancer: str, deadline: Deadline, subject: str) -> Iterator[None]:
        """Wait for the turn. ``Interrupted`` when the deadline passes before."""
        with self._lock:
            lock = self._locks.setdefault(balancer, threading.Lock())
        while not lock.acquire(timeout=max(0.01, min(SLICE, deadline.remaining()))):
            if deadline.passed():
                raise deadline.interrupted(subject, f"waiting for other changes of load balancer {balancer}")
        try:
            yield
        finally:
            lock.release()
