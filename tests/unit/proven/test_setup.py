# SPDX-License-Identifier: Apache-2.0
"""``scripts/setup`` runs as root: it writes nothing under a name that another user could have made before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[3] / "scripts").iterdir())


@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.is_file()], ids=lambda path: path.name)
def test_no_script_writes_a_foreseeable_file_in_tmp(script: Path) -> None:
    text = script.read_text(errors="replace")
    assert not re.search(r"(>|tee|-o|open\()\s*[\"']?/(var/)?tmp/", text)
