# SPDX-License-Identifier: Apache-2.0
"""The agent's API, as told in ``wire.messages``."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from octavia_amphora import __version__
from octavia_amphora.apply.engine import Engine
from octavia_amphora.apply.errors import Refused
from octavia_amphora.haproxy import check
from octavia_amphora.wire.messages import Info, Push, Refusal, Settings, Stamp

from .tls import is_controller

log = logging.getLogger("octavia_amphora.server")

# A configuration of 10,000 members is about 3 MB.
MAX_BODY = 64 * 1024 * 1024
_STATUS = {"stale": 409, "conflict": 409, "base": 409, "bad_request": 400}

T = TypeVar("T")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _answer(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise Refused(Refusal("bad_request", f"the body is not a {kind.__name__}: {error}")) from error


class Api:
    """The handlers."""

    def __init__(self, settings: Settings, engine: Engine, boot: int) -> None:
        self._settings = settings
        self._engine = engine
        self._boot = boot
        self._haproxy_version: str | None = None

    def application(self) -> web.Application:
        """The routes behind the guard."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        one = "/v1/load-balancers/{id}"
        app.router.add_get("/v1/info", self._info)
        app.router.add_put(one, self._push)
        app.router.add_get(one, self._standing)
        app.router.add_get(f"{one}/states", self._states)
        app.router.add_delete(one, self._remove)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Nobody but our control plane; and no traceback leaves here."""
        certificate = request.transport.get_extra_info("peercert") if request.transport else None
        if not is_controller(certificate, self._settings.controller):
            log.warning("caller without the controller's name peer=%s", request.remote)
            refusal = Refusal("bad_request", f"the caller's certificate has to name {self._settings.controller}")
            return _answer(refusal, 403)
        try:
            return await handler(request)
        except Refused as error:
            log.info("refused path=%s kind=%s: %s", request.path, error.refusal.kind, error)
            return _answer(error.refusal, _STATUS.get(error.refusal.kind, 422))
        except web.HTTPException:
            raise
        except Exception as error:  # the caller gets words
            log.exception("failed path=%s", request.path)
            message = f"the agent failed at {request.method} {request.path}: {error}. Its log tells more"
            return _answer(Refusal("failed", message), 500)

    async def _info(self, _request: web.Request) -> web.Response:
        if self._haproxy_version is None:
            self._haproxy_version = await check.version(self._settings.haproxy)
        balancers = tuple(one.id for one in self._engine.balancers())
        info = Info(self._settings.amphora_id, __version__, self._haproxy_version, str(self._boot), balancers)
        return _answer(info)

    async def _push(self, request: web.Request) -> web.Response:
        push = await _body(request, Push)
        applied = await self._engine.push(request.match_info["id"], push)
        log.info(
            "applied load_balancer=%s revision=%d outcome=%s seconds=%.4f",
            request.match_info["id"], push.stamp.revision, applied.outcome, applied.seconds,
        )  # fmt: skip
        return _answer(applied)

    async def _standing(self, request: web.Request) -> web.Response:
        return _found(await self._engine.standing(request.match_info["id"]))

    async def _states(self, request: web.Request) -> web.Response:
        return _found(await self._engine.states(request.match_info["id"]))

    async def _remove(self, request: web.Request) -> web.Response:
        stamp = await _body(request, Stamp)
        await self._engine.remove(request.match_info["id"], stamp)
        return web.Response(status=204)


def _found(body: object | None) -> web.Response:
    if body is None:
        return _answer(Refusal("bad_request", "this agent serves no such load balancer"), 404)
    return _answer(body)
