# SPDX-License-Identifier: Apache-2.0
"""GET /healthcheck, as Octavia's (oslo.middleware's healthcheck): for a proxy in front, and whoever looks after services."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web

from .context import CONTEXT
from .errors import answer

log = structlog.get_logger(__name__)
SECONDS = 5.0
"""How long the store may take to answer."""


async def healthcheck(request: web.Request) -> web.Response:
    """200 where requests can be answered, else 503; ``Accept: application/json`` asks for the reason. Open to everybody."""
    status, reason = await _state(request)
    if "json" in request.headers.get("Accept", ""):
        response = answer({"detailed": False, "reasons": [reason]}, status)
    else:
        response = web.Response(text=reason, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response


async def _state(request: web.Request) -> tuple[int, str]:
    try:
        async with asyncio.timeout(SECONDS):
            await request.app[CONTEXT].store.read(lambda tx: tx.control_planes())
    except TimeoutError:
        return 503, f"the store has not answered for {SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - whatever it is, requests would fail too
        log.warning("unhealthy", reason=str(error))
        return 503, "the store does not answer"
    return 200, "OK"
