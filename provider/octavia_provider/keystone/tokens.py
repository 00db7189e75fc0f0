# SPDX-License-Identifier: Apache-2.0
"""Tokens, validated by Keystone and remembered for five minutes: keystonemiddleware does it, which is WSGI and blocks.

It is called with a request of its own, on few threads, and answers by what it writes into that request's environment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.util import setup_testing_defaults

import structlog

from octavia_provider.model.errors import Unauthenticated, Unreachable
from octavia_provider.ports import Caller

from .library import needed

log = structlog.get_logger(__name__)
THREADS = 4
CONNECT_SECONDS, ANSWER_SECONDS = 10, 30.0
"""How long Keystone may take to be connected to, and to answer with all repetitions."""
TOKENS = ("X-Auth-Token", "X-Service-Token")
SERVICE_TYPE = "load-balancer"


class KeystoneIdentity:
    """Asks Keystone, as the user that ``auth`` describes: keystonemiddleware's options, such as ``auth_url`` and ``username``."""

    def __init__(self, auth: Mapping[str, Any], *, memcached_servers: str | None = None) -> None:
        with needed():
            from keystonemiddleware import auth_token
            from oslo_config import cfg
            from oslo_context.context import RequestContext
        options = {
            **{name: value for name, value in auth.items() if value is not None},
            "service_type": SERVICE_TYPE,  # application credentials may be for some calls alone
            "service_token_roles_required": True,
            "http_connect_timeout": CONNECT_SECONDS,
            "http_request_max_retries": 1,
            "memcached_servers": memcached_servers,
        }
        conf = cfg.ConfigOpts()
        conf([], project="octavia", default_config_files=[], default_config_dirs=[])
        logging.getLogger("keystonemiddleware").setLevel(
            logging.ERROR
        )  # it warns of its own options, and of each bad token
        self._middleware = auth_token.AuthProtocol(_admitted, {"oslo_config_config": conf, **options})
        self._context = RequestContext
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="keystone")
        self.challenge = f'Keystone uri="{auth.get("www_authenticate_uri") or auth.get("auth_url", "")}"'

    async def caller(self, method: str, path: str, headers: Mapping[str, str]) -> Caller:
        """As ``ports.Identity``."""
        tokens = {name: headers[name] for name in TOKENS if headers.get(name)}
        if TOKENS[0] not in tokens:
            raise Unauthenticated("this request has no token", hint="send one of Keystone's in X-Auth-Token")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await loop.run_in_executor(self._threads, self._ask, method, path, tokens)
        except TimeoutError:
            raise Unreachable(f"has not answered for {ANSWER_SECONDS:g} s", subject="Keystone") from None

    async def close(self) -> None:
        """As ``ports.Identity``."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, method: str, path: str, tokens: Mapping[str, str]) -> Caller:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path}
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": token for name, token in tokens.items()}
        setup_testing_defaults(environ)
        answered: list[str] = []
        try:
            for _ in self._middleware(environ, lambda status, *_: answered.append(status)):
                pass
        except Exception as error:  # noqa: BLE001 - of keystoneauth's many, whatever it is, nobody can tell who asks
            log.warning("Keystone cannot be asked", error=str(error))
            raise Unreachable(f"cannot be asked: {error}", subject="Keystone") from None
        match int(answered[0].split()[0]):
            case 200:
                return self._known(environ)
            case 401:
                raise Unauthenticated("the token is not valid, or has expired", hint="get another one from Keystone")
            case _:
                raise Unreachable(f"cannot be asked now ({answered[0]})", subject="Keystone", retry_after=5.0)

    def _known(self, environ: dict[str, Any]) -> Caller:
        context = self._context.from_environ(environ)
        credentials = {**context.to_policy_values(), "is_admin": False}
        return Caller(user_id=context.user_id or "", project_id=context.project_id, credentials=credentials)


def _admitted(_environ: Mapping[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """What stands behind the middleware: it is reached with a valid token alone."""
    start("200 OK", [])
    return []
