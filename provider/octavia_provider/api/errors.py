# SPDX-License-Identifier: Apache-2.0
"""Errors as Octavia's API shows them, with the violations beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from aiohttp import web

from octavia_provider.model import echo
from octavia_provider.model.errors import (
    WHOLE,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OctaviaError,
    PermanentError,
    TransientError,
    Unauthenticated,
    Violation,
)

log = structlog.get_logger(__name__)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(body), status=status, headers=headers, content_type="application/json")


def fault(status: int, message: str, violations: Sequence[Violation] = ()) -> web.Response:
    """An error: one line fit for a user, and where it is known, each property that is wrong."""
    message = echo.message(message, WHOLE)
    body = {
        "faultcode": "Client" if status < 500 else "Server",
        "faultstring": message,
        "debuginfo": None,
        "violations": [{"path": list(v.path), "message": v.message} for v in violations],
    }
    return answer(body, status)


def explain(error: Exception, request: web.Request) -> web.Response:
    """The answer to an error of any kind."""
    match error:
        case OctaviaError():
            return _ours(error)
        case web.HTTPNotFound():
            return fault(404, f"{request.rel_url.raw_path}: this API has no such address")
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            response = fault(
                405, f"{request.rel_url.raw_path}: this API has no {request.method} of this address, but {allowed}"
            )
            response.headers["Allow"] = allowed  # RFC 9110, section 15.5.6
            return response
        case web.RequestPayloadError():
            encoding = request.headers.get("Content-Encoding", "")
            why = f"it is not {encoding}, as its Content-Encoding says" if encoding else "it is not whole"
            return _closed(fault(400, f"the body cannot be read: {why}"))
        case web.HTTPException():
            said = fault(error.status, f"{error.reason}: {error.text or ''}".split("\n", maxsplit=1)[0])
            return _closed(said) if error.status == web.HTTPRequestEntityTooLarge.status_code else said
        case _:
            log.error("request failed", exc_info=error)
            return fault(500, "the control plane failed at this request; its log says why. Try: octaviactl logs")


def _closed(response: web.Response) -> web.Response:
    """The connection ends with it: what is left of the body would be taken for the next request."""
    response.force_close()
    return response


_STATUS: Mapping[type[OctaviaError], int] = {
    Invalid: 400, NotFound: 404, Conflict: 409, Forbidden: 403,
    Unauthenticated: 401, PermanentError: 400, TransientError: 503,
}  # fmt: skip


def _ours(error: OctaviaError) -> web.Response:
    violations: Sequence[Violation] = ()
    if isinstance(error, Invalid):
        violations = error.violations
    elif isinstance(error, (NotFound, Conflict, Forbidden)) and error.path:
        violations = [Violation(error.path, error.message)]
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    response = fault(status, str(error), violations)
    if isinstance(error, Unauthenticated) and error.challenge:
        response.headers["WWW-Authenticate"] = error.challenge
    if isinstance(error, TransientError):
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response
