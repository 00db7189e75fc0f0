# SPDX-License-Identifier: Apache-2.0
"""What octaviactl doctor says of OpenStack, by what its services answer. Without OpenStack; the real ones: tests/openstack."""

from __future__ import annotations

from typing import Any

import pytest

from octavia_provider.clouds.openstack import doctor
from octavia_provider.clouds.openstack.doctor import Check
from octavia_provider.clouds.openstack.failures import AGAIN
from octavia_provider.clouds.openstack.settings import OpenStackSettings
from octavia_provider.model.errors import Forbidden, NotFound, Refused, Unreachable

ADMITTED = {
    "direction": "ingress",
    "remote_group_id": None,
    "protocol": "tcp",
    "port_range_min": 9443,
    "port_range_max": 9443,
}
FLAVOR = {"id": "f", "name": "amphora", "vcpus": 1, "ram": 1024, "disk": 2}
IMAGE = {
    "id": "i",
    "name": "amphora",
    "min_disk": 2,
    "disk_format": "qcow2",
    "created_at": "2026",
    "os_hash_value": "ab" * 32,
}
LIMITS = {
    "maxTotalInstances": 10, "totalInstancesUsed": 0, "maxTotalCores": -1, "totalCoresUsed": 0, "maxTotalRAMSize": -1,
    "totalRAMUsed": 0, "maxServerGroups": 10, "totalServerGroupsUsed": 1,
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "/networks/lb-mgmt": {"network": {"id": "n", "name": "lb-mgmt", "admin_state_up": True}},
    "/security-groups/g": {"security_group": {"name": "lb-mgmt", "security_group_rules": [ADMITTED]}},
    "/flavors/f": {"flavor": FLAVOR},
    "/flavors": {"flavors": [FLAVOR]},
    "/images": {"images": [IMAGE]},
    "/os-availability-zone": {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]},
    "/limits": {"limits": {"absolute": LIMITS}},
    "/quotas/p/details.json": {"quota": {"port": {"limit": 500, "used": 3}, "security_group": {"limit": -1, "used": 3}}},
    "/subnets": {"subnets": [{"cidr": "192.0.2.0/24"}]},
}  # fmt: skip


class Services:
    """Answers in place of a session; an exception is raised. ``newest``: of Nova's microversions."""

    project_id, user = "p", "amphorae"

    def __init__(self, newest: str | None = "2.96", lacking: tuple[str, ...] = (), **answers: Any) -> None:
        self.newest, self.lacking, self.answers = newest, lacking, {**ANSWERS, **answers}

    async def sign_in(self) -> None:
        if "keystone" in self.lacking:
            raise Refused("Keystone says (401): no", subject="sign in", hint="see clouds.yaml")

    async def close(self) -> None:
        pass

    async def endpoint(self, service: str) -> str | None:
        return None if service in self.lacking else f"http://{service}"

    async def newest_microversion(self, service: str) -> str | None:
        return self.newest

    async def get(self, service: str, path: str, **params: Any) -> Any:
        found = self.answers[path]
        if isinstance(found, Exception):
            raise found
        return found

    async def find(self, service: str, path: str) -> Any:
        return await self.get(service, path)

    async def listed(self, service: str, path: str, key: str, **params: Any) -> Any:
        return (await self.get(service, path))[key]


async def findings(services: Services, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> dict[str, Check]:
    monkeypatch.setattr(doctor, "Session", lambda _: services)
    given = {
        "management_network": "lb-mgmt", "heartbeat_address": "127.0.0.1:5555", "compute_flavor": "amphora",
        "management_security_groups": ("g",), **settings,
    }  # fmt: skip
    return {one.name: one for one in await doctor._check(OpenStackSettings(**given))}


async def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await findings(Services(), monkeypatch)
    assert all(one.ok for one in found.values()), found
    assert len(found) == 14
    assert "qcow2, " + "ab" * 8 in found["amphora image"].detail, "the checksum is shown"
    assert found["quota of Nova"].detail == "instances 0/10, cores 0/∞, ram 0/∞, server_groups 1/10"


async def test_without_credentials_or_a_service_the_rest_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    only, others = (await findings(Services(lacking=("keystone",)), monkeypatch)).values()
    assert (only.ok, only.fix) == (False, "see clouds.yaml")
    assert (others.needed, others.detail) == (False, "not looked at: they need a login")
    found = await findings(Services(lacking=("glance",)), monkeypatch)
    assert not found["service image"].ok
    assert "amphora image" not in found
    assert (
        found["networks, security groups, flavor, image, quotas"].detail
        == "not looked at: they need the services above"
    )
    barbican = (await findings(Services(lacking=("barbican",)), monkeypatch))["service key_manager"]
    assert (barbican.ok, barbican.needed) == (False, False)


ONLY_NEIGHBOURS = {"security_group": {"name": "lb", "security_group_rules": [{**ADMITTED, "remote_group_id": "g"}]}}
ALL_PROTOCOLS = {
    "security_group": {"name": "lb", "security_group_rules": [{**ADMITTED, "protocol": None, "port_range_min": None, "port_range_max": None}]}
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answers", "settings", "words", "fix"),
    [
        ("Nova's API", {"newest": "2.72"}, {}, "up to 2.72", "Train"),
        ("Nova's API", {"newest": None}, {}, "up to None", "Train"),
        ("management network", {"/networks/lb-mgmt": NotFound("no such network", hint="openstack network list")}, {}, "no such", "network list"),
        ("management network", {"/subnets": {"subnets": []}}, {}, "without a subnet", "subnet create"),
        ("management security groups", {"/security-groups/g": ONLY_NEIGHBOURS}, {}, "lets nobody in to TCP port 9443", "--dst-port 9443"),
        ("compute flavor", {"/flavors": {"flavors": []}}, {}, "no flavor amphora", "flavor list"),
        ("compute flavor", {"/flavors/f": {"flavor": {**FLAVOR, "ram": 256}}}, {}, "256 MiB", "512 MiB"),
        ("amphora image", {"/images": {"images": []}}, {}, "no active image with the tag amphora", "image set --tag"),
        ("amphora image", {"/images": {"images": [{**IMAGE, "min_disk": 5}]}}, {}, "needs a disk of 5 GiB, and has 2", "VOLUME_GB"),
        ("compute zone", {}, {"compute_zone": "far"}, "far; there are nova", "COMPUTE_ZONE"),
        ("heartbeat address", {}, {"heartbeat_address": "192.0.2.77:5555"}, "192.0.2.77", "HEARTBEAT_BIND"),
        ("heartbeat address", {}, {"heartbeat_address": "0.0.0.0:5555"}, "0.0.0.0", "HEARTBEAT_ADDRESS"),
        ("quota of Nova", {"/limits": {"limits": {"absolute": {**LIMITS, "totalInstancesUsed": 8}}}}, {}, "8 of 10 used", "--instances N"),
        ("quota of Neutron", {"/quotas/p/details.json": {"quota": {"port": {"limit": 500, "used": 495}}}}, {}, "495 of 500", "--ports N"),
        ("quota of Nova", {"/limits": Unreachable("Nova does not answer: no", hint=AGAIN)}, {}, "does not answer", "docs"),
        ("quota of Nova", {"/limits": Forbidden("Nova says (403): no")}, {}, "Nova says (403)", "docs"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_with_what_to_do(
    name: str, answers: dict[str, Any], settings: dict[str, Any], words: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await findings(Services(**answers), monkeypatch, **settings)
    assert not found[name].ok
    assert words in found[name].detail
    assert fix in found[name].fix
    assert len(found) == 14, "one that fails holds up no other"


async def test_what_is_not_told_or_not_needed_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(**{"/quotas/p/details.json": NotFound("no"), "/security-groups/g": ALL_PROTOCOLS})
    found = await findings(
        services, monkeypatch, compute_flavor=None, heartbeat_bind="127.0.0.1:0", heartbeat_address="192.0.2.1:5"
    )
    assert found["quota of Neutron"].ok
    assert found["management security groups"].ok
    assert found["heartbeat address"].ok
    assert (found["compute flavor"].ok, found["compute flavor"].needed) == (False, False)
