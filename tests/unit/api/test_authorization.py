# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

import pem
from octavia_provider.api import Users, authorization
from octavia_provider.api.context import CONTEXT
from octavia_provider.keystone.policy import OsloPolicy
from octavia_provider.model.errors import Unauthenticated, Unreachable
from octavia_provider.ports import Caller, Named
from unit.api import settling

RED, BLUE = "1" * 32, "2" * 32
POLICY = OsloPolicy()


class Keystone:
    """Tokens are written as ``PROJECT/role,role``."""

    challenge = 'Keystone uri="http://keystone/v3"'

    async def caller(self, method: str, path: str, headers: Mapping[str, str]) -> Caller:
        token = headers.get("X-Auth-Token", "")
        if token == "unknowable":
            raise Unreachable("cannot be asked", subject="Keystone")
        if "/" not in token:
            raise Unauthenticated("the token is not valid")
        project, _, roles = token.partition("/")
        credentials = {"project_id": project or None, "user_id": "u", "roles": roles.split(","), "is_admin": False}
        return Caller(user_id="u", project_id=project or None, credentials=credentials)

    async def close(self) -> None:
        pass


class Neutron:
    """``shown``: what it shows, by the project of the token."""

    def __init__(self) -> None:
        self.shown: dict[str, set[str]] = {}

    async def hidden(self, token: str, named: Collection[Named]) -> frozenset[Named]:
        return frozenset(one for one in named if one.id not in self.shown.get(token.partition("/")[0], ()))

    async def close(self) -> None:
        pass


class Shared:
    """The same control plane on its socket and, for users, on TCP."""

    def __init__(self, plane: settling.Plane) -> None:
        self.plane = plane
        host, port = plane.server.address
        self.base = f"http://{host}:{port}"

    async def call(self, who: str | None, method: str, path: str, body: Any = None, **more: Any) -> settling.Answer:
        import aiohttp

        headers = {"X-Auth-Token": who} if who is not None else {}
        headers.update(more)
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.base + path, json=body, headers=headers) as response,
        ):
            found = await response.json() if response.content_type == "application/json" else await response.text()
            return settling.Answer(response.status, response.headers, found)

    async def make(self, who: str, path: str, word: str, **spec: Any) -> dict[str, Any]:
        answer = await self.call(who, "POST", path, {word: spec}, Prefer="wait=10")
        assert answer.status == 201, answer.body
        return answer.body[word]


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Shared]:
    async with settling.plane(tmp_path, users=Users(identity=Keystone(), policy=POLICY)) as plane:
        yield Shared(plane)


@pytest.fixture
async def balancers(shared: Shared) -> dict[str, dict[str, Any]]:
    """One of each project, made by its members."""
    network = await shared.plane.make("local_network", name="net")
    return {
        project: await shared.make(
            f"{project}/member", "/v2/lbaas/loadbalancers", "loadbalancer", name=name, vip_network_id=network["id"]
        )
        for project, name in ((RED, "red"), (BLUE, "blue"))
    }


async def test_every_route_says_by_which_rules_it_is_judged__and_the_policy_has_them(shared: Shared) -> None:
    from octavia_provider.keystone.rules import defaults

    known = {name.removeprefix(authorization.PREFIX) for name, _ in defaults()}
    judged: set[str] = set()
    for route in _application(shared).router.routes():
        rules = getattr(route.handler, authorization.RULES, None)
        path = route.resource.canonical.rstrip("/") if route.resource else ""
        assert rules is not None or path in authorization._OPEN, f"{route.method} {path}"
        judged.update(rules or ())
    assert judged <= known
    assert {name for name in known if name.count(":") == 1 and "load-balancer:" not in name} == judged


def _application(shared: Shared) -> Any:
    runner = shared.plane.server._runner
    app = runner.app
    assert app[CONTEXT].users is not None
    return app


@pytest.mark.parametrize("path", ["/", "/v2", "/v2.0", "/healthcheck", "/load-balancer/", "/load-balancer/healthcheck"])
async def test_versions_and_health_are_open_to_everybody(shared: Shared, path: str) -> None:
    assert (await shared.call(None, "GET", path)).status == 200


@pytest.mark.parametrize("path", ["/v2/lbaas/loadbalancers", "/v2/octavia/status", "/v2/networks", "/nowhere"])
async def test_who_shows_no_valid_token_learns_where_to_get_one_and_nothing_else(shared: Shared, path: str) -> None:
    for token in (None, "nonsense"):
        answer = await shared.call(token, "GET", path)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, Keystone.challenge)


async def test_a_keystone_that_does_not_answer_is_no_refusal(shared: Shared) -> None:
    answer = await shared.call("unknowable", "GET", "/v2/lbaas/loadbalancers")
    assert (answer.status, "Retry-After" in answer.headers) == (503, True)


async def test_the_user_of_the_socket_needs_no_token(shared: Shared, balancers: dict[str, Any]) -> None:
    found = await shared.plane.call("GET", "/lbaas/loadbalancers")
    assert {one["project_id"] for one in found.body["loadbalancers"]} == {RED, BLUE}


async def test_each_project_sees_and_changes_its_own(shared: Shared, balancers: dict[str, Any]) -> None:
    one = f"/v2/lbaas/loadbalancers/{balancers[RED]['id']}"
    listed = await shared.call(f"{RED}/member", "GET", "/v2/lbaas/loadbalancers?limit=5&fields=name")
    assert [found["name"] for found in listed.body["loadbalancers"]] == ["red"]
    for method, body in (("GET", None), ("PUT", {"loadbalancer": {"name": "taken"}}), ("DELETE", None)):
        refused = await shared.call(f"{BLUE}/member", method, one, body)
        assert (refused.status, authorization.REFUSED in refused.body["faultstring"]) == (403, True)
    for path in ("/status", "/stats"):
        assert (await shared.call(f"{BLUE}/member", "GET", one + path)).status == 403
        assert (await shared.call(f"{RED}/reader", "GET", one + path)).status == 200
    assert (await shared.call(f"{RED}/reader", "PUT", one, {"loadbalancer": {"name": "x"}})).status == 403
    assert (await shared.call(f"{RED}/member", "PUT", one, {"loadbalancer": {"name": "x"}})).status == 200
    assert (await shared.call(f"{RED}/member", "PUT", f"{one}/failover")).status == 403
    assert (
        await shared.call(f"{BLUE}/member", "GET", f"{one}/")
    ).status == 403  # with a slash at the end, as Octavia takes it
    slashed = await shared.call(f"{BLUE}/member", "GET", "/v2/lbaas/loadbalancers/")
    assert [found["name"] for found in slashed.body["loadbalancers"]] == ["blue"]


async def test_nothing_is_put_into_what_is_anothers(shared: Shared, balancers: dict[str, Any]) -> None:
    listener = {"loadbalancer_id": balancers[RED]["id"], "protocol": "TCP", "protocol_port": 80}
    refused = await shared.call(f"{BLUE}/member", "POST", "/v2/lbaas/listeners", {"listener": listener})
    assert refused.status == 403
    own = await shared.make(f"{RED}/member", "/v2/lbaas/listeners", "listener", **listener)
    assert own["project_id"] == RED
    pool = await shared.make(
        f"{RED}/member", "/v2/lbaas/pools", "pool", listener_id=own["id"], protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )
    members = f"/v2/lbaas/pools/{pool['id']}/members"
    for method, body in (
        ("GET", None),
        ("PUT", {"members": []}),
        ("POST", {"member": {"address": "10.0.0.1", "protocol_port": 1}}),
    ):
        assert (await shared.call(f"{BLUE}/member", method, members, body)).status == 403
    assert (await shared.call(f"{RED}/reader", "GET", members)).status == 200
    assert len(await shared.plane.records()) == 5  # the network, two load balancers, a listener and its pool


async def test_nobody_makes_what_another_project_would_own__but_an_admin(shared: Shared) -> None:
    network = await shared.plane.make("local_network", name="net")
    asked = {"loadbalancer": {"vip_network_id": network["id"], "project_id": BLUE}}
    assert (await shared.call(f"{RED}/member", "POST", "/v2/lbaas/loadbalancers", asked)).status == 403
    made = await shared.call(f"{RED}/admin", "POST", "/v2/lbaas/loadbalancers", asked)
    assert (made.status, made.body["loadbalancer"]["project_id"]) == (201, BLUE)


async def test_who_sees_all_projects_may_ask_for_one(shared: Shared, balancers: dict[str, Any]) -> None:
    async def seen(who: str, query: str = "") -> set[str] | int:
        found = await shared.call(who, "GET", f"/v2/lbaas/loadbalancers{query}")
        return {one["name"] for one in found.body["loadbalancers"]} if found.status == 200 else found.status

    admin, observer, member = f"{RED}/admin", f"{RED}/load-balancer_global_observer", f"{RED}/member"
    assert await seen(admin) == await seen(observer) == await seen(admin, "?all_projects=true") == {"red", "blue"}
    assert await seen(admin, "?all_projects=false") == {"red"}
    assert await seen(admin, f"?project_id={BLUE}") == await seen(admin, f"?tenant_id={BLUE}") == {"blue"}
    assert await seen(member, f"?project_id={RED}") == {"red"}
    for query in (f"?project_id={BLUE}", f"?tenant_id={BLUE}", f"?project_id={RED}&project_id={BLUE}", "?all_projects"):
        assert await seen(member, query) == 403


async def test_events_are_told_to_their_project(shared: Shared, balancers: dict[str, Any]) -> None:
    found = await shared.call(f"{RED}/reader", "GET", "/v2/octavia/events")
    assert {one["load_balancer_name"] for one in found.body["events"]} == {"red"}
    other = f"/v2/lbaas/loadbalancers/{balancers[BLUE]['id']}/events"
    assert (await shared.call(f"{RED}/reader", "GET", other)).status == 404
    assert (await shared.call(f"{RED}/reader", "GET", f"/v2/octavia/events?project_id={BLUE}")).status == 403
    everything = await shared.call(f"{RED}/admin", "GET", "/v2/octavia/events?load_balancer=blue")
    assert everything.body["events"]


async def test_a_certificate_is_used_by_its_project_alone(shared: Shared, balancers: dict[str, Any]) -> None:
    container = await shared.make(
        f"{BLUE}/member", "/v2/octavia/tls-containers", "tls_container", **pem.make("a.test").container()
    )
    assert (await shared.call(f"{RED}/member", "GET", f"/v2/octavia/tls-containers/{container['id']}")).status == 403
    listener = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": container["id"]}

    async def use(project: str) -> int:
        body = {"listener": {**listener, "loadbalancer_id": balancers[project]["id"]}}
        return (await shared.call(f"{project}/member", "POST", "/v2/lbaas/listeners", body)).status

    assert (await use(RED), await use(BLUE)) == (400, 201)


async def test_amphorae_are_shared_within_a_project(shared: Shared, balancers: dict[str, Any]) -> None:
    group = await shared.make(f"{BLUE}/member", "/v2/octavia/amphora-groups", "amphora_group", name="group")
    body = {"loadbalancer": {"amphora_group_id": group["id"]}}
    for project, status in ((RED, 400), (BLUE, 200)):
        moved = await shared.call(
            f"{project}/member", "PUT", f"/v2/lbaas/loadbalancers/{balancers[project]['id']}", body
        )
        assert moved.status == status, moved.body


async def test_a_user_names_of_the_network_what_neutron_shows_to_them(tmp_path: Path) -> None:
    neutron = Neutron()
    users = Users(identity=Keystone(), policy=POLICY, visibility=neutron)
    async with settling.plane(tmp_path, users=users) as plane:
        shared = Shared(plane)
        network = await plane.make("local_network", name="net")  # the user of the socket sees everything
        subnet = network["subnet_id"]
        whole = {
            "name": "whole", "vip_network_id": network["id"], "vip_subnet_id": subnet,
            "pools": [{
                "name": "p", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN",
                "members": [{"address": "10.0.0.9", "protocol_port": 1, "subnet_id": subnet}],
            }],
        }  # fmt: skip

        async def post() -> settling.Answer:
            return await shared.call(f"{RED}/member", "POST", "/v2/lbaas/loadbalancers", {"loadbalancer": whole})

        refused = await post()
        assert refused.status == 400
        assert {path for path, _ in refused.violations} == {
            ("vip_network_id",), ("vip_subnet_id",), ("pools", 0, "members", 0, "subnet_id"),
        }  # fmt: skip
        neutron.shown[RED] = {network["id"], subnet}
        made = await post()
        assert made.status == 201, made.body
        members = f"/v2/lbaas/pools/{made.body['loadbalancer']['pools'][0]['id']}/members"
        neutron.shown[RED] = set()
        member = {"address": "10.0.0.8", "protocol_port": 1, "subnet_id": subnet}
        for method, body in (("POST", {"member": member}), ("PUT", {"members": [member]})):
            assert (await shared.call(f"{RED}/member", method, members, body)).status == 400
        change = {"loadbalancer": {"additional_vips": [{"subnet_id": subnet}]}}
        path = f"/v2/lbaas/loadbalancers/{made.body['loadbalancer']['id']}"
        told = await shared.call(f"{RED}/member", "PUT", path, change)
        assert told.violations == [(("additional_vips", 0, "subnet_id"), f"subnet {subnet} does not exist")]


async def test_quotas_and_what_operators_set_up(shared: Shared, balancers: dict[str, Any]) -> None:
    quota = f"/v2/lbaas/quotas/{RED}"
    body = {"quota": {"load_balancer": 1}}
    assert (await shared.call(f"{RED}/member", "PUT", quota, body)).status == 403
    assert (await shared.call(f"{BLUE}/load-balancer_quota_admin", "PUT", quota, body)).status == 200
    assert (await shared.call(f"{RED}/member", "GET", quota)).body["quota"]["load_balancer"] == 1
    assert (await shared.call(f"{BLUE}/member", "GET", quota)).status == 403
    listed = await shared.call(f"{BLUE}/member", "GET", "/v2/lbaas/quotas")
    assert listed.body["quotas"] == []
    another = {"loadbalancer": {"vip_network_id": balancers[RED]["vip_network_id"]}}
    met = await shared.call(f"{RED}/member", "POST", "/v2/lbaas/loadbalancers", another)
    assert (met.status, "Quota has been met" in met.body["faultstring"]) == (403, True)
    profile = {"name": "p", "provider_name": "amphora", "flavor_data": "{}"}
    refused = await shared.call(f"{RED}/member", "POST", "/v2/lbaas/flavorprofiles", {"flavorprofile": profile})
    assert refused.status == 403
    made = await shared.make(f"{BLUE}/admin", "/v2/lbaas/flavorprofiles", "flavorprofile", **profile)
    flavor = await shared.make(f"{BLUE}/admin", "/v2/lbaas/flavors", "flavor", name="f", flavor_profile_id=made["id"])
    for path in ("", f"/{flavor['id']}"):
        assert (await shared.call(f"{RED}/reader", "GET", f"/v2/lbaas/flavors{path}")).status == 200
    assert (await shared.call(f"{RED}/member", "GET", "/v2/octavia/amphorae")).status == 403
    assert (await shared.call(f"{RED}/admin", "GET", "/v2/octavia/amphorae")).status == 200


async def test_a_token_of_no_project_makes_nothing_and_sees_what_it_names(
    shared: Shared, balancers: dict[str, Any]
) -> None:
    assert (await shared.call("/member", "GET", "/v2/lbaas/loadbalancers")).status == 403
    body = {"loadbalancer": {"vip_network_id": balancers[RED]["vip_network_id"]}}
    assert (await shared.call("/member", "POST", "/v2/lbaas/loadbalancers", body)).status == 403
    assert (await shared.call("/admin", "GET", "/v2/lbaas/loadbalancers")).status == 200


async def test_users_learn_of_the_control_plane_what_their_program_needs(shared: Shared) -> None:
    told = (await shared.call(f"{RED}/reader", "GET", "/v2/octavia/control-plane")).body["control_plane"]
    assert told == {"id": shared.plane.store.control_plane_id, "version": told["version"], "cloud": "netns"}
    assert "home" in (await shared.call(f"{RED}/admin", "GET", "/v2/octavia/control-plane")).body["control_plane"]
