# SPDX-License-Identifier: Apache-2.0
"""Server groups of Nova: it has no tags for them and takes a name twice. Without OpenStack."""

from __future__ import annotations

from typing import Any, cast

import pytest

from octavia_provider.clouds.openstack import names
from octavia_provider.clouds.openstack.amphora_ports import AmphoraPorts
from octavia_provider.clouds.openstack.cloud import OpenStackCloud
from octavia_provider.clouds.openstack.neutron import Neutron
from octavia_provider.clouds.openstack.nova import Nova
from octavia_provider.clouds.openstack.settings import OpenStackSettings
from octavia_provider.model.errors import TransientError, Unreachable

SETTINGS = OpenStackSettings(management_network="m", heartbeat_address="192.0.2.1:5555")
GROUP, HOST = "group", "host"
MOST = 100
"""Server groups that Nova lists at once."""


class Services:
    """Nova's server groups and Neutron's ports. ``lost``: so many answers to a POST do not come; ``ends``: after so many deletions."""

    project_id = "services"

    writes = 0

    def __init__(self) -> None:
        self.groups: dict[str, str] = {}
        self.ports: dict[str, list[str]] = {}
        self.lost, self.ends = 0, 99

    async def get(self, _service: str, _path: str, *, offset: int) -> Any:
        there = [{"id": id_, "name": name} for id_, name in self.groups.items()]
        return {"server_groups": there[offset : offset + MOST]}

    async def listed(self, _service: str, _path: str, key: str, *, tags: str) -> list[dict[str, Any]]:
        wanted = set(tags.split(","))
        there = [(id_, has) for id_, has in self.ports.items() if key == "ports" and wanted <= {*has}]
        plain = {"project_id": self.project_id, "device_id": "", "device_owner": ""}
        return [{**plain, "id": id_, "tags": has} for id_, has in there]

    async def make(self, _service: str, _path: str, body: Any, **_: Any) -> Any:
        id_ = f"g{len(self.groups)}"
        self.groups[id_] = body["server_group"]["name"]
        if self.lost:
            self.lost -= 1
            raise Unreachable("no answer")
        return {"server_group": {"id": id_}}

    async def delete(self, _service: str, path: str) -> None:
        if not self.ends:
            raise TransientError("the process has ended")
        self.ends -= 1
        id_ = path.rpartition("/")[2]
        self.groups.pop(id_, None)
        self.ports.pop(id_, None)


def nova(services: Services) -> Nova:
    return Nova(cast("Any", services), SETTINGS, "cp")


async def test_a_server_group_that_was_made_without_an_answer_is_found_before_another_is_made() -> None:
    services = Services()
    services.lost, asked = 1, nova(services)
    with pytest.raises(Unreachable):
        await asked.group(GROUP)
    assert (await asked.group(GROUP), len(services.groups)) == ("g0", 1)


async def test_all_of_a_name_go_also_those_that_another_control_plane_has_made_since() -> None:
    services = Services()
    asked = nova(services)
    await asked.forget_group("other")  # so the list is known
    services.groups = {"a": names.server_group(GROUP), "b": names.server_group(GROUP), "c": names.server_group("other")}
    await asked.forget_group(GROUP)
    assert services.groups == {"c": names.server_group("other")}
    await asked.forget_group(GROUP)


async def test_a_server_group_is_found_beyond_what_nova_lists_at_once() -> None:
    services = Services()
    services.groups = {f"g{number}": f"octavia-lb-{number}" for number in range(2 * MOST)}
    assert await nova(services).group(str(2 * MOST - 1)) == f"g{2 * MOST - 1}"
    assert len(services.groups) == 2 * MOST, "none was made"


async def test_the_ports_of_seats_go_also_where_the_process_has_ended_after_the_server_went() -> None:
    services = Services()
    ours = names.control_plane("cp")
    services.ports = {
        "management": [ours, names.load_balancer(GROUP), names.amphora(HOST), names.GROUP],
        "seat": [ours, names.load_balancer("lb"), names.amphora("seat"), names.host(HOST)],
        "another": [ours, names.load_balancer("lb"), names.amphora("other"), names.host("other")],
    }
    session = cast("Any", services)
    ports = AmphoraPorts(Neutron(session, "cp"), SETTINGS)
    cloud = OpenStackCloud(session, nova(services), ports, SETTINGS)
    services.ends = 1
    with pytest.raises(TransientError):
        await cloud.delete(HOST)
    services.ends = 99
    await cloud.delete(HOST)
    assert [*services.ports] == ["another"]
