# SPDX-License-Identifier: Apache-2.0
"""Tests of the amphora image under QEMU. ``make test-image`` builds it; no other run collects these."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

IMAGE = os.environ.get("AMPHORA_IMAGE")
"""The qcow2 that is tested."""
collect_ignore_glob = [] if IMAGE else ["test_*.py"]

if IMAGE:
    from .machine import Machine


@pytest.fixture(scope="session")
def image() -> Path:
    assert IMAGE
    return Path(IMAGE)


@pytest.fixture(params=["bios", "uefi"])
def machine(image: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Two interfaces: that of the management network, and that of the VIP."""
    with Machine(image, tmp_path, firmware=request.param) as made:
        yield made
