# SPDX-License-Identifier: Apache-2.0
"""What README and the how-tos show works as it stands, in an empty folder, with what `make install` puts on PATH."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .clouds import free_port

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]
REPOSITORY = Path(__file__).parents[2]
PROGRAMS = ("octaviactl", "pulumi-resource-octavia")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty folder, and the environment of somebody who has installed the programs and nothing else of ours."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "folder").mkdir()
    for program in PROGRAMS:
        (tmp_path / "bin" / program).symlink_to(Path(sys.executable).parent / program)
    home = tempfile.mkdtemp(prefix="oct-")
    path = f"{tmp_path / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "HOME": str(tmp_path), "OCTAVIA_HOME": home, "NO_COLOR": "1"}
    yield tmp_path / "folder", environment
    subprocess.run(["octaviactl", "purge", "--yes"], env={**os.environ, **environment}, check=False, timeout=60)
    shutil.rmtree(home, ignore_errors=True)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (REPOSITORY / page).read_text(), flags=re.MULTILINE | re.DOTALL)


def programs(page: str) -> list[str]:
    return [block for block in blocks(page, "sh") if "__main__.py" in block]


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    """As a shell runs it; servers that it leaves in the background are ended."""
    said = folder.parent / "said"
    with said.open("w") as file:  # a pipe would be held open by these servers
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, start_new_session=True,
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            assert shell.wait(timeout=150) == 0, said.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
            shell.wait()
    return said.read_text()


def test_the_first_program_of_the_readme(machine: tuple[Path, dict[str, str]]) -> None:
    folder, environment = machine
    [script] = programs("README.md")
    said = run(script, folder, environment)
    assert "url : " in said
    assert re.search(r"one \d+/12", said), said
    assert re.search(r"two \d+/12", said), said


def test_servers_that_run_on_this_machine(machine: tuple[Path, dict[str, str]]) -> None:
    folder, environment = machine
    [script] = programs("docs/how-to/servers-on-this-machine.md")
    ports = {port: str(free_port()) for port in ("8001", "8002")}  # others may have them here
    script = re.sub("|".join(ports), lambda found: ports[found[0]], script)
    said = run(script, folder, environment)
    assert re.search(r"first \d+/12", said), said
    assert re.search(r"second \d+/12", said), said


def test_the_loop_of_the_readme_is_that_of_the_how_to() -> None:
    [loop] = [block for block in blocks("README.md", "python") if "forward_port" in block]
    [script] = programs("docs/how-to/servers-on-this-machine.md")
    assert loop in script
