# SPDX-License-Identifier: Apache-2.0
"""The agent's API, as told in ``wire.messages``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from octavia_amphora import __version__, image
from octavia_amphora.apply.errors import PushRefused
from octavia_amphora.apply.load_balancers import LoadBalancers
from octavia_amphora.haproxy import check
from octavia_amphora.heartbeat.sender import HeartbeatSender
from octavia_amphora.options import Options
from octavia_amphora.wire.messages import (
    AgentOptions,
    Info,
    Push,
    Receivers,
    Refusal,
    ServerCertificate,
    TrustBundle,
    VersionStamp,
)

from .http import Request, Response
from .tls import ServerTls, is_controller

log = logging.getLogger("octavia_amphora.server")

# A configuration of 10,000 members is about 3 MB.
MAX_BODY = 64 * 1024 * 1024
_STATUS = {"stale": 409, "conflict": 409, "base": 409, "bad_request": 400, "transient": 503}

T = TypeVar("T")


def _answer(body: object, status: int = 200) -> Response:
    return Response(status, msgspec.json.encode(body), "application/json")


def _body(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PushRefused(Refusal("bad_request", f"the body is not a {kind.__name__}: {error}")) from error


class _NoSuchCall(Exception):
    """This agent has no such method and path."""


class Api:
    """The handlers."""

    def __init__(
        self, options: Options, load_balancers: LoadBalancers, tls: ServerTls, sender: HeartbeatSender
    ) -> None:
        self._settings = options.config
        self._options = options
        self._load_balancers = load_balancers
        self._tls = tls
        self._sender = sender
        self._haproxy_version: str | None = None

    async def answer(self, request: Request) -> Response:
        """Nobody but our control plane; and no traceback leaves here."""
        if not is_controller(request.peer, self._settings.controller):
            log.warning("caller without the controller's name peer=%s", request.remote)
            refusal = Refusal("bad_request", f"the caller's certificate has to name {self._settings.controller}")
            return _answer(refusal, 403)
        try:
            return await self._route(request)
        except _NoSuchCall:
            return _answer(Refusal("bad_request", f"this agent has no {request.method} {request.path}"), 405)
        except PushRefused as error:
            log.info("refused path=%s kind=%s: %s", request.path, error.refusal.kind, error)
            return _answer(error.refusal, _STATUS.get(error.refusal.kind, 422))
        except OSError as error:
            log.warning("failed path=%s: %s", request.path, error)
            return _answer(Refusal("transient", f"cannot be done now: {error}"), 503)
        except Exception as error:  # the caller gets words
            log.exception("failed path=%s", request.path)
            message = f"the agent failed at {request.method} {request.path}: {error}. Its log tells more"
            return _answer(Refusal("failed", message), 500)

    async def _route(self, request: Request) -> Response:
        match request.method, request.path.split("/")[1:]:
            case "GET", ["v1", *what]:
                return _found(await self._look(what))
            case "PUT", ["v1", "load-balancers", identity]:
                return await self._push(identity, _body(request, Push))
            case "DELETE", ["v1", "load-balancers", identity]:
                await self._load_balancers.remove(identity, _body(request, VersionStamp))
            case "PUT", ["v1", "certificate"] if self._tls.renewable:
                self._tls.renew(_body(request, ServerCertificate).pem)
                log.info("certificate renewed")
            case "PUT", ["v1", "authorities"] if self._tls.can_trust_others:
                self._tls.trust(_body(request, TrustBundle).pem)
                log.info("authorities changed")
            case "PUT", ["v1", "receivers"]:
                self._sender.receivers.replace(_body(request, Receivers))
            case "PUT", ["v1", "options"]:
                self._options.change(_body(request, AgentOptions))
                log.info("options changed")
            case _:
                raise _NoSuchCall
        return Response(204)

    async def _look(self, what: Sequence[str]) -> object | None:
        match what:
            case ["info"]:
                return await self._info()
            case ["load-balancers", identity]:
                return await self._load_balancers.status(identity)
            case ["load-balancers", identity, "states"]:
                return await self._load_balancers.states(identity)
            case ["load-balancers", identity, "configuration"]:
                return self._load_balancers.in_force(identity)
        raise _NoSuchCall

    async def _info(self) -> Info:
        if self._haproxy_version is None:
            self._haproxy_version = await check.version(self._settings.haproxy)
        balancers = tuple(one.id for one in self._load_balancers.balancers())
        return Info(
            self._settings.amphora_id,
            __version__,
            self._haproxy_version,
            str(self._sender.boot),
            balancers,
            image.versions(),
        )

    async def _push(self, identity: str, push: Push) -> Response:
        applied = await self._load_balancers.push(identity, push)
        log.info(
            "applied load_balancer=%s revision=%d outcome=%s seconds=%.4f",
            identity, push.stamp.revision, applied.outcome, applied.seconds,
        )  # fmt: skip
        last = (self._sender.boot, self._sender.sequence)
        return _answer(msgspec.structs.replace(applied, heartbeat=last))


def _found(body: object | None) -> Response:
    if body is None:
        return _answer(Refusal("bad_request", "this agent serves no such load balancer"), 404)
    return _answer(body)
