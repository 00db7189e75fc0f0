# SPDX-License-Identifier: Apache-2.0
"""A project of its own in the cloud under test, with networks and a user for one control plane, and what is left in it."""

from __future__ import annotations

import contextlib
import json
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack

from .waiting import SLOW, until

PASSWORD = "octavia-test"  # of a user of the cloud that the tests bring up


@dataclass
class Project:
    """``admin`` and ``user``: connections; ``subnets`` and ``cidrs``: by the name of their network. Networks are loopback ranges, so that
    what a fake guest serves is reached on this machine; or private ones, where guests have networks."""

    name: str
    admin: Any
    user: Any
    networks: dict[str, str]
    subnets: dict[str, str]
    cidrs: dict[str, str]
    clouds_file: Path

    def left(self) -> dict[str, list[str]]:
        """What is in the project beside what it was made with, by name."""
        project_id = self.user.current_project_id
        found = {
            "servers": [one.name for one in self.user.compute.servers(details=False)],
            "server groups": [one.name for one in self.user.compute.server_groups()],
            "ports": [one.name or one.id for one in self.user.network.ports(project_id=project_id)],
            "security groups": [
                one.name for one in self.user.network.security_groups(project_id=project_id) if one.name != "default"
            ],
            "secrets": [one.name for one in self.user.key_manager.secrets()],
        }
        return {what: names for what, names in found.items() if names}

    def until_empty(self, *but: str, seconds: float = SLOW) -> None:
        """Until nothing of it is left, or only what is in ``but``."""
        left: dict[str, list[str]] = {}

        def empty() -> bool:
            nonlocal left
            left = self.left()
            return {*left} <= {*but}

        try:
            until(empty, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"still there after {seconds:g} s: {left}") from error

    def servers(self) -> list[Any]:
        return sorted(self.user.compute.servers(), key=lambda one: one.created_at)

    def rules_among_amphorae(self, load_balancer_id: str) -> list[tuple[str, str, int | None]]:
        """What its security group lets amphorae do with each other: family, protocol, port."""
        (group,) = self.user.network.security_groups(name=f"octavia-lb-{load_balancer_id}")
        rules = [rule for rule in group.security_group_rules if rule["remote_group_id"]]
        return sorted((rule["ethertype"], rule["protocol"], rule["port_range_min"]) for rule in rules)

    def rules(self, load_balancer_id: str) -> set[tuple[str, int, str]]:
        """What its security group lets in from addresses: protocol, port, prefix."""
        (group,) = self.user.network.security_groups(name=f"octavia-lb-{load_balancer_id}")
        return {
            (rule["protocol"], rule["port_range_min"], rule["remote_ip_prefix"])
            for rule in group.security_group_rules
            if rule["direction"] == "ingress" and rule["remote_ip_prefix"]
        }


def _free_range(admin: Any) -> int:
    """x of a range 127.x.0.0/16, or 10.x.0.0/16, in which the cloud has no subnet yet: what runs at once on this machine listens in ranges of its own."""
    used = {subnet.cidr.split(".")[1] for subnet in admin.network.subnets(ip_version=4)}
    return random.choice([x for x in range(100, 200) if str(x) not in used])


@contextlib.contextmanager
def project(
    admin_cloud: str, folder: Path, first: int = 127, roles: Sequence[str] = ("admin", "member", "creator")
) -> Iterator[Project]:
    """Made, and taken away with all that is in it. ``first``: 127, or 10 for guests with networks. ``roles``: of its user."""
    admin = openstack.connect(cloud=admin_cloud)
    name = f"octavia-test-{uuid.uuid4().hex[:8]}"
    made = admin.identity.create_project(name=name, domain_id="default")
    user = admin.identity.create_user(name=name, password=PASSWORD, domain_id="default", default_project_id=made.id)
    for role in [one for one in admin.identity.roles() if one.name in roles]:
        admin.identity.assign_project_role_to_user(made, user, role)
    auth = {
        "auth_url": admin.config.get_auth_args()["auth_url"], "username": name, "password": PASSWORD, "project_name": name,
        "user_domain_name": "Default", "project_domain_name": "Default",
    }  # fmt: skip
    clouds_file = folder / "clouds.yaml"
    clouds_file.write_text(json.dumps({"clouds": {"test": {"region_name": admin.config.region_name, "auth": auth}}}))
    connection = openstack.connect(auth=auth, region_name=admin.config.region_name)
    networks, subnets, cidrs, x = {}, {}, {}, _free_range(admin)
    try:
        for index, network in enumerate(("management", "vips", "members")):
            cidrs[network] = f"{first}.{x}.{index * 64}.0/18"
            networks[network] = connection.network.create_network(name=f"{name}-{network}").id
            subnets[network] = connection.network.create_subnet(
                network_id=networks[network], ip_version=4, cidr=cidrs[network], is_dhcp_enabled=False, gateway_ip=None
            ).id
        yield Project(name, admin, connection, networks, subnets, cidrs, clouds_file)
    finally:
        _take_away(connection, networks.values())
        admin.identity.delete_user(user)
        admin.identity.delete_project(made)


def _take_away(connection: Any, networks: Any) -> None:
    for server in list(connection.compute.servers()):
        connection.compute.delete_server(server)
        connection.compute.wait_for_delete(server)
    for group in list(connection.compute.server_groups()):
        connection.compute.delete_server_group(group)
    for port in list(connection.network.ports(project_id=connection.current_project_id)):
        connection.network.delete_port(port)
    for network in networks:
        connection.network.delete_network(network)
    for group in list(connection.network.security_groups(project_id=connection.current_project_id)):
        with contextlib.suppress(openstack.exceptions.ConflictException):  # the default one stays
            connection.network.delete_security_group(group)
