# SPDX-License-Identifier: Apache-2.0
"""Keystone's users on a TLS port, with OpenStack's own clients: the command in all its subcommands, and openstacksdk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from command_line import octaviactl

from .project import Project
from .serving import Served, serving
from .waiting import until

JSON = ("-f", "json")


@pytest.fixture
def embedded(cloud_project: Project, environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    """One of the embedded cloud, whose amphorae can be failed over; it is Neutron to its users, too."""
    with serving(cloud_project, tmp_path, "embedded") as made:
        yield made
        purged = octaviactl("purge", "--home", str(made.site.home), "--yes")
        assert purged.returncode == 0, purged.stderr


def test_who_shows_no_token_is_told_where_to_get_one(served: Served) -> None:
    status, headers = served.ask("/v2/lbaas/loadbalancers", "nonsense")
    assert (status, headers["WWW-Authenticate"].startswith("Keystone uri=")) == (401, True)
    assert served.ask("/healthcheck")[0] == served.ask("/")[0] == 200
    token = served.users.connect("ann").auth_token
    assert served.ask("/v2/lbaas/loadbalancers", token)[0] == 200
    lines = (served.site.instance / "stderr.log").read_text().splitlines()
    assert all("event" in json.loads(line) for line in lines)


def test_projects_are_apart_for_openstacksdk(served: Served) -> None:
    ann, bob, root = (served.users.connect(name) for name in ("ann", "bob", "root"))
    subnet = served.project.subnets["vips"]
    with pytest.raises(openstack.exceptions.BadRequestException, match=f"subnet {subnet} does not exist"):
        bob.load_balancer.create_load_balancer(name="mine", vip_subnet_id=subnet)
    made = ann.load_balancer.create_load_balancer(name="web", vip_subnet_id=subnet)
    made = ann.load_balancer.wait_for_load_balancer(made.id, interval=0.5, wait=90)
    assert (made.provisioning_status, made.project_id) == ("ACTIVE", served.users.projects["ann"])
    assert [one.name for one in ann.load_balancer.load_balancers()] == ["web"]
    assert list(bob.load_balancer.load_balancers()) == []
    assert [one.id for one in root.load_balancer.load_balancers(all_projects=True)] == [made.id]
    for call in (bob.load_balancer.get_load_balancer, bob.load_balancer.delete_load_balancer):
        with pytest.raises(openstack.exceptions.ForbiddenException, match="Policy does not allow"):
            call(made.id)
    with pytest.raises(openstack.exceptions.ForbiddenException):
        bob.load_balancer.create_listener(load_balancer_id=made.id, protocol="TCP", protocol_port=80)
    with pytest.raises(openstack.exceptions.ForbiddenException):
        ann.load_balancer.update_quota(served.users.projects["ann"], load_balancer=1)
    root.load_balancer.update_quota(served.users.projects["ann"], load_balancer=1)
    with pytest.raises(openstack.exceptions.ForbiddenException, match="Quota has been met"):
        ann.load_balancer.create_load_balancer(name="second", vip_subnet_id=subnet)
    listener = ann.load_balancer.create_listener(load_balancer_id=made.id, protocol="HTTP", protocol_port=80, name="l")
    pool = ann.load_balancer.create_pool(listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    ann.load_balancer.create_member(pool, address="192.0.2.9", protocol_port=80)
    ann.load_balancer.create_health_monitor(pool_id=pool.id, type="HTTP", delay=5, timeout=3, max_retries=2)
    ann.load_balancer.wait_for_load_balancer(made.id, interval=0.5, wait=90)
    assert ann.load_balancer.get_listener(listener.id).provisioning_status == "ACTIVE"
    ann.load_balancer.delete_load_balancer(made.id, cascade=True)
    served.project.until_empty(seconds=60)


def test_the_port_of_a_vip_is_its_users__who_can_give_it_a_floating_ip(served: Served) -> None:
    bob = served.users.connect("bob")
    network = bob.network.create_network(name="of bob")
    x = served.project.cidrs["vips"].split(".")[1]
    subnet = bob.network.create_subnet(
        network_id=network.id, ip_version=4, cidr=f"127.{x}.192.0/18", is_dhcp_enabled=False, gateway_ip=None
    )
    made = bob.load_balancer.create_load_balancer(name="web", vip_subnet_id=subnet.id)
    assert made.vip_port_id, "the answer to the POST has it, as Octavia's"
    made = bob.load_balancer.wait_for_load_balancer(made.id, interval=0.5, wait=90)
    port = bob.network.get_port(made.vip_port_id)
    assert port.project_id == served.users.projects["bob"] == made.project_id
    assert [port.id] == [one.id for one in bob.network.ports(project_id=port.project_id)], "amphorae's are not"
    bob.load_balancer.delete_load_balancer(made.id, cascade=True)
    bob.load_balancer.wait_for_delete(made, interval=0.5, wait=60)
    until(lambda: not list(bob.network.ports(network_id=network.id)), seconds=60, what="the VIP's port to be gone")
    bob.network.delete_network(network)


@pytest.mark.netns
@pytest.mark.timeout(600)
def test_every_subcommand(embedded: Served) -> None:
    subnet = embedded.site.create("local_network", name="net")["subnet_id"]
    with embedded.users.command("ann") as ann, embedded.users.command("root") as root:
        _flavors_and_zones(ann, root)
        ann(
            "create",
            "--name",
            "web",
            "--vip-subnet-id",
            subnet,
            "--flavor",
            "f",
            "--availability-zone",
            "z",
            "--wait",
            *JSON,
        )
        (shown,) = ann("list", *JSON)
        assert (shown["name"], shown["provisioning_status"]) == ("web", "ACTIVE")
        ann("set", "--description", "one", "web")
        ann("unset", "--description", "web")
        _listener_and_pool(ann)
        ann("stats", "show", "web", *JSON)
        assert "l7policies" not in ann("show", "web", *JSON)
        ann("status", "show", "web")
        _amphorae(ann, root)
        _quotas(ann, root)
        ann("delete", "--cascade", "--wait", "web")
        for what, name in (
            ("availabilityzone", "z"), ("availabilityzoneprofile", "zp"), ("flavor", "f"), ("flavorprofile", "fp"),
        ):  # fmt: skip
            root(what, "delete", name)
        assert ann.used | root.used == set(ann.known)


def _flavors_and_zones(ann: Any, root: Any) -> None:
    data = ("--flavor-data", '{"loadbalancer_topology": "SINGLE"}')
    root("flavorprofile", "create", "--name", "p", "--provider", "amphora", *data, *JSON)
    root("flavorprofile", "set", "--name", "fp", "p")
    assert [one["name"] for one in root("flavorprofile", "list", *JSON)] == ["fp"]
    root("flavorprofile", "show", "fp", *JSON)
    root("flavor", "create", "--name", "f", "--flavorprofile", "fp", "--enable", *JSON)
    zones = ("--availability-zone-data", "{}")
    root("availabilityzoneprofile", "create", "--name", "p", "--provider", "amphora", *zones, *JSON)
    root("availabilityzoneprofile", "set", "--name", "zp", "p")
    root("availabilityzoneprofile", "list", *JSON)
    root("availabilityzoneprofile", "show", "zp", *JSON)
    root("availabilityzone", "create", "--name", "z", "--availabilityzoneprofile", "zp", "--enable", *JSON)
    for what, name in (("flavor", "f"), ("availabilityzone", "z")):
        root(what, "set", "--description", "one", name)
        root(what, "unset", "--description", name)
        ann(what, "list", *JSON)
        ann(what, "show", name, *JSON)
        ann(what, "delete", name, fails="Policy does not allow")
    ann("provider", "list", *JSON)
    root("provider", "capability", "list", "amphora", *JSON)


def _listener_and_pool(ann: Any) -> None:
    ann("listener", "create", "--name", "l", "--protocol", "HTTP", "--protocol-port", "80", "web", *JSON)
    ann(
        "pool", "create", "--name", "p", "--protocol", "HTTP", "--lb-algorithm", "ROUND_ROBIN", "--listener", "l", *JSON
    )
    ann("member", "create", "--name", "m", "--address", "192.0.2.9", "--protocol-port", "80", "p", *JSON)
    check = ("--delay", "5", "--timeout", "3", "--max-retries", "2", "--type", "HTTP")
    ann("healthmonitor", "create", "--name", "h", *check, "p", *JSON)
    ann("l7policy", "create", "--name", "y", "--action", "REJECT", "l", *JSON)
    rule = ann("l7rule", "create", "--type", "PATH", "--compare-type", "STARTS_WITH", "--value", "/a", "y", *JSON)["id"]
    objects = {
        "l7rule": (("y", rule), ("--value", "/b"), ("--invert",)),
        "l7policy": (("y",), ("--description", "one"), ("--description",)),
        "healthmonitor": (("h",), ("--delay", "6"), ("--http-method",)),
        "member": (("p", "m"), ("--weight", "3"), ("--weight",)),
        "pool": (("p",), ("--description", "one"), ("--description",)),
        "listener": (("l",), ("--connection-limit", "7"), ("--connection-limit",)),
    }
    for what, (names, changed, put_back) in objects.items():
        assert len(ann(what, "list", *names[:-1], *JSON)) == 1
        ann(what, "show", *names, *JSON)
        ann(what, "set", *changed, *names)
        ann(what, "unset", *put_back, *names)
    ann("listener", "stats", "show", "l", *JSON)
    for what, (names, *_) in objects.items():
        ann(what, "delete", "--wait", *names)


def _amphorae(ann: Any, root: Any) -> None:
    ann("amphora", "list", fails="Policy does not allow")
    (found,) = root("amphora", "list", *JSON)
    root("amphora", "show", found["id"], *JSON)
    root("amphora", "stats", "show", found["id"], *JSON)
    root("amphora", "configure", found["id"])
    root("amphora", "delete", found["id"], fails="only one in ERROR can be deleted")
    root("amphora", "failover", "--wait", found["id"])
    root("failover", "--wait", "web")


def _quotas(ann: Any, root: Any) -> None:
    ann("quota", "defaults", "show", *JSON)
    project = root("quota", "list", *JSON)
    assert project == []
    own = ann("list", *JSON)[0]["project_id"]
    root("quota", "set", "--loadbalancer", "9", own, *JSON)
    assert ann("quota", "show", own, *JSON)["load_balancer"] == 9
    root("quota", "unset", "--loadbalancer", own)
    root("quota", "reset", own)
