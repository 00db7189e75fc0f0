# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in OpenStack is the error of its load balancer, in OpenStack's words and with what to do, and heals when its cause goes."""

from __future__ import annotations

import contextlib
import io
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from netns.installation import Installation
from octavia_provider.client.deadline import Deadline
from octavia_provider.clouds.openstack import failures
from octavia_provider.model.errors import Refused

from .faulty import Faulty
from .guests import Guests
from .project import Project
from .waiting import until


@dataclass(frozen=True)
class Fault:
    """Of what it is said, in which words, with what to do, and how its cause goes."""

    subject: str
    words: str
    hint: str
    mend: Callable[[], object]


class Misconfigured:
    """A project in which a boot goes wrong again and again, in this order. Flavor, image and networks have names of their own."""

    def __init__(self, project: Project) -> None:
        self.project, self.name = project, f"octavia-test-{uuid.uuid4().hex[:8]}"
        self._admin, self._network = project.admin, project.user.network
        self._flavors: list[Any] = []
        self._images: list[Any] = []
        self._small = self._network.create_network(name=self.name)
        self.unbound = self._network.create_network(name=f"{self.name}-unbound")
        ranges = {"ip_version": 4, "is_dhcp_enabled": False, "gateway_ip": None}
        self.vips = self._network.create_subnet(network_id=self._small.id, cidr="127.98.1.0/29", **ranges).id
        self._network.create_subnet(network_id=self.unbound.id, cidr="127.98.0.0/24", **ranges)
        self._taken = [self._network.create_port(network_id=self._small.id) for _ in range(6)]
        self._quota(instances=0, ports=len(self._taken))
        self.faults = (
            Fault(
                "load balancer web, its VIP",
                "Quota exceeded for resources: ['port']",
                "openstack quota set",
                lambda: self._quota(ports=-1),
            ),
            Fault(
                "load balancer web, its VIP", "No more IP addresses available", "the subnet is full", self._make_room
            ),
            Fault(
                "amp_image_tag",
                f"Glance has no active image with the tag {self.name}",
                "openstack image set --tag",
                self._make_image,
            ),
            Fault(
                "compute_flavor",
                f"Nova has no flavor {self.name}",
                "openstack flavor list",
                lambda: self._make_flavor(1 << 30),
            ),
            Fault("amphora ", "Quota exceeded for instances", "openstack quota set", lambda: self._quota(instances=-1)),
            Fault("amphora ", "No valid host was found", "another compute_flavor", lambda: self._make_flavor(512)),
            Fault("amphora ", "Nova could not boot it", "tried again", self._let_ports_be_bound),
        )

    def _quota(self, instances: int | None = None, ports: int | None = None) -> None:
        project_id = self.project.user.current_project_id
        if instances is not None:
            self._admin.compute.update_quota_set(project_id, instances=instances)
        if ports is not None:
            self._admin.network.update_quota(project_id, ports=ports)

    def _make_room(self) -> None:
        for port in self._taken:
            self._network.delete_port(port)

    def _make_image(self) -> None:
        self._images.append(self._admin.image.create_image(
            name=self.name, disk_format="raw", container_format="bare", visibility="public", tags=[self.name],
            data=io.BytesIO(bytes(1 << 10)), validate_checksum=False,
        ))  # fmt: skip

    def _make_flavor(self, ram: int) -> None:
        """In place of the one of that name."""
        while self._flavors:
            self._admin.compute.delete_flavor(self._flavors.pop())
        self._flavors.append(self._admin.compute.create_flavor(name=self.name, ram=ram, vcpus=1, disk=1))

    def _let_ports_be_bound(self) -> None:
        """As where Neutron's agent of the host comes back (services/bind_all.py)."""
        self._network.update_network(self.unbound, name=self.name)

    def close(self) -> None:
        """Nothing of it is left."""
        self._quota(instances=-1, ports=-1)
        for flavor in self._flavors:
            self._admin.compute.delete_flavor(flavor)
        for image in self._images:
            self._admin.image.delete_image(image)
        for network in (self._small, self.unbound):
            for port in self._network.ports(network_id=network.id):
                self._network.delete_port(port)
            self._network.delete_network(network)


@pytest.fixture
def misconfigured(
    cloud_project: Project, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Misconfigured]:
    with contextlib.closing(Misconfigured(cloud_project)) as made:
        for variable, value in (
            ("IMAGE_TAG", made.name), ("COMPUTE_FLAVOR", made.name), ("MANAGEMENT_NETWORK", made.unbound.id),
        ):  # fmt: skip
            monkeypatch.setenv(f"OCTAVIA_OPENSTACK_{variable}", value)
        yield made


@pytest.fixture
def boots(misconfigured: Misconfigured, tmp_path: Path) -> Iterator[Installation]:
    site = Installation(tmp_path / "h", options=("--cloud", "openstack", "--os-cloud", "test"))
    with Guests(misconfigured.project):
        site.start()
        yield site
        site.stop()
        site.client.close()


@pytest.mark.timeout(900)
def test_each_error_of_a_boot_is_told_and_goes_with_its_cause(
    boots: Installation, misconfigured: Misconfigured
) -> None:
    made = boots.create("load_balancer", name="web", vip_subnet_id=misconfigured.vips, wait=False)

    def status() -> str:
        return str(boots.get("load_balancer", made["id"])["provisioning_status"])

    for number, fault in enumerate(misconfigured.faults):
        until(lambda fault=fault: _tells(boots, made["id"], fault.words), what=fault.words)  # type: ignore[misc]
        error = boots.get("load_balancer", made["id"])["provisioning_error"]
        assert error.startswith(fault.subject), error
        assert fault.hint in error, error
        said = octaviactl("status", "--home", str(boots.home))
        assert (fault.words in said.stdout, said.returncode) == (True, 5), said
        fault.mend()
        if (
            fault is not misconfigured.faults[-1]
        ):  # who changes it does not wait for the pause to be over; the last one heals by itself
            boots.client.update("load_balancer", made["id"], {"description": str(number)}, deadline=Deadline(30.0))
    until(lambda: status() == "ACTIVE", what="it to heal by itself")
    path = f"/v2/lbaas/loadbalancers/{made['id']}"
    boots.client.request("DELETE", path, deadline=Deadline(60.0))
    misconfigured.project.until_empty()


def _tells(site: Installation, id_: str, words: str) -> bool:
    found = site.get("load_balancer", id_)
    return found["provisioning_status"] == "ERROR" and words in (found["provisioning_error"] or "")


def test_glance_takes_no_raw_image_with_a_boot_record(cloud_project: Project) -> None:
    """What users' raw amphora images meet when they are uploaded."""
    image = cloud_project.user.image
    made = image.post("/images", json={"name": "raw", "disk_format": "raw", "container_format": "bare"}).json()
    disk = bytes(510) + b"\x55\xaa" + bytes(1 << 16)  # and no partition
    kind = {"Content-Type": "application/octet-stream"}
    answer = image.put(f"/images/{made['id']}/file", data=disk, headers=kind, raise_exc=False)
    error = failures.refusal("glance", answer.status_code, answer.text, "image raw")
    image.delete(f"/images/{made['id']}")
    assert (answer.status_code, type(error)) == (415, Refused)
    assert str(error).startswith("image raw: Glance says (415): ")
    assert "--disk-format qcow2" in error.hint


# ── what happens behind our back ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.timeout(900)
def test_what_somebody_deletes_or_breaks_is_made_again(site: Installation, cloud_project: Project) -> None:
    made = site.create("load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"], wait=False)
    until(
        lambda: site.get("load_balancer", made["id"])["provisioning_status"] == "ACTIVE",
        what="it to be made",
    )
    made = site.get("load_balancer", made["id"])
    network, compute = cloud_project.user.network, cloud_project.user.compute

    def ports(kind: str) -> list[Any]:
        return [
            port
            for port in network.ports(project_id=cloud_project.user.current_project_id)
            if port.name.startswith(kind)
        ]

    def of_vip() -> list[Any]:
        return ports(f"octavia-lb-{made['id']}")

    (server,), (traffic,) = cloud_project.servers(), ports("octavia-lb-vrrp-")
    for port in (*of_vip(), traffic):
        network.delete_port(port)
    until(lambda: of_vip() and ports("octavia-lb-vrrp-"), what="both ports to be made again")
    (vip,) = of_vip()
    assert (vip.fixed_ips[0]["ip_address"], vip.id == made["vip_port_id"]) == (made["vip_address"], False)
    until(lambda: site.get("load_balancer", made["id"])["vip_port_id"] == vip.id, what="the API to show it")
    until(lambda: ports("octavia-lb-vrrp-")[0].device_id == server.id, what="the port to be plugged in")
    assert [one.id for one in cloud_project.servers()] == [server.id]

    def another_than(lost: Any) -> Any:
        """A server that runs, in place of one that is lost."""
        return next((one for one in cloud_project.servers() if one.id != lost.id and one.status == "ACTIVE"), None)

    (management,) = ports("octavia-lb-mgmt-")
    network.delete_port(management)
    second = until(lambda: another_than(server), what="another server")
    cloud_project.admin.compute.reset_server_state(second.id, "error")
    server = until(lambda: another_than(second), what="one that works")
    until(lambda: _well(site, made["id"]), what="it to be well")
    assert len(ports("octavia-lb-mgmt-")) == 1
    site.client.request("DELETE", f"/v2/lbaas/loadbalancers/{made['id']}", deadline=Deadline(60.0))
    cloud_project.until_empty()
    assert compute.find_server(server.id) is None


def _well(site: Installation, id_: str) -> bool:
    (amphora,) = site.get_json("/v2/octavia/amphorae")["amphorae"]
    return bool(
        amphora["status"] == "ALLOCATED"
        and not json.loads(octaviactl("status", "--json", "--home", str(site.home)).stdout)["troubles"]
    )


# ── a service that is down ───────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.timeout(900)
def test_a_service_that_is_down_and_tokens_that_are_revoked(
    cloud_project: Project, environment: dict[str, str], tmp_path: Path
) -> None:
    neutron = cloud_project.admin.network.get_endpoint()
    with Faulty(neutron) as between, behind(cloud_project, tmp_path, network_endpoint_override=between.url) as site:
        site.start()
        between.refuses()
        made = site.create("load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"], wait=False)
        until(lambda: "Neutron does not answer" in _said(site), what="status to say so")
        between.answers(503)
        until(lambda: "Neutron says (503)" in _said(site), what="status to say so")
        assert site.get("load_balancer", made["id"])["provisioning_status"] == "PENDING_CREATE", (
            "it is no error of its own"
        )
        user = cloud_project.user.current_user_id
        for enabled in (False, True):  # Keystone revokes the tokens of who is disabled
            cloud_project.admin.identity.update_user(user, is_enabled=enabled)
        between.passes()
        until(
            lambda: site.get("load_balancer", made["id"])["provisioning_status"] == "ACTIVE",
            what="it to heal",
        )
        site.client.request("DELETE", f"/v2/lbaas/loadbalancers/{made['id']}", deadline=Deadline(60.0))
        cloud_project.until_empty()


@pytest.mark.timeout(900)
def test_a_control_plane_that_starts_while_keystone_is_away(
    cloud_project: Project, environment: dict[str, str], tmp_path: Path
) -> None:
    auth = json.loads(cloud_project.clouds_file.read_text())["clouds"]["test"]["auth"]
    with (
        Faulty(auth["auth_url"]) as between,
        behind(cloud_project, tmp_path, auth={**auth, "auth_url": between.url}) as site,
    ):
        between.refuses()
        site.start()
        made = site.create("load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"], wait=False)
        assert made["provisioning_status"] == "PENDING_CREATE"
        until(lambda: between.url in _said(site), what="status to name the Keystone that does not answer")
        assert len(site.events("cloud.unreachable")) == 1
        between.passes()
        until(
            lambda: site.get("load_balancer", made["id"])["provisioning_status"] == "ACTIVE",
            what="it to be made",
        )
        assert len(site.events("cloud.reachable")) == 1
        site.client.request("DELETE", f"/v2/lbaas/loadbalancers/{made['id']}", deadline=Deadline(60.0))
        cloud_project.until_empty()


@contextlib.contextmanager
def behind(project: Project, folder: Path, **entry: Any) -> Iterator[Installation]:
    """A control plane, not started yet, whose entry in clouds.yaml has these values too."""
    clouds = json.loads(project.clouds_file.read_text())
    clouds["clouds"]["test"] |= entry
    file = folder / "clouds.yaml"
    file.write_text(json.dumps(clouds))
    site = Installation(folder / "h", options=("--cloud", "openstack", "--os-cloud", "test"))
    with Guests(project), pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_CLIENT_CONFIG_FILE", str(file))
        try:
            yield site
        finally:
            site.stop()
            site.client.close()


def _said(site: Installation) -> str:
    return octaviactl("status", "--home", str(site.home)).stdout
