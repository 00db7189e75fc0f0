# SPDX-License-Identifier: Apache-2.0
"""Amphorae on OpenStack that configure their interfaces: guests in namespaces, on bridges for Neutron's networks. What a client there sees."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from faults import openloop
from netns.installation import Installation
from netns.sandbox import Sandbox
from octavia_provider.client.deadline import Deadline

from .fabric import Machine, NetworkedGuests, inside, show
from .project import Project, project
from .waiting import until

pytestmark = pytest.mark.timeout(900)
PORT = 8080
PAIR = '{"loadbalancer_topology": "ACTIVE_STANDBY"}'
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode())"


@pytest.fixture
def cloud_project(admin_cloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Of each test: these count servers, and one that fails leaves some."""
    with project(admin_cloud, tmp_path_factory.mktemp("openstack"), first=10) as made:
        yield made


@pytest.fixture
def guests(cloud_project: Project) -> Iterator[NetworkedGuests]:
    made = NetworkedGuests(cloud_project)
    yield made
    made.fabric.close()


@pytest.fixture
def heartbeat_host(guests: NetworkedGuests) -> str:
    return guests.fabric.address


class Scene:
    """A load balancer, a client and a member on the network of its VIP."""

    def __init__(
        self, site: Installation, guests: NetworkedGuests, project: Project, *, number: int = 0, **values: Any
    ) -> None:
        self.site, self.guests, self.project = site, guests, project
        self.member = guests.fabric.member("vips", 2 * number + 1, "member")
        self.client, _ = guests.fabric.host("vips", 2 * number + 2, f"fd09::c{number}/64")
        subnet = project.subnets["vips"]
        self.id = site.create("load_balancer", wait=False, name="web", vip_subnet_id=subnet, **values)["id"]
        self.vip = self.settled()["vip_address"]
        listener = site.create("listener", loadbalancer_id=self.id, protocol="HTTP", protocol_port=PORT)
        self.pool = site.create("pool", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")["id"]
        site.create("member", parent=self.pool, address=self.member, protocol_port=80)
        self.settled()

    def settled(self) -> dict[str, Any]:
        """The load balancer, once it is ACTIVE."""

        def active() -> dict[str, Any] | None:
            found = self.site.get("load_balancer", self.id)
            return found if found["provisioning_status"] == "ACTIVE" else None

        found: dict[str, Any] | None = until(active, seconds=600, what="the load balancer to be ACTIVE")
        assert found
        return found

    def update(self, **values: Any) -> dict[str, Any]:
        self.site.client.update("load_balancer", self.id, values, deadline=Deadline(120.0))
        return self.settled()

    @property
    def url(self) -> str:
        return f"http://{self.vip}:{PORT}/"

    def answers(self, address: str = "") -> str:
        """What a client there gets; empty: nothing."""
        host = f"[{address}]" if ":" in address else address or self.vip
        enter = ["nsenter", "--target", str(self.client.init), "--net"]
        command = [*enter, sys.executable, "-IS", "-c", ASK, f"http://{host}:{PORT}/"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.strip()

    def served(self, address: str = "", *, by: Sequence[str] = ("member",)) -> None:
        """A client gets an answer of each of these members."""
        wanted, heard = set(by), set[str]()

        def heard_all() -> bool:
            heard.add(self.answers(address))
            return wanted <= heard

        try:
            until(heard_all, seconds=120, what=f"an answer of {wanted} at {address or self.vip}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.shown()}") from error

    def shown(self) -> str:
        return "\n".join(f"{id_}\n{show(machine)}" for id_, machine in self.machines().items())

    def machines(self) -> dict[str, Machine]:
        """Of servers that run, by their ids."""
        return {id_: machine for id_, (machine, _) in self.guests.running.copy().items()}

    def owners(self, address: str = "") -> list[str]:
        """The servers that tell the network that they have the VIP."""
        found = []
        for id_, machine in self.machines().items():
            try:
                shown = inside(machine.sandbox.init, "ip", "-o", "address", "show")
            except subprocess.CalledProcessError:  # it has just gone
                continue
            told = [line for line in shown.splitlines() if f" {address or self.vip}/" in line and " lo " not in line]
            found += [id_] * bool(told)
        return found

    def owner(self) -> str:
        """The one of those, once there is one."""
        return str(until(lambda: found[0] if len(found := self.owners()) == 1 else "", seconds=200, what="one owner"))

    def redundant(self, count: int = 2) -> None:
        """So many servers run, and Nova has no others."""
        until(
            lambda: len(self.machines()) == count == len(self.project.servers()), seconds=600, what=f"{count} servers"
        )
        self.settled()

    def delete(self) -> None:
        path = f"/v2/lbaas/loadbalancers/{self.id}?cascade=true"
        self.site.client.request("DELETE", path, deadline=Deadline(120.0))

    def take_away(self) -> None:
        self.delete()
        self.project.until_empty(seconds=300)


def flavor(site: Installation, name: str, data: str) -> str:
    """The id of a flavor of load balancers with these ``flavor_data``."""
    profile = site.create("flavor_profile", name=name, provider_name="amphora", flavor_data=data)
    return str(site.create("flavor", name=name, flavor_profile_id=profile["id"])["id"])


def pair(site: Installation) -> str:
    return flavor(site, "pair", PAIR)


def outages(samples: Sequence[openloop.Sample]) -> list[float]:
    """The seconds of each stretch of requests that failed."""
    stretches = [list(group) for failed, group in itertools.groupby(samples, lambda one: bool(one.error)) if failed]
    return [round(group[-1].due + group[-1].seconds - group[0].due, 3) for group in stretches]


def watching(client: Sandbox, url: str) -> openloop.Client:
    return openloop.Client(url, rate=20, seconds=850, timeout=3, inside=client.init)


def test_a_pair_serves_on_while_the_server_of_its_owner_is_deleted_and_replaced(
    site: Installation, guests: NetworkedGuests, cloud_project: Project
) -> None:
    scene = Scene(site, guests, cloud_project, flavor_id=pair(site))
    scene.redundant()
    scene.served()
    assert len({one.host_id for one in cloud_project.servers()}) == 2, "each on a compute host of its own"
    owner = scene.owner()
    with watching(scene.client, scene.url) as client:
        cloud_project.user.compute.delete_server(owner)
        until(lambda: scene.owners() not in ([], [owner]), seconds=200, what="another owner")
        until(lambda: owner not in scene.machines(), seconds=200, what="the guest to be gone")
        scene.redundant()
        scene.served()
    assert len(scene.owners()) == 1, scene.shown()
    lost = outages(client.samples)
    slowest = max(one.seconds for one in client.samples)
    print(f"{len(client.samples)} requests, the slowest took {slowest:g} s; those that failed: {lost} s")
    assert len(lost) <= 1, lost
    assert not client.samples[-1].error
    scene.take_away()


def test_one_amphora_becomes_a_pair_and_one_again_and_no_request_fails(
    site: Installation, guests: NetworkedGuests, cloud_project: Project
) -> None:
    scene = Scene(site, guests, cloud_project)
    scene.redundant(1)
    scene.served()
    with watching(scene.client, scene.url) as client:
        scene.update(flavor_id=pair(site))
        scene.redundant(2)
        scene.served()
        scene.update(flavor_id=None)
        scene.redundant(1)
        scene.served()
    assert [one.error for one in client.samples if one.error] == []
    assert len(scene.owners()) == 1
    scene.take_away()


@pytest.mark.parametrize("topology", ["SINGLE", "ACTIVE_STANDBY"])
def test_a_load_balancer_moves_to_servers_of_another_size_and_no_request_fails(
    site: Installation, guests: NetworkedGuests, cloud_project: Project, topology: str
) -> None:
    larger = cloud_project.admin.compute.create_flavor(name=f"larger-{uuid.uuid4().hex[:8]}", ram=1024, vcpus=2, disk=1)
    count = {"SINGLE": 1, "ACTIVE_STANDBY": 2}[topology]
    small = flavor(site, "small", json.dumps({"loadbalancer_topology": topology}))
    large = flavor(site, "large", json.dumps({"loadbalancer_topology": topology, "compute_flavor": larger.name}))
    scene = Scene(site, guests, cloud_project, flavor_id=small)
    scene.redundant(count)
    scene.served()
    with watching(scene.client, scene.url) as client:
        scene.update(flavor_id=large)
        until(lambda: _sizes(cloud_project) == [larger.name] * count, seconds=600, what="larger servers alone")
        scene.redundant(count)
        scene.served()
    assert [one.error for one in client.samples if one.error] == []
    assert len(scene.owners()) == 1
    scene.take_away()
    cloud_project.admin.compute.delete_flavor(larger)


def _sizes(project: Project) -> list[str]:
    """The compute flavors of the project's servers."""
    return [one.flavor["original_name"] for one in project.servers()]


def test_an_additional_vip_comes_to_amphorae_that_run_and_goes(
    site: Installation, guests: NetworkedGuests, cloud_project: Project
) -> None:
    network = cloud_project.user.network
    subnet = network.create_subnet(
        network_id=cloud_project.networks["vips"],
        ip_version=6,
        cidr="fd09::/64",
        is_dhcp_enabled=False,
        gateway_ip=None,
    )
    scene = Scene(site, guests, cloud_project)
    scene.served()
    more = scene.update(additional_vips=[{"subnet_id": subnet.id}])["additional_vips"]
    scene.served(more[0]["ip_address"])
    scene.update(flavor_id=pair(site))
    scene.served(more[0]["ip_address"])
    assert len(scene.owners(more[0]["ip_address"])) == 1
    scene.update(additional_vips=[])
    until(lambda: not scene.owners(more[0]["ip_address"]), seconds=200, what="it to be gone")
    scene.served()
    scene.take_away()
    network.delete_subnet(subnet)


def test_members_are_reached_in_subnets_that_they_name(
    site: Installation, guests: NetworkedGuests, cloud_project: Project
) -> None:
    scene = Scene(site, guests, cloud_project)
    far = guests.fabric.member("members", 1, "far")
    scene.served()
    made = site.create(
        "member", parent=scene.pool, address=far, protocol_port=80, subnet_id=cloud_project.subnets["members"]
    )
    assert made["provisioning_status"] == "ACTIVE", made
    scene.served(by=("member", "far"))
    (machine,) = scene.machines().values()
    assert len(machine.macs) == 3
    site.delete("member", made["id"], parent=scene.pool)
    until(lambda: len(machine.macs) == 2, seconds=200, what="the interface to go")
    scene.served()
    scene.take_away()


def test_load_balancers_share_the_amphorae_of_a_group(
    site: Installation, guests: NetworkedGuests, cloud_project: Project
) -> None:
    group = site.create("amphora_group", name="group", size=2, capacity=4)
    flavor = pair(site)
    scenes = [
        Scene(site, guests, cloud_project, number=n, flavor_id=flavor, amphora_group_id=group["id"]) for n in range(2)
    ]
    for scene in scenes:
        scene.redundant()
        scene.served()
        assert len(scene.owners()) == 1
    with watching(scenes[1].client, scenes[1].url) as client:
        scenes[0].delete()
        scenes[1].served()
    assert [one.error for one in client.samples if one.error] == []
    owner = scenes[1].owner()
    cloud_project.user.compute.delete_server(owner)
    until(lambda: owner not in scenes[1].machines(), seconds=200, what="the guest to be gone")
    scenes[1].redundant()
    scenes[1].served()
    scenes[1].delete()
    site.delete("amphora_group", group["id"])
    cloud_project.until_empty(seconds=300)
