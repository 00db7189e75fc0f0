# SPDX-License-Identifier: Apache-2.0
"""Whose a port or security group of Neutron is. An administrator sees those of all projects, whose users write tags as they like."""

from __future__ import annotations

from typing import Any, cast

import pytest

from octavia_provider.clouds.openstack import names
from octavia_provider.clouds.openstack.neutron import Neutron

CONTROL_PLANE, LB = "cp", "6f4f5a59-9a1f-4d5c-8a5b-0f5d3c4b2a10"
OURS, THEIRS = "services", "tenant"
TAGS = [names.control_plane(CONTROL_PLANE), names.load_balancer(LB)]
VIP = {"device_owner": names.OWNER, "device_id": names.vip_device(LB)}


class Session:
    """Neutron as an administrator sees it, who signed in to the project OURS; it has one port, and ``more``."""

    project_id = OURS

    def __init__(self, **port: Any) -> None:
        self.port = {
            "id": "p", "name": "it", "created_at": "", "tags": [], "description": "", "device_owner": "", "device_id": "", **port,
        }  # fmt: skip
        self.more: list[dict[str, Any]] = []
        self.deleted: list[str] = []

    async def listed(self, service: str, path: str, key: str, *, tags: str = "", **_: Any) -> Any:
        wanted = {*tags.split(",")} - {""}
        return [one for one in (self.port, *self.more) if wanted <= {*one["tags"]}]

    async def delete(self, service: str, path: str) -> None:
        self.deleted.append(path)


async def found(session: Session) -> list[bool]:
    """Whether the port counts as ours: by tags, as a load balancer's, and by name."""
    neutron = Neutron(cast("Any", session), CONTROL_PLANE)
    return [
        bool(one)
        for one in (
            await neutron.ours("ports"),
            await neutron.all_of("ports", LB),
            await neutron.named("ports", "it"),
        )
    ]


@pytest.mark.parametrize("port", [{}, VIP, {"device_owner": "compute:nova", "device_id": "server"}])
async def test_what_is_tagged_in_our_own_project_is_ours(port: dict[str, str]) -> None:
    assert await found(Session(project_id=OURS, tags=TAGS, **port)) == [True] * 3


async def test_a_vips_port_in_a_users_project_is_ours() -> None:
    assert await found(Session(project_id=THEIRS, tags=TAGS, **VIP)) == [True] * 3


async def test_a_vips_port_that_is_not_tagged_yet_is_ours_by_its_description() -> None:
    session = Session(project_id=THEIRS, description=" ".join(TAGS), **VIP)
    assert await found(session) == [False, True, True]


@pytest.mark.parametrize(
    "port",
    [
        {},
        {"device_owner": "compute:nova", "device_id": "server"},
        {**VIP, "tags": [*TAGS, names.amphora("a")]},
        {**VIP, "tags": [names.control_plane(CONTROL_PLANE)]},
        {**VIP, "tags": [names.control_plane(CONTROL_PLANE), names.load_balancer("another")]},
        {"tags": [], "description": " ".join(TAGS)},
    ],
)
async def test_a_port_that_a_user_has_tagged_like_ours_is_not(port: dict[str, Any]) -> None:
    assert await found(Session(**{"project_id": THEIRS, "tags": TAGS, **port})) == [False] * 3


async def test_an_older_port_of_a_user_takes_the_place_of_none_of_ours() -> None:
    session = Session(project_id=OURS, tags=TAGS, created_at="2")
    theirs = {**session.port, "id": "theirs", "project_id": THEIRS, "created_at": "1"}
    session.more = [theirs]
    one = await Neutron(cast("Any", session), CONTROL_PLANE).named("ports", "it")
    assert one is not None
    assert one["id"] == "p"
    assert session.deleted == []


async def test_of_two_ports_of_ours_with_one_name_the_later_one_goes() -> None:
    session = Session(project_id=OURS, tags=TAGS, created_at="1")
    session.more = [{**session.port, "id": "later", "created_at": "2"}]
    one = await Neutron(cast("Any", session), CONTROL_PLANE).named("ports", "it")
    assert one is not None
    assert one["id"] == "p"
    assert session.deleted == ["/ports/later"]


async def test_a_vips_port_stays_ours_whatever_its_user_writes_into_its_description() -> None:
    """With our tags it is found by them; with others by what stands in its description."""
    told = f"mine {names.amphora('x')}"
    assert (await found(Session(project_id=THEIRS, tags=TAGS, description=told, **VIP)))[:2] == [True, True]
    port = {"tags": ["mine"], "description": " ".join(TAGS), **VIP}
    assert (await found(Session(project_id=THEIRS, **port)))[1]
