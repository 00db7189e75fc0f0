# SPDX-License-Identifier: Apache-2.0
"""octaviactl image roll: amphorae of a real Nova are replaced by ones of a newer image, while clients ask."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from netns.installation import Installation

from .fabric import NetworkedGuests
from .project import Project
from .test_guests import Scene, cloud_project, guests, heartbeat_host, pair, watching
from .test_images import described, image, tag

__all__ = ["cloud_project", "guests", "heartbeat_host", "tag"]

pytestmark = pytest.mark.timeout(900)


def test_amphorae_roll_to_a_newer_image_and_no_request_fails(
    request: pytest.FixtureRequest, guests: NetworkedGuests, cloud_project: Project, tag: str, tmp_path: Path
) -> None:
    old = image("upload", str(described(tmp_path, "old")), "--tag", tag)["image"]["id"]
    site: Installation = request.getfixturevalue("site")
    scenes = [
        Scene(site, guests, cloud_project, number=0),
        Scene(site, guests, cloud_project, number=1, flavor_id=pair(site)),
    ]
    scenes[1].redundant(3)
    for scene in scenes:
        scene.served()
    before = site.get_json("/v2/octavia/amphorae")["amphorae"]
    assert {one["image_id"] for one in before} == {old}
    (backup,) = (one["id"] for one in before if one["vrrp_state"] == "BACKUP")
    new = image("upload", str(described(tmp_path, "new")), "--tag", tag)["image"]["id"]
    with contextlib.ExitStack() as clients:
        asked = [clients.enter_context(watching(scene.client, scene.url)) for scene in scenes]
        done = image("roll", "--tag", tag, "--home", str(site.home))
        scenes[1].redundant(3)
        for scene in scenes:
            scene.served()
    assert {one["id"] for one in done["replaced"]} == {one["id"] for one in before}
    assert {(one["before"], one["after"]) for one in done["replaced"]} == {(old, new)}
    of_pair = [one["id"] for one in done["replaced"] if one["loadbalancer_id"] == scenes[1].id]
    assert of_pair[0] == backup
    assert [one.image.id for one in cloud_project.servers()] == [new] * 3
    assert [one.error for client in asked for one in client.samples if one.error] == []
    assert image("roll", "--tag", tag, "--home", str(site.home))["replaced"] == []
    for scene in scenes:
        scene.delete()
    cloud_project.until_empty(seconds=300)
