# SPDX-License-Identifier: Apache-2.0
"""Amphora images in Glance: put there with what ``make image`` has written of them, listed, the newest one of a tag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_provider.model.errors import NotFound, Refused, Unreachable

PREFIX = "octavia_amphora_"
"""Of the properties that say what an image is made of (amphora/image/describe.py)."""
DIGEST = f"{PREFIX}sha256"
"""The property with the digest of the file, as ``make image`` tells it."""
TAG = "amphora"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """``FILE.json`` beside an image: its format, its digest, its size in bytes, the properties that Glance is told."""

    file: Path
    disk_format: str
    container_format: str
    size: int
    sha256: str
    min_ram: int
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One in Glance. ``checksum``: Glance's own, by its algorithm; ``sha256``: what the builder told, None of a foreign one."""

    id: str
    name: str
    status: str
    created_at: str
    size: int
    tags: tuple[str, ...]
    checksum: str
    sha256: str | None
    versions: Mapping[str, str] = field(default_factory=dict)


def describe(file: Path) -> Description:
    """What is beside the image ``file``; ``Refused`` where it is of another one."""
    beside, subject = file.with_suffix(".json"), f"image {file}"
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
        described = Description(
            file=file, disk_format=found["disk_format"], container_format=found["container_format"], size=found["size"],
            sha256=found["sha256"], min_ram=found["min_ram"], properties=found["properties"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it does not say {error}"
        raise Refused(f"{beside}: {why}", subject=subject, hint="make image writes both") from None
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror}", subject=subject, hint="make image") from None
    if digest != described.sha256:
        raise Refused(
            f"its SHA-256 is {digest}, and {beside.name} says {described.sha256}", subject=subject,
            hint="copy both files again, or make image",
        )  # fmt: skip
    return described


def upload(connection: Any, described: Description, *, name: str, tag: str) -> tuple[Image, bool]:
    """Put it into Glance; the one that is there already where it has these bytes and this tag. The second is whether it was new."""
    for one in listed(connection, tag):
        if one.sha256 == described.sha256 and one.status == "active":
            return one, False
    with _words(f"image {name}"):
        made = connection.image.create_image(
            name, filename=str(described.file), disk_format=described.disk_format, container_format=described.container_format,
            min_ram=described.min_ram, tags=[tag], allow_duplicates=True, wait=True, visibility="private",
            properties={**described.properties, DIGEST: described.sha256},
        )  # fmt: skip
        return _image(connection.image.get_image(made.id)), True


def listed(connection: Any, tag: str | None = TAG) -> list[Image]:
    """Those with this tag, the newest first; None: all that ``make image`` has made too. Of an administrator's, who sees those of all
    projects, only ours and public ones: any user may give an image of theirs that tag."""
    with _words("images"):
        ours = connection.current_project_id
        there = connection.image.images(**({"tag": tag} if tag else {}))
        found = [_image(one) for one in there if one.owner_id == ours or one.visibility == "public"]
    found = [one for one in found if tag or one.sha256 is not None or TAG in one.tags]
    return sorted(found, key=lambda one: one.created_at, reverse=True)


def newest(connection: Any, tag: str) -> Image:
    """That which the control plane boots amphorae from."""
    for one in listed(connection, tag):
        if one.status == "active":
            return one
    raise NotFound(f"Glance has no active image with the tag {tag}", hint="octaviactl image upload")


def _image(one: Any) -> Image:
    properties = {name: str(value) for name, value in (one.properties or {}).items()}
    algorithm, digest = one.hash_algo or "md5", one.hash_value or one.checksum or ""
    return Image(
        id=one.id, name=one.name or "", status=one.status, created_at=one.created_at or "", size=one.size or 0,
        tags=tuple(sorted(one.tags or ())), checksum=f"{algorithm}:{digest}" if digest else "", sha256=properties.get(DIGEST),
        versions={
            name.removeprefix(PREFIX): value
            for name, value in sorted(properties.items())
            if name.startswith(PREFIX) and name != DIGEST
        },
    )  # fmt: skip


@contextmanager
def _words(subject: str) -> Iterator[None]:
    """Glance's own words in our errors."""
    from keystoneauth1 import exceptions as keystone
    from openstack import exceptions

    try:
        yield
    except exceptions.HttpException as error:
        hint = {
            401: "clouds.yaml, OS_CLIENT_CONFIG_FILE, or OS_AUTH_URL", 403: "as a member of the project of amphorae",
            413: "raise the quota of the project, or delete images", 415: "a qcow2; Glance refuses raw disks with a boot record",
        }.get(error.status_code or 0, "openstack image list")  # fmt: skip
        raise Refused(f"glance: {error.details or error.message or error}", subject=subject, hint=hint) from None
    except (exceptions.SDKException, keystone.ClientException) as error:
        raise Unreachable(f"glance: {error}", subject=subject, hint="clouds.yaml, or OS_AUTH_URL") from None
