# SPDX-License-Identifier: Apache-2.0
"""A home is its user's alone."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from octavia_provider import app
from octavia_provider.client import embedded
from octavia_provider.client.deadline import Deadline
from octavia_provider.kit import homes, paths
from octavia_provider.model.errors import Forbidden

NOBODY = 65534


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def used(home: Path) -> None:
    """As an installation has it."""
    for path in (paths.database(home), paths.key_file(home)):
        path.write_bytes(b"x")
        path.chmod(0o600)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("given", [0o700, 0o750, 0o755, 0o770, 0o777])
def test_an_empty_folder_is_closed_to_others(home: Path, given: int) -> None:
    home.chmod(given)
    assert homes.problem(home) is None
    assert mode(home) == 0o700


@pytest.mark.parametrize("given", [0o750, 0o755, 0o711])
def test_a_home_of_before_is_closed_to_others(home: Path, given: int) -> None:
    used(home)
    home.chmod(given)
    assert homes.problem(home) is None
    assert mode(home) == 0o700


@pytest.mark.parametrize("given", [0o720, 0o770, 0o777, 0o702])
def test_a_home_that_others_may_write_into_is_refused(home: Path, given: int) -> None:
    used(home)
    home.chmod(given)
    found = homes.problem(home)
    assert found is not None
    assert f"others may write into (mode {given:04o})" in found.message
    assert f"chmod 700 {home}" in found.hint
    assert mode(home) == given


def test_a_folder_of_something_else_is_refused_and_left(home: Path) -> None:
    (home / "letter").touch()
    home.chmod(0o755)
    found = homes.problem(home)
    assert found is not None
    assert "others may read (mode 0755)" in found.message
    assert mode(home) == 0o755
    home.chmod(0o700)
    assert homes.problem(home) is None


def test_a_shared_folder_is_never_closed(home: Path) -> None:
    home.chmod(0o1777)
    assert homes.problem(home) is not None
    assert mode(home) == 0o1777


def test_there_may_be_none_yet(home: Path) -> None:
    assert homes.problem(home / "none") is None
    (home / "file").touch()
    assert homes.problem(home / "file") is None


@pytest.mark.parametrize("what", ["home", "octavia.key", "octavia.db"])
def test_what_belongs_to_another_is_refused__by_whoever_uses_it(home: Path, what: str) -> None:
    used(home)
    os.chown(home if what == "home" else home / what, NOBODY, NOBODY)
    found = homes.problem(home)
    assert found is not None
    assert f"{what} belongs to nobody, and you are root" in found.message
    assert "OCTAVIA_HOME of your own" in found.hint
    with pytest.raises(Forbidden, match=re.escape(found.message)):
        embedded.ensure_running(home, Deadline(5.0))
    with pytest.raises(Forbidden, match=re.escape(found.message)):
        app.serve(app.Settings(home=home))
    assert not paths.api_socket(home).exists()
