# SPDX-License-Identifier: Apache-2.0
"""Calls of OpenStack's services. openstacksdk signs in, finds the endpoints and renews the token; it blocks, so calls are made in a pool."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import keystoneauth1.exceptions as keystone
import openstack
import openstack.config
import openstack.exceptions
import structlog
from keystoneauth1.session import TCPKeepAliveAdapter

from octavia_provider.model.errors import NotFound, OctaviaError, Refused, Unreachable

from . import failures
from .settings import SessionSettings

log = structlog.get_logger(__name__)
Json = dict[str, Any]
SERVICES = {"nova": "compute", "neutron": "network", "glance": "image", "barbican": "key_manager"}
MICROVERSIONS = {"nova": "2.79", "barbican": "1.1"}
"""Of Nova (Train): tags when a server is made, its server groups, soft anti-affinity, faults. Of Barbican (Yoga): consumers of
secrets; an older one has none, and takes the version for nothing."""
OTHERS_TOKEN = "X-Auth-Token"  # noqa: S105 - a header's name
CREDENTIALS = "the cloud's entry in clouds.yaml (--os-cloud NAME), or OS_AUTH_URL and its like in the environment"
_NO_ANSWER = (
    keystone.ConnectFailure, keystone.DiscoveryFailure, keystone.RetriableConnectionFailure,
)  # fmt: skip
_MISCONFIGURED = (
    openstack.exceptions.ConfigException, keystone.MissingRequiredOptions, keystone.AuthPluginException,
    keystone.CatalogException, openstack.exceptions.NotSupported,
)  # fmt: skip


class Session:
    """One signed-in user. ``calls``: how often each service was called, by method."""

    def __init__(self, settings: SessionSettings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(max_workers=settings.workers, thread_name_prefix="octavia-openstack")
        self._signing_in = asyncio.Lock()
        self._connection: Any = None
        self._project_id = ""
        self.calls: Counter[str] = Counter()

    async def sign_in(self) -> None:
        """Have a token; later ones are asked for when they are needed."""
        async with self._signing_in:
            if self._connection is None:
                self._connection = await self._in_pool("keystone", "sign in", self._connect)

    async def user_id(self) -> str:
        """Who we are."""
        await self.sign_in()
        return str(await self._in_pool("keystone", "sign in", lambda: self._connection.current_user_id))

    @property
    def writes(self) -> int:
        """How many calls were made that change something."""
        return sum(count for call, count in self.calls.items() if not call.endswith(" GET"))

    @property
    def project_id(self) -> str:
        """Of the user, once it has signed in."""
        return self._project_id

    @property
    def user(self) -> str:
        """Its name, or its id."""
        return str(self._connection.config.get_auth_args().get("username") or self._connection.current_user_id)

    async def endpoint(self, service: str) -> str | None:
        """Where the catalogue says it is."""
        found: str | None = await self._in_pool(service, service, self._adapter(service).get_endpoint)
        return found

    async def newest_microversion(self, service: str) -> str | None:
        """The newest that it speaks."""

        def ask() -> str | None:
            found = self._adapter(service).get_endpoint_data()
            newest = found and found.max_microversion
            return ".".join(map(str, newest)) if newest else None

        there: str | None = await self._in_pool(service, service, ask)
        return there

    def _adapter(self, service: str) -> Any:
        return getattr(self._connection, SERVICES[service])

    async def get(self, service: str, path: str, **params: Any) -> Json:
        """What is there; ``NotFound`` where it is not."""
        return await self.call(service, "GET", path, params=params)

    async def find(self, service: str, path: str) -> Json | None:
        """What is there, None where it is not."""
        try:
            return await self.get(service, path)
        except NotFound:
            return None

    async def listed(self, service: str, path: str, key: str, **params: Any) -> list[Json]:
        """All of a collection, page by page."""
        found: list[Json] = []
        while True:
            page = await self.get(service, path, **params)
            found += page[key]
            if not page[key] or not any(link.get("rel") == "next" for link in page.get(f"{key}_links", ())):
                return found
            params["marker"] = page[key][-1]["id"]

    async def make(self, service: str, path: str, body: Mapping[str, Any], *, subject: str = "") -> Json:
        """POST; ``subject`` is whose error it is."""
        return await self.call(service, "POST", path, body=body, subject=subject)

    async def put(self, service: str, path: str, body: Mapping[str, Any], *, subject: str = "") -> Json:
        """PUT."""
        return await self.call(service, "PUT", path, body=body, subject=subject)

    async def delete(self, service: str, path: str) -> None:
        """Nothing happens when it is not there."""
        try:
            await self.call(service, "DELETE", path)
        except NotFound:
            return

    async def call(
        self, service: str, method: str, path: str, *, params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None, subject: str = "", text: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Json:  # fmt: skip
        """One call. What is refused is raised in the service's own words. ``text``: the answer is under "text", as it came, and its
        bytes under "content". ``headers``: more of them; with X-Auth-Token it is somebody else who asks."""
        await self.sign_in()
        self.calls[f"{service} {method}"] += 1
        ask = partial(self._ask, service, method, path, params=params, body=body, text=text, headers=headers or {})
        status, answer = await self._in_pool(service, subject or f"{method} {path}", ask)
        if status >= 400:
            raise failures.refusal(service, status, answer["text"], subject or f"{method} {path}")
        return dict(answer)

    async def _in_pool(self, service: str, subject: str, work: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except OctaviaError:
            raise
        except keystone.Unauthorized as error:
            raise failures.refusal("keystone", 401, str(error), subject) from error
        except _MISCONFIGURED as error:
            raise Refused(f"cannot use {service}: {error}", subject=subject, hint=CREDENTIALS) from error
        except _NO_ANSWER as error:
            raise failures.unreachable(service, error, subject) from error
        except keystone.HttpError as error:
            raise failures.refusal("keystone", error.http_status or 500, str(error), subject) from error
        except (keystone.ClientException, openstack.exceptions.SDKException) as error:
            raise Unreachable(f"{service}: {error}", subject=subject, hint=failures.AGAIN) from error

    def _connect(self) -> Any:
        given = {"cloud": self._settings.cloud, "region_name": self._settings.region}
        connect: Any = openstack.connect
        connection = connect(
            **{name: value for name, value in given.items() if value}, api_timeout=self._settings.timeout,
            app_name="octavia-as-code",
        )  # fmt: skip
        # As many connections are kept to each service as there are calls at once; without this 10, and more are opened for one call each.
        for scheme in ("http://", "https://"):
            connection.session.mount(scheme, TCPKeepAliveAdapter(pool_maxsize=self._settings.workers))
        try:
            connection.session.get_token()
        except _MISCONFIGURED:
            raise
        except keystone.ClientException as error:
            raise failures.not_signed_in(error, _source(connection)) from error
        for attribute in ("compute", "network", "image"):  # found before calls are made at once
            getattr(connection, attribute).get_endpoint()
        with contextlib.suppress(*_MISCONFIGURED):  # not every cloud has Barbican
            connection.key_manager.get_endpoint()
        self._project_id = str(connection.current_project_id)  # once: it may ask Keystone
        log.info("openstack.signed_in", project=self._project_id)
        return connection

    def _ask(
        self, service: str, method: str, path: str, *, params: Mapping[str, Any] | None, body: Mapping[str, Any] | None,
        text: bool, headers: Mapping[str, str],
    ) -> tuple[int, Json]:  # fmt: skip
        adapter = self._adapter(service)
        more: Json = {"microversion": MICROVERSIONS[service]} if service in MICROVERSIONS else {}
        ours = OTHERS_TOKEN not in headers
        if body is not None:
            more["json"] = body
        # What changes something may have taken effect where no answer came: it is looked up before it is asked for again.
        send = partial(
            adapter.request, path, method, params=dict(params or {}), raise_exc=False, connect_retries=int(method == "GET"),
            headers=dict(headers), authenticated=ours, **more,
        )  # fmt: skip
        answer = send()
        if (
            answer.status_code == 401 and ours
        ):  # of two calls that find it expired, keystoneauth repeats the first alone
            answer = send()
        if answer.status_code >= 400 or text:
            return answer.status_code, {"text": answer.text, "content": answer.content}
        return answer.status_code, answer.json() if answer.content and "json" in answer.headers.get(
            "content-type", ""
        ) else {}

    async def close(self) -> None:
        """What is under way comes to its end by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)


def _source(connection: Any) -> str:
    """Where the login is written, and which Keystone it is for."""
    name, auth_url = connection.config.name, connection.config.get_auth_args().get("auth_url")
    file = openstack.config.OpenStackConfig().config_filename
    where = f"cloud {name!r} of {file}" if file and name not in ("envvars", "defaults") else "OS_* in the environment"
    return f"{where} (auth_url {auth_url})"
