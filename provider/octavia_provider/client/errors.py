# SPDX-License-Identifier: Apache-2.0
"""HTTP error responses of the API → the errors of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavia_provider.model.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OctaviaError,
    PermanentError,
    TransientError,
    Unauthenticated,
    Unreachable,
    Violation,
)

_ERROR_TYPES: Mapping[int, type[OctaviaError]] = {
    401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 502: Unreachable, 504: Unreachable,
}  # fmt: skip
_HINTS: Mapping[int, str] = {
    401: "name a cloud: the provider's `cloud` or `authUrl`, or OS_CLOUD (docs/how-to/users.md)", 500: "octaviactl logs",
}  # fmt: skip


def from_response(status: int, body: Any, *, subject: str, retry_after: str | None = None) -> OctaviaError:
    """The error for a status of 400 or above; ``body`` is its JSON, or None."""
    fault: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    message = str(fault.get("faultstring") or f"the control plane answered {status} without saying why")
    violations = [_violation(item) for item in fault.get("violations") or ()]
    if status == 400:
        return Invalid(violations or [Violation((), message)], subject=subject)
    if status in (404, 409) and violations:  # a conflict or a missing reference, with its path
        error_type_for_path = NotFound if status == 404 else Conflict
        return error_type_for_path(violations[0].message, subject=subject, path=violations[0].path)
    if status in {429, 503}:
        return TransientError(message, subject=subject, retry_after=_seconds(retry_after))
    error_type = _ERROR_TYPES.get(status, PermanentError)
    return error_type(message, subject=subject, hint=_HINTS.get(status, ""))


def _violation(item: Mapping[str, Any]) -> Violation:
    return Violation(tuple(item.get("path") or ()), str(item.get("message", "")))


def _seconds(retry_after: str | None) -> float:
    try:
        return max(0.1, float(retry_after or 1))
    except ValueError:  # Retry-After may be a date (RFC 9110, 10.2.3); a second is a fair guess then
        return 1.0
