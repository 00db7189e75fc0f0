# SPDX-License-Identifier: Apache-2.0
"""What the image is made of that this amphora was booted from, as its builder has written it down (amphora/image)."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec

VERSIONS = Path("/usr/lib/octavia-amphora/image.json")


@functools.cache
def versions(path: Path = VERSIONS) -> dict[str, str]:
    """By name; nothing where the agent runs on something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}
