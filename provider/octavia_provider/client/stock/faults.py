# SPDX-License-Identifier: Apache-2.0
"""What Octavia, or a proxy before it, answers instead of an object → the errors of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from octavia_provider.model.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OctaviaError,
    PermanentError,
    Refused,
    TransientError,
    Unauthenticated,
    Unreachable,
    Violation,
)

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIELD = re.compile(r"field/attribute '?(?:[a-z_]+\.)*([a-z0-9_]+)'?")
_BUSY = ("is immutable", "Invalid state PENDING_")


class Busy(Conflict):
    """409: another change is under way; the same request can be made when it is in force. ``balancer``: whose id it names."""

    def __init__(self, message: str, *, subject: str) -> None:
        super().__init__(message, subject=subject)
        found = _UUID.search(message) if "oad" in message else None  # "Load Balancer …", "loadbalancer resource …"
        self.balancer = found.group() if found else ""


class ServiceFailed(TransientError):
    """500: a defect, or a database that was busy."""


def said(body: Any) -> str:
    """Octavia's own words; "" where there are none."""
    fault: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    nested = fault.get("error")
    inner: Mapping[str, Any] = nested if isinstance(nested, Mapping) else {}
    words: Sequence[Any] = (
        fault.get("faultstring"),
        fault.get("description"),
        inner.get("message"),
        fault.get("message"),
    )
    return next((str(word) for word in words if word), "")


def from_response(status: int, body: Any, *, subject: str, retry_after: float) -> OctaviaError:
    """The error for a status of 400 or above; ``body`` is its JSON, or None."""
    message = said(body) or f"Octavia answered {status} without saying why"
    if status == 400:
        field = _FIELD.search(message)
        return Invalid([Violation((field.group(1),) if field else (), message)], subject=subject)
    if status == 409:
        return (Busy if any(word in message for word in _BUSY) else Conflict)(message, subject=subject)
    if status in _TRANSIENT:
        return _TRANSIENT[status](message, subject=subject, retry_after=retry_after)
    hint = "look at the login of the provider" if status == 401 else ""
    return _PERMANENT.get(status, PermanentError)(message, subject=subject, hint=hint)


_TRANSIENT: Mapping[int, type[TransientError]] = {
    429: TransientError, 500: ServiceFailed, 502: Unreachable, 503: TransientError, 504: Unreachable,
}  # fmt: skip
_PERMANENT: Mapping[int, type[PermanentError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 501: Refused}
