# SPDX-License-Identifier: Apache-2.0
"""The provider as a user of Keystone: by its options, by clouds.yaml, and by the environment."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients.keystone import PASSWORD, PROJECT, REGION, USERS, Keystone
from octavia_provider.api import Users
from octavia_provider.cli import doctor
from octavia_provider.client import embedded
from octavia_provider.client.deadline import Deadline
from octavia_provider.keystone.policy import OsloPolicy
from octavia_provider.model.errors import Unauthenticated
from octavia_provider.ports import Caller
from provider_process import Provider, provider
from real_plane import RealPlane
from unit.api import settling

pytestmark = pytest.mark.filterwarnings("default")  # openstacksdk's own
NETWORK, LB = "octavia:local:Network", "octavia:index:LoadBalancer"
ROOT = next(user for user in USERS if user.name == "root")


class Identity:
    """Who has which token, the stand-in for Keystone says."""

    challenge = 'Keystone uri="http://keystone/v3"'

    def __init__(self, keystone: Keystone) -> None:
        self._keystone = keystone

    async def caller(self, method: str, path: str, headers: Mapping[str, str]) -> Caller:
        user = self._keystone.issued.get(headers.get("X-Auth-Token", ""))
        if user is None:
            raise Unauthenticated("the token is not valid")
        credentials = {"project_id": user.project_id, "user_id": user.id, "roles": [*user.roles], "is_admin": False}
        return Caller(user_id=user.id, project_id=user.project_id, credentials=credentials)

    async def close(self) -> None:
        pass


class UsersPlane(RealPlane):
    """The API with users alone, where the catalogue says."""

    def __init__(self, keystone: Keystone) -> None:
        self._keystone = keystone

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        users = Users(identity=Identity(self._keystone), policy=OsloPolicy(None))
        async with settling.plane(Path(self.home), users=users) as self.plane:
            self.url = "http://{}:{}".format(*self.plane.server.address)
            self._keystone.load_balancer = self.url
            self._ready.set()
            await self._end.wait()


@pytest.fixture(scope="module")
def keystone() -> Iterator[Keystone]:
    with Keystone() as found, UsersPlane(found):
        yield found


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cloud is named, and no embedded control plane would be found."""
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OCTAVIA_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.setenv("OCTAVIA_HOME", tempfile.gettempdir() + "/none")


def by_options(keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {
        "authUrl": keystone.url, "userName": "root", "password": PASSWORD, "tenantId": PROJECT, "userDomainName": "Default",
        "region": REGION,
    }  # fmt: skip


def by_an_application_credential(keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    secret = {"applicationCredentialId": ROOT.credential, "applicationCredentialSecret": PASSWORD}
    return {"authUrl": keystone.url, "region": REGION, **secret}


def by_clouds_yaml(keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    auth = {"auth_url": keystone.url, "username": "root", "password": PASSWORD, "project_id": PROJECT}
    cloud = {"auth": {**auth, "user_domain_name": "Default"}, "region_name": REGION}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": {"here": cloud}}))
    return {"cloud": "here"}


def by_the_environment_at_an_endpoint_that_asks_for_a_token(
    keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    for name, value in keystone.environment("root").items():
        monkeypatch.setenv(name, value)
    return {"endpoint": keystone.load_balancer}


@pytest.mark.parametrize(
    "way",
    [
        by_options, by_an_application_credential, by_clouds_yaml,
        by_the_environment_at_an_endpoint_that_asks_for_a_token,
    ],
)  # fmt: skip
def test_it_signs_in(way: Any, keystone: Keystone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = way(keystone, tmp_path, monkeypatch)
    with provider() as octavia:
        octavia.configure(**settings)
        id_, made = _balancer(octavia)
        assert made["projectId"] == PROJECT
        keystone.issued.clear()  # Keystone has revoked the token
        assert octavia.read(LB, "lb", id_)[0] == id_
        octavia.delete(LB, "lb", id_, made)
        told = [message.message for message in octavia.engine.messages if "signed in" in message.message]
    if way is not by_the_environment_at_an_endpoint_that_asks_for_a_token:
        (line,) = told
        assert f"project {PROJECT}; the control plane is {keystone.load_balancer}, the endpoint of Keystone's" in line
        assert ("cloud 'here' of clouds.yaml" in line) == (way is by_clouds_yaml)
        assert PASSWORD not in line


def _balancer(octavia: Provider) -> tuple[str, dict[str, Any]]:
    network, _ = octavia.check(NETWORK, "net", {})
    network_id, _ = octavia.create(NETWORK, "net", network)
    inputs, failures = octavia.check(LB, "lb", {"vipNetworkId": network_id})
    assert not failures
    return octavia.create(LB, "lb", inputs)


def test_a_wrong_password_is_told_with_where_it_is_from(keystone: Keystone, tmp_path: Path) -> None:
    wrong = {
        "authUrl": keystone.url,
        "userName": "root",
        "password": "wrong",
        "tenantId": PROJECT,
        "userDomainId": "default",
    }
    with provider() as octavia:
        octavia.configure(**wrong)
        with pytest.raises(grpc.RpcError) as raised:
            octavia.create(NETWORK, "net", {"name": "net"})
    assert "refuses to sign in" in raised.value.details()
    assert "look at the provider's authUrl, userName, password" in raised.value.details()
    assert "wrong" not in raised.value.details()


def test_who_names_no_cloud_is_told_how_to(keystone: Keystone) -> None:
    client = embedded.connect(keystone.load_balancer)
    with pytest.raises(Unauthenticated, match="the provider's `cloud` or `authUrl`, or OS_CLOUD"):
        client.control_plane(deadline=Deadline(5))
    client.close()


def test_doctor_tells_who_signs_in_and_where(keystone: Keystone, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(doctor._login()) == []
    for name, value in keystone.environment("ann").items():
        monkeypatch.setenv(name, value)
    (well,) = doctor._login()
    assert (well.ok, well.needed) == (True, False)
    assert well.detail == f"the environment (OS_*), project {PROJECT}; load balancers: {keystone.load_balancer}"
    monkeypatch.setenv("OS_PASSWORD", "wrong")
    (refused,) = doctor._login()
    assert not refused.ok
    assert "refuses to sign in" in refused.detail
