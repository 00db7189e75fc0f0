# SPDX-License-Identifier: Apache-2.0
"""What a load balancer names of Neutron, where it is not there. Without OpenStack; the real one: tests/openstack."""

from __future__ import annotations

from typing import Any, cast

import pytest

from octavia_provider.clouds.openstack.networks import OpenStackNetworks
from octavia_provider.clouds.openstack.neutron import Neutron
from octavia_provider.model.errors import Invalid, NotFound, Refused
from octavia_provider.ports import Named, NetworkLookup, Record


class Session:
    """Neutron with one network without a subnet."""

    async def get(self, service: str, path: str, **_: Any) -> Any:
        if path != "/networks/n":
            raise NotFound(f"Neutron says (404): {path} could not be found")
        return {"network": {"id": "n"}}

    async def find(self, service: str, path: str) -> Any:
        return await self.get(service, path) if path == "/networks/n" else None

    async def listed(self, *_: Any, **__: Any) -> Any:
        return []


@pytest.fixture
def networks() -> OpenStackNetworks:
    neutron = Neutron(cast("Any", Session()), "cp")
    return OpenStackNetworks(neutron, cast("Any", None), cast("Any", None))


class OfAUser(Session):
    """Neutron, whose caller is no administrator: it makes no ports for other projects (neutron_lib/api/attributes.py)."""

    project_id = "services"

    def __init__(self) -> None:
        self.made: list[Any] = []

    async def get(self, service: str, path: str, **_: Any) -> Any:
        return {"subnet": {"id": "s", "network_id": "n", "cidr": "192.0.2.0/24", "gateway_ip": None}}

    async def make(self, service: str, path: str, body: Any, *, subject: str = "") -> Any:
        if "project_id" in body["port"]:
            raise Refused(
                "Neutron says (400): Specifying 'project_id' other than the authenticated project in request requires "
                "admin privileges"
            )
        self.made.append(body["port"])
        fixed = [{"subnet_id": "s", "ip_address": "192.0.2.9"}]
        return {"port": {**body["port"], "id": "p", "tags": [], "fixed_ips": fixed}}

    async def put(self, service: str, path: str, body: Any) -> Any:
        return body


async def test_the_port_of_a_vip_is_in_our_own_project_where_we_may_not_make_it_in_that_of_its_user() -> None:
    session = OfAUser()
    made = OpenStackNetworks(Neutron(cast("Any", session), "cp"), cast("Any", None), cast("Any", None))
    spec = {
        "vip_network_id": None,
        "vip_subnet_id": "s",
        "vip_port_id": None,
        "vip_address": None,
        "additional_vips": [],
    }
    record = Record(
        id="lb", kind="load_balancer", scope_id="lb", project_id="user", spec={**spec, "name": "x"}, generation=0
    )
    assert (await made.allocate(record)).values["vip_address"] == "192.0.2.9"
    assert len(session.made) == 1


async def test_what_is_not_there_is_found_out_by_id(networks: OpenStackNetworks) -> None:
    assert isinstance(networks, NetworkLookup)
    there, absent = Named("networks", "n"), [Named("networks", "m"), Named("subnets", "s"), Named("ports", "p")]
    assert await networks.missing([there, *absent]) == frozenset(absent)


@pytest.mark.parametrize(
    ("name", "noun"), [("vip_network_id", "network"), ("vip_subnet_id", "subnet"), ("vip_port_id", "port")]
)
async def test_what_is_not_there_when_it_is_needed_says_how_to_find_another(
    name: str, noun: str, networks: OpenStackNetworks
) -> None:
    spec = {
        "vip_network_id": None,
        "vip_subnet_id": None,
        "vip_port_id": None,
        "vip_address": None,
        "additional_vips": [],
    }
    with pytest.raises(Invalid, match=f"could not be found.*; openstack {noun} list shows") as refused:
        await networks.allocate(
            Record(id="lb", kind="load_balancer", scope_id="lb", project_id="p", spec={**spec, name: "x"}, generation=0)
        )
    assert refused.value.violations[0].path == (name,)
