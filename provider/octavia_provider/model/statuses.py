# SPDX-License-Identifier: Apache-2.0
"""Provisioning and operating statuses, in Octavia's words (octavia-lib ``constants``)."""

from __future__ import annotations

ACTIVE = "ACTIVE"
PENDING_CREATE = "PENDING_CREATE"
PENDING_UPDATE = "PENDING_UPDATE"
PENDING_DELETE = "PENDING_DELETE"
ERROR = "ERROR"

ONLINE = "ONLINE"
OFFLINE = "OFFLINE"
DEGRADED = "DEGRADED"
DRAINING = "DRAINING"
NO_MONITOR = "NO_MONITOR"
UNKNOWN = "UNKNOWN"
"""Ours, in `octaviactl status` and its API alone: nobody has told yet."""

PENDING = frozenset({PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE})
PROVISIONING = (ACTIVE, PENDING_CREATE, PENDING_UPDATE, PENDING_DELETE, ERROR, "DELETED")  # the last: Octavia's alone
OPERATING = (ONLINE, OFFLINE, DEGRADED, ERROR, DRAINING, NO_MONITOR)


def provisioning(*, generation: int, applied: int, accepted: bool, deleting: bool, error: str | None) -> str:
    """The provisioning status of one object.

    ``generation`` is the one its last write raised, ``applied`` the newest that is in force; ``accepted`` says whether
    any form of it has been in force.
    """
    if deleting:
        return PENDING_DELETE
    if generation > applied:
        return PENDING_UPDATE if accepted else PENDING_CREATE
    return ERROR if error else ACTIVE
