# SPDX-License-Identifier: Apache-2.0
"""octaviactl image: what is put into Glance, what is listed, which amphorae are replaced and in which order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.cli import exit_codes, waiting
from octavia_provider.keystone import registration
from octavia_provider.ports import Amphora
from real_plane import RealPlane

BACKUP, MASTER = "1a000000-0000-0000-0000-000000000001", "1b000000-0000-0000-0000-000000000002"
OLD, NEW = "old-image", "new-image"
CONTENT = b"a disk"
PROJECT = "ours"


class Glance:
    """Of openstacksdk's image proxy what is called."""

    def __init__(self) -> None:
        self.there: list[SimpleNamespace] = []

    def add(self, id_: str, created_at: str, **more: Any) -> None:
        ours = {"owner_id": PROJECT, "visibility": "private"}
        facts = {
            **ours,
            "tags": ["amphora"],
            "status": "active",
            "properties": {},
            "size": 80_000_000,
            "name": id_,
            **more,
        }
        self.there.append(
            SimpleNamespace(id=id_, created_at=created_at, hash_algo="sha512", hash_value="abc", checksum="d", **facts)
        )

    def images(self, *, tag: str) -> Iterator[SimpleNamespace]:
        return (one for one in self.there if tag in one.tags)

    def create_image(self, name: str, *, filename: str, **more: Any) -> SimpleNamespace:
        assert Path(filename).read_bytes() == CONTENT
        wanted = {key: more[key] for key in ("tags", "properties")}
        self.add("made", "2026-11-30T00:00:00Z", name=name, **wanted)
        self.made = more
        return self.there[-1]

    def get_image(self, id_: str) -> SimpleNamespace:
        return next(one for one in self.there if one.id == id_)


@pytest.fixture
def glance(monkeypatch: pytest.MonkeyPatch) -> Glance:
    made = Glance()
    monkeypatch.setattr(registration, "connect", lambda cloud: SimpleNamespace(image=made, current_project_id=PROJECT))
    return made


@pytest.fixture
def plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealPlane]:
    """A load balancer whose pair was made from an old image."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
    with RealPlane() as made:
        balancer = made.make("web")["id"]
        for id_, role in ((MASTER, "MASTER"), (BACKUP, "BACKUP")):
            amphora = Amphora(id=id_, load_balancer_id=balancer, role=role, status="ALLOCATED", image_id=OLD)
            made.run(made.plane.store.write(lambda tx, amphora=amphora: tx.put_amphora(amphora)))  # type: ignore[misc]
        made.plane.status_cache.vrrp.update({MASTER: "MASTER", BACKUP: "BACKUP"})
        made.plane.care, made.plane.newest_image = True, NEW
        yield made


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What `make image` writes."""
    (file := tmp_path / "amphora.qcow2").write_bytes(CONTENT)
    described = {
        "disk_format": "qcow2", "container_format": "bare", "size": len(CONTENT), "min_ram": 512,
        "sha256": hashlib.sha256(CONTENT).hexdigest(), "properties": {"os_type": "linux", "octavia_amphora_haproxy": "3.0.11"},
    }  # fmt: skip
    file.with_suffix(".json").write_text(json.dumps(described))
    return file


def shown(*words: str) -> Any:
    done = octaviactl("image", *words, "--json")
    assert (done.returncode, done.stderr) == (exit_codes.OK, "")
    return json.loads(done.stdout)


def test_an_image_is_uploaded_once_with_its_tag_its_format_and_its_versions(glance: Glance, built: Path) -> None:
    found = shown("upload", str(built))
    assert found["uploaded"]
    assert (found["image"]["tags"], found["image"]["versions"]) == (["amphora"], {"haproxy": "3.0.11"})
    assert (glance.made["disk_format"], glance.made["min_ram"], glance.made["visibility"]) == ("qcow2", 512, "private")
    assert not shown("upload", str(built))["uploaded"]
    assert len(glance.there) == 1
    assert shown("upload", str(built), "--tag", "other")["uploaded"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_bytes(b"other"), "its SHA-256 is"),
        (lambda file: file.with_suffix(".json").unlink(), "amphora.json: No such file or directory"),
        (lambda file: file.with_suffix(".json").write_text("{}"), "it does not say 'disk_format'"),
        (lambda file: file.unlink(), "it cannot be read"),
    ],
)
def test_an_image_that_is_not_what_its_description_says_is_refused(
    glance: Glance, built: Path, spoil: Any, words: str
) -> None:
    spoil(built)
    done = octaviactl("image", "upload", str(built))
    assert done.returncode == exit_codes.FAILED
    assert words in done.stderr
    assert "make image" in done.stderr
    assert glance.there == []


def test_the_list_tells_how_many_amphorae_were_made_from_each(plane: RealPlane, glance: Glance) -> None:
    glance.add(OLD, "2026-11-01T00:00:00Z", properties={"octavia_amphora_agent": "0.1.0"})
    glance.add(NEW, "2026-11-02T00:00:00Z")
    glance.add("theirs", "2026-11-03T00:00:00Z", owner_id="others")  # which an administrator sees too
    found = shown("list", "--home", plane.home)
    assert [(one["id"], one["amphorae"]) for one in found["images"]] == [(NEW, 0), (OLD, 2)]
    done = octaviactl("image", "list", "--home", plane.home)
    assert done.returncode == exit_codes.OK
    assert done.stdout.splitlines()[2].split() == [
        OLD, "2026-11-01T00:00:00Z", "active", "80", "0.1.0", "-", "sha512:abc", "2",
    ]  # fmt: skip
    glance.there.pop(0)
    assert shown("list", "--home", plane.home)["amphorae_of_others"] == {OLD: 2}


def test_rolling_replaces_the_backup_first_and_then_the_one_with_the_vips(plane: RealPlane, glance: Glance) -> None:
    glance.add(OLD, "2026-11-01T00:00:00Z")
    glance.add(NEW, "2026-11-02T00:00:00Z")
    found = shown("roll", "web", "--home", plane.home)
    assert [(one["id"], one["before"], one["after"]) for one in found["replaced"]] == [
        (BACKUP, OLD, NEW), (MASTER, OLD, NEW),
    ]  # fmt: skip
    assert shown("roll", "--home", plane.home)["replaced"] == []


def test_amphorae_of_images_without_the_tag_are_left_alone(plane: RealPlane, glance: Glance) -> None:
    glance.add(NEW, "2026-11-02T00:00:00Z")
    assert shown("roll", "--home", plane.home)["replaced"] == []


def test_rolling_stops_where_the_new_amphora_is_of_another_image(plane: RealPlane, glance: Glance) -> None:
    plane.plane.newest_image = OLD
    glance.add(OLD, "2026-11-01T00:00:00Z")
    glance.add(NEW, "2026-11-02T00:00:00Z")
    done = octaviactl("image", "roll", "--home", plane.home)
    assert done.returncode == exit_codes.FAILED
    assert f"it was replaced by one of image {OLD}, not {NEW}" in done.stderr
    assert "amphora 1a000000" in done.stdout
    assert "amphora 1b000000" not in done.stdout


def test_without_an_image_there_is_nothing_to_roll(plane: RealPlane, glance: Glance) -> None:
    glance.add(NEW, "2026-11-02T00:00:00Z", status="queued")
    done = octaviactl("image", "roll", "--home", plane.home)
    assert done.returncode == exit_codes.NOT_FOUND
    assert "no active image with the tag amphora" in done.stderr
