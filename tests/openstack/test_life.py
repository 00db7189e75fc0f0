# SPDX-License-Identifier: Apache-2.0
"""Load balancers on real Nova and Neutron: they serve, change, survive what happens in the cloud, and leave nothing behind."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from netns.installation import Installation
from netns.traffic import ask
from octavia_provider.client.deadline import Deadline

from .project import Project
from .waiting import until

PORT = 8080


class _Member(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"member")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def member() -> Iterator[tuple[str, int]]:
    """An HTTP server on this machine, at an address that members may have: no loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        address = probe.getsockname()[0]
    server = ThreadingHTTPServer((address, 0), _Member)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield address, server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def balancer(site: Installation, project: Project, member: tuple[str, int], **values: Any) -> dict[str, Any]:
    """A load balancer with one HTTP listener and one member."""
    made = site.create("load_balancer", name="web", vip_subnet_id=project.subnets["vips"], **values)
    assert made["provisioning_status"] == "ACTIVE", made
    listener = site.create("listener", loadbalancer_id=made["id"], protocol="HTTP", protocol_port=PORT)
    pool = site.create("pool", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    site.create("member", parent=pool["id"], address=member[0], protocol_port=member[1])
    return {**made, "listener": listener["id"], "pool": pool["id"]}


def answers(made: dict[str, Any]) -> bool:
    """Whether a client at the VIP gets a member's answer."""
    try:
        return ask(f"http://{made['vip_address']}:{PORT}/") == (200, "member")
    except OSError:
        return False


def take_away(site: Installation, project: Project, made: dict[str, Any]) -> None:
    """Delete it with all its parts: nothing is left, counted by listing the project."""
    path = f"/v2/lbaas/loadbalancers/{made['id']}?cascade=true"
    site.client.request("DELETE", path, deadline=Deadline(60.0))
    project.until_empty()


def test_serves_changes_and_leaves_nothing(site: Installation, cloud_project: Project, member: tuple[str, int]) -> None:
    made = balancer(site, cloud_project, member)
    until(lambda: answers(made), what="an answer at the VIP")
    (server,) = cloud_project.servers()
    assert cloud_project.rules(made["id"]) == {("tcp", PORT, "0.0.0.0/0"), ("tcp", PORT, "::/0")}
    files = site.guests.files[server.name]
    (management,) = json.loads(files["/etc/octavia-amphora/interfaces.json"][1])
    assert json.loads(files["/etc/octavia-amphora/agent.json"][1])["listen_address"] in str(management)
    site.update("listener", made["listener"], allowed_cidrs=["127.0.0.0/8"])
    assert cloud_project.rules(made["id"]) == {("tcp", PORT, "127.0.0.0/8")}
    take_away(site, cloud_project, made)


def test_what_is_deleted_behind_our_back_is_made_again(
    site: Installation, cloud_project: Project, member: tuple[str, int]
) -> None:
    made = balancer(site, cloud_project, member)
    until(lambda: answers(made), what="an answer at the VIP")
    (server,) = cloud_project.servers()
    cloud_project.user.compute.delete_server(server)
    until(lambda: [one.id for one in cloud_project.servers()] not in ([], [server.id]), what="another server")
    until(lambda: answers(made), what="an answer at the same VIP")
    take_away(site, cloud_project, made)


def test_amphorae_get_interfaces_where_members_are(
    site: Installation, cloud_project: Project, member: tuple[str, int]
) -> None:
    made = balancer(site, cloud_project, member)
    subnet = cloud_project.subnets["members"]
    other = site.create("member", parent=made["pool"], address="10.9.9.9", protocol_port=80, subnet_id=subnet)
    assert other["provisioning_status"] == "ACTIVE", other
    (server,) = cloud_project.servers()
    plugged = {port.network_id for port in cloud_project.user.network.ports(device_id=server.id)}
    assert plugged == set(cloud_project.networks.values())
    site.delete("member", other["id"], parent=made["pool"])
    until(lambda: len(list(cloud_project.user.network.ports(device_id=server.id))) == 2, what="the port to go")
    until(lambda: answers(made), what="an answer at the VIP")
    take_away(site, cloud_project, made)


def test_a_full_quota_is_told_at_the_load_balancer_and_tried_again(site: Installation, cloud_project: Project) -> None:
    project_id, compute = cloud_project.user.current_project_id, cloud_project.admin.compute
    compute.update_quota_set(project_id, instances=0)
    made = site.create("load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"])
    assert made["provisioning_status"] == "ERROR"
    assert "uota exceeded for instances" in made["provisioning_error"]
    assert "openstack quota set" in made["provisioning_error"]
    compute.update_quota_set(project_id, instances=-1)
    until(
        lambda: site.get("load_balancer", made["id"])["provisioning_status"] == "ACTIVE", seconds=90,
        what="it to be made by itself",
    )  # fmt: skip
    take_away(site, cloud_project, made)


def test_a_control_plane_that_is_killed_while_it_boots_goes_on_after_its_start(
    site: Installation, cloud_project: Project
) -> None:
    made = site.create("load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"], wait=False)
    until(cloud_project.servers, what="a server")
    site.kill()
    site.start()
    until(
        lambda: site.get("load_balancer", made["id"])["provisioning_status"] == "ACTIVE",
        what="it to be made",
    )
    assert len(cloud_project.servers()) == 1
    take_away(site, cloud_project, made)
