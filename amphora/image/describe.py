# SPDX-License-Identifier: Apache-2.0
"""``describe.py FOLDER IMAGE FILE``: writes what ``octaviactl image upload`` tells Glance of an image. ``FOLDER``: with ``image.json``."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

MINIMUM_MEMORY_MB = 512
PREFIX = "octavia_amphora_"
"""Of the properties in Glance that are ours."""


def describe(versions: dict[str, str], image: Path) -> dict[str, object]:
    """Of an image, made of these versions."""
    with image.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    own = {f"{PREFIX}{name}": value for name, value in versions.items()}
    return {
        "file": image.name.removesuffix(".new"),
        "disk_format": "qcow2",
        "container_format": "bare",
        "size": image.stat().st_size,
        "sha256": digest,
        "min_ram": MINIMUM_MEMORY_MB,
        "properties": {"os_type": "linux", "os_distro": "debian", "architecture": "x86_64", **own},
    }


if __name__ == "__main__":
    folder, image, file = map(Path, sys.argv[1:])
    described = describe(json.loads((folder / "image.json").read_text()), image)
    file.write_text(json.dumps(described, indent=1) + "\n")
