# SPDX-License-Identifier: Apache-2.0
"""What haproxy's own user may see and write, and what it may not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_amphora.apply.disk import write
from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.haproxy.user import HaproxyUser, popen_options

NOBODY = HaproxyUser(65534, 65534)
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@pytest.fixture
def paths() -> Iterator[Paths]:
    """In a folder that others may pass through, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="oct-") as folder:
        Path(folder).chmod(0o711)
        made = Paths.for_load_balancer(f"{folder}/state", f"{folder}/run", "lb", NOBODY)
        made.create()
        yield made


def as_haproxy(code: str, *arguments: object) -> str:
    command = [sys.executable, "-I", "-S", "-c", f"import os, sys\n{code}", *map(str, arguments)]
    command[0] = "/usr/bin/python3"
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **popen_options(NOBODY))
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_it_reads_its_configuration_and_not_the_agents_records(paths: Paths) -> None:
    write(paths.config, b"global", mode=paths.mode)
    write(paths.files / "certificate.pem", b"key", mode=paths.mode)
    write(paths.state / "newest.json", b"{}")
    read = "print(open(sys.argv[1]).read())"
    assert as_haproxy(read, paths.config) == "global"
    assert as_haproxy(read, paths.files / "certificate.pem") == "key"
    assert "PermissionError" in as_haproxy(read, paths.state / "newest.json")


def test_it_writes_where_its_sockets_are_and_nowhere_else(paths: Paths) -> None:
    write(paths.config, b"global", mode=paths.mode)
    make = "open(sys.argv[1], 'w').close(); print('made')"
    assert as_haproxy(make, paths.stats_socket) == "made"
    for path in (paths.config, paths.state / "new", paths.run / "new", paths.files / "new", paths.contents / "new"):
        assert "PermissionError" in as_haproxy(make, path)
    assert "PermissionError" in as_haproxy("os.rename(sys.argv[1], sys.argv[1] + '.old')", paths.files)


def test_it_has_no_capability_and_no_other_group(paths: Paths) -> None:
    del paths
    told = as_haproxy("print(open('/proc/self/status').read())")
    facts = dict(line.split(":", 1) for line in told.splitlines())
    assert facts["Uid"].split() == ["65534"] * 4
    assert facts["Groups"].split() in ([], ["65534"])
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == int(facts["CapAmb"], 16) == 0


def test_an_image_without_that_user_has_nobody() -> None:
    assert HaproxyUser.from_name("") is None
    assert HaproxyUser.from_name("no-such-user") == NOBODY
