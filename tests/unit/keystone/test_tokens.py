# SPDX-License-Identifier: Apache-2.0
"""Against a Keystone of a few lines: what it says is what Keystone's API reference has."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from octavia_provider.keystone.tokens import KeystoneIdentity
from octavia_provider.model.errors import Unauthenticated, Unreachable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of WebOb, which imports cgi
PATH = "/v2/lbaas/loadbalancers"


class Keystone:
    """``asked``: the tokens that it was asked about. ``status``: of all its answers about tokens, where it is not well."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200

    async def issue(self, _request: web.Request) -> web.Response:
        return web.json_response(_token("octavia", "service"), status=201, headers={"X-Subject-Token": "service"})

    async def validate(self, request: web.Request) -> web.Response:
        self.asked.append(request.headers["X-Subject-Token"])
        if self.status != 200:
            return web.Response(status=self.status)
        if self.asked[-1] == "stale":
            return web.json_response(_token("ann", "red", minutes=-1))
        return web.json_response(_token("ann", "red")) if self.asked[-1] == "good" else web.Response(status=404)

    async def versions(self, request: web.Request) -> web.Response:
        links = [{"rel": "self", "href": str(request.url.with_path("/v3"))}]
        return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": links}})


def _token(user: str, project: str, *, minutes: int = 10) -> dict[str, object]:
    domain, expires = {"id": "default", "name": "Default"}, dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    return {
        "token": {
            "user": {"id": user, "name": user, "domain": domain}, "methods": ["password"], "catalog": [],
            "project": {"id": project, "name": project, "domain": domain},
            "roles": [{"id": "1", "name": "member"}, {"id": "2", "name": "reader"}],
            "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
        }
    }  # fmt: skip


@pytest.fixture
async def keystone() -> AsyncIterator[tuple[Keystone, KeystoneIdentity]]:
    service, app = Keystone(), web.Application()
    app.router.add_get("/v3", service.versions)
    app.router.add_post("/v3/auth/tokens", service.issue)
    app.router.add_get("/v3/auth/tokens", service.validate)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v3"
    identity = KeystoneIdentity({
        "auth_type": "password", "auth_url": url, "username": "octavia", "password": "p", "project_name": "service",
        "user_domain_name": "Default", "project_domain_name": "Default", "region_name": None,
    })  # fmt: skip
    # The user is no admin of a catalogue here: Keystone is where it was logged on.
    identity._middleware._identity_server._adapter.endpoint_override = url
    yield service, identity
    await identity.close()
    await runner.cleanup()


async def test_a_token_tells_who_asks__and_is_asked_about_once(keystone: tuple[Keystone, KeystoneIdentity]) -> None:
    service, identity = keystone
    for _ in range(3):
        caller = await identity.caller("GET", PATH, {"X-Auth-Token": "good", "X-Roles": "admin"})
    assert (caller.user_id, caller.project_id) == ("ann", "red")
    assert set(caller.credentials["roles"]) == {"member", "reader"}
    assert service.asked == ["good"]
    assert "good" not in repr(caller)


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": ""}, {"X-Auth-Token": "bad"}, {"X-Auth-Token": "stale"}])
async def test_without_a_valid_token_nobody_asks(
    keystone: tuple[Keystone, KeystoneIdentity], headers: dict[str, str]
) -> None:
    with pytest.raises(Unauthenticated):
        await keystone[1].caller("GET", PATH, headers)


async def test_a_keystone_that_fails_refuses_nobody(keystone: tuple[Keystone, KeystoneIdentity]) -> None:
    service, identity = keystone
    service.status = 500
    with pytest.raises(Unreachable):
        await identity.caller("GET", PATH, {"X-Auth-Token": "good"})
    service.status = 200
    assert (await identity.caller("GET", PATH, {"X-Auth-Token": "good"})).user_id == "ann"
