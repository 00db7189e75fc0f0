# SPDX-License-Identifier: Apache-2.0
"""What an agent tells of the image of its amphora."""

from __future__ import annotations

import json
from pathlib import Path

from octavia_amphora import image


def test_the_versions_are_those_that_the_builder_wrote(tmp_path: Path) -> None:
    (file := tmp_path / "image.json").write_text(json.dumps({"haproxy": "3.0.11", "ssh": "false"}))
    assert image.versions(file) == {"haproxy": "3.0.11", "ssh": "false"}


def test_where_there_is_no_image_nothing_is_told(tmp_path: Path) -> None:
    assert image.versions(tmp_path / "image.json") == {}
    (broken := tmp_path / "broken.json").write_text("[]")
    assert image.versions(broken) == {}
