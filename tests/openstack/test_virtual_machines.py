# SPDX-License-Identifier: Apache-2.0
"""The amphora image in machines that Nova boots by libvirt and QEMU: ``scripts/test-openstack libvirt``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import octaviactl
from netns.installation import Installation

from .project import Project
from .test_guests import cloud_project, heartbeat_host, outages, pair, watching
from .virtual_machines import MachineScene, VirtualMachines
from .waiting import until

__all__ = ["cloud_project", "heartbeat_host"]

pytestmark = pytest.mark.timeout(1800)
IMAGE = Path(os.environ.get("AMPHORA_IMAGE", "amphora.qcow2"))
TAG = "octavia-image"


@pytest.fixture
def guests(cloud_project: Project) -> Iterator[VirtualMachines]:
    made = VirtualMachines(cloud_project)
    yield made
    made.fabric.close()


@pytest.fixture
def image(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is in Glance, and it and the flavor are what this control plane's amphorae are made from."""
    monkeypatch.setenv("OCTAVIA_OPENSTACK_IMAGE_TAG", TAG)
    monkeypatch.setenv("OCTAVIA_OPENSTACK_COMPUTE_FLAVOR", "machine")
    done = octaviactl("image", "upload", str(IMAGE), "--tag", TAG, "--os-cloud", "test", "--json")
    assert done.returncode == 0, done.stderr


def ready(site: Installation, *, but: set[str]) -> bool:
    """Whether there are two amphorae that are in use, none of them one of these."""
    there = {one["id"]: one["status"] for one in site.get_json("/v2/octavia/amphorae")["amphorae"]}
    return not there.keys() & but and [*there.values()] == ["ALLOCATED"] * 2


@pytest.mark.usefixtures("image")
def test_a_pair_of_machines_serves_on_while_its_owner_is_destroyed_and_replaced(
    request: pytest.FixtureRequest, guests: VirtualMachines, cloud_project: Project
) -> None:
    site: Installation = request.getfixturevalue("site")
    began = time.monotonic()
    scene = MachineScene(site, guests, cloud_project, flavor_id=pair(site))
    scene.redundant()
    scene.served()
    print(f"\na pair serves {time.monotonic() - began:.1f} s after its load balancer was asked for")
    amphorae = site.get_json("/v2/octavia/amphorae")["amphorae"]
    (there,) = cloud_project.user.image.images(tag=TAG)
    assert {one["image_id"] for one in amphorae} == {there.id}
    servers = cloud_project.servers()
    assert {one.image.id for one in servers} == {there.id}
    assert len({one.host_id for one in servers}) == 2, "each on a compute host of its own"
    owner = scene.owner()
    lost_amphorae = {one["id"] for one in amphorae if one["compute_id"] == owner}
    assert len(lost_amphorae) == 1
    with watching(scene.client, scene.url) as client:
        began = time.monotonic()
        cloud_project.user.compute.delete_server(owner)
        until(lambda: scene.owners() not in ([], [owner]), seconds=200, what="another owner")
        until(lambda: owner not in scene.machines(), seconds=200, what="the server to be gone")
        until(lambda: ready(site, but=lost_amphorae), seconds=600, what="a pair of amphorae that are in use")
        print(f"a pair again after {time.monotonic() - began:.1f} s")
        scene.redundant()
        scene.served()
    lost = outages(client.samples)
    slowest = max(one.seconds for one in client.samples)
    print(f"{len(client.samples)} requests, the slowest took {slowest:g} s; those that failed: {lost} s")
    assert len(lost) <= 1, lost
    assert not client.samples[-1].error
    scene.take_away()


@pytest.mark.usefixtures("image")
def test_a_machine_takes_interfaces_while_it_runs(
    request: pytest.FixtureRequest, guests: VirtualMachines, cloud_project: Project
) -> None:
    site: Installation = request.getfixturevalue("site")
    scene = MachineScene(site, guests, cloud_project)
    far = guests.fabric.member("members", 1, "far")
    scene.served()
    subnet = cloud_project.subnets["members"]
    made = site.create("member", parent=scene.pool, address=far, protocol_port=80, subnet_id=subnet)
    assert made["provisioning_status"] == "ACTIVE", made
    scene.served(by=("member", "far"))
    site.delete("member", made["id"], parent=scene.pool)
    scene.served()
    scene.take_away()
