# SPDX-License-Identifier: Apache-2.0
"""What is no request that reaches the application, answered as the application answers errors: aiohttp's own are plain text."""

from __future__ import annotations

import asyncio
from functools import partial
from logging import Logger
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError, LineTooLong

from .errors import fault
from .requests import DECODED, UNKNOWN_ENCODING

log = structlog.get_logger(__name__)
LINE_BYTES = 8190
"""Of a request's address, or of one header: what aiohttp's parser takes."""


class JsonRequestHandler(web.RequestHandler):
    """A connection."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the exception has it
    ) -> web.StreamResponse:  # fmt: skip
        """The answer to what could not be parsed, or be handled; the connection ends with it."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun, and no other can follow")
        match exc:
            case ContentEncodingError() if any(name in exc.message for name in DECODED):
                said = "the body cannot be read: it is not what its Content-Encoding says"
            case ContentEncodingError():
                status, said = 415, UNKNOWN_ENCODING
            case LineTooLong():
                said = f"the address or a header has more than {LINE_BYTES} bytes"
            case HttpProcessingError():
                said = f"this is no HTTP request: {exc.message.strip().splitlines()[0].rstrip(':')}"
            case _:
                log.error("request failed", exc_info=exc)
                said = "the control plane failed at this request; its log says why. Try: octaviactl logs"
        response = fault(status, said)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Without bodies that cannot be read: aiohttp reads what is left of one after the answer, which tells of it."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


class Runner(web.AppRunner):
    """Runs an application on such connections."""

    __slots__ = ()

    @property
    def server(self) -> web.Server | None:
        """What makes a handler for each connection."""
        made = super().server
        if made is None:
            return None
        loop = asyncio.get_running_loop()
        return cast("web.Server", partial(JsonRequestHandler, made, loop=loop, access_log=cast("Logger", None)))
