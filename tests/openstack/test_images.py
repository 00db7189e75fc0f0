# SPDX-License-Identifier: Apache-2.0
"""octaviactl image with a real Glance, and with amphorae on a real Nova."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from netns.installation import Installation

from .project import Project
from .test_life import balancer, member, take_away

__all__ = ["member"]


def described(folder: Path, name: str, disk_format: str = "qcow2") -> Path:
    """A small disk that no server has to boot, as `make image` writes it."""
    raw, file = folder / f"{name}.raw", folder / f"{name}.{disk_format}"
    raw.write_bytes(name.encode().ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    if disk_format != "raw":
        subprocess.run(["qemu-img", "convert", "-O", disk_format, raw, file], check=True)
    told = {
        "disk_format": disk_format, "container_format": "bare", "size": file.stat().st_size, "min_ram": 0,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "properties": {"octavia_amphora_haproxy": name},
    }  # fmt: skip
    file.with_suffix(".json").write_text(json.dumps(told))
    return file


@pytest.fixture
def tag(cloud_project: Project, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of the images of this test alone, and of its control plane's amphorae."""
    made = f"amphora-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("OCTAVIA_OPENSTACK_IMAGE_TAG", made)
    yield made
    for one in list(cloud_project.user.image.images(tag=made)):
        cloud_project.user.image.delete_image(one)


def image(*words: str) -> Any:
    done = octaviactl("image", *words, "--os-cloud", "test", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_image_is_put_into_glance_once(cloud_project: Project, tag: str, tmp_path: Path) -> None:
    file = described(tmp_path, "one")
    made = image("upload", str(file), "--tag", tag)
    assert made["uploaded"]
    (there,) = cloud_project.user.image.images(tag=tag)
    assert (there.status, there.disk_format, there.visibility) == ("active", "qcow2", "private")
    assert there.hash_value == hashlib.sha512(file.read_bytes()).hexdigest()
    assert made["image"]["checksum"] == f"sha512:{there.hash_value}"
    assert made["image"]["versions"] == {"haproxy": "one"}
    assert not image("upload", str(file), "--tag", tag)["uploaded"]


def test_a_raw_disk_with_a_boot_record_is_refused_in_glances_words(tag: str, tmp_path: Path) -> None:
    done = octaviactl("image", "upload", str(described(tmp_path, "one", "raw")), "--tag", tag, "--os-cloud", "test")
    assert done.returncode == 1
    assert "glance: " in done.stderr
    assert "qcow2" in done.stderr


def test_the_list_tells_what_amphorae_were_made_from(
    cloud_project: Project, tag: str, tmp_path: Path, member: tuple[str, int], request: pytest.FixtureRequest
) -> None:
    """Fake guests have no interfaces, so none of them can be replaced by way of a pair: the roll itself is in tests/unit/cli."""
    old = image("upload", str(described(tmp_path, "old")), "--tag", tag)["image"]["id"]
    site: Installation = request.getfixturevalue("site")
    made = balancer(site, cloud_project, member)
    new = image("upload", str(described(tmp_path, "new")), "--tag", tag)["image"]["id"]
    found = image("list", "--tag", tag, "--home", str(site.home))["images"]
    assert [(one["id"], one["amphorae"]) for one in found] == [(new, 0), (old, 1)]
    (amphora,) = site.get_json("/v2/octavia/amphorae")["amphorae"]
    (server,) = cloud_project.servers()
    assert amphora["image_id"] == server.image.id == old
    take_away(site, cloud_project, made)
