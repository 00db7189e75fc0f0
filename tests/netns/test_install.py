# SPDX-License-Identifier: Apache-2.0
"""`make install`: two programs on PATH and nothing else, no developers' tools, and a program of one's own runs with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.netns, pytest.mark.timeout(900)]
REPOSITORY = Path(__file__).parents[2]
TOOLS = ("pytest", "mypy", "ruff", "hypothesis", "coverage", "importlinter", "xdist")


def install(prefix: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PREFIX": prefix}
    return subprocess.run(
        [REPOSITORY / "scripts" / "install", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=800,
    )


def test_an_installation_for_use(tmp_path: Path) -> None:
    prefix = tmp_path / "usr"
    done = install(str(prefix))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (prefix / "bin").iterdir()) == ["octaviactl", "pulumi-resource-octavia"]
    packages = {
        path.name for path in next((prefix / "lib" / "octavia" / "lib").glob("python3*/site-packages")).iterdir()
    }
    assert not packages & set(TOOLS)
    assert {"octavia_provider", "octavia_amphora", "pulumi_octavia"} <= packages
    assert list((prefix / "lib" / "octavia" / "share").glob("pulumi_octavia-*.whl"))
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (tmp_path / "project" / "__main__.py").write_text('import pulumi_octavia\npulumi_octavia.local.Network("net")\n')
    env = {"PATH": f"{prefix / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "PULUMI_CONFIG_PASSPHRASE": "x"}
    done = subprocess.run(
        ["octaviactl", "preview"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        cwd=tmp_path / "project",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "octavia:local:Network net create" in done.stdout
    done = install(str(prefix), "uninstall")
    assert done.returncode == 0, done.stderr
    assert not list((prefix / "bin").iterdir())
    assert not (prefix / "lib" / "octavia").exists()


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "usr" / "lib" / "octavia"
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    for arguments in ((), ("uninstall",)):
        done = install(str(tmp_path / "usr"), *arguments)
        assert done.returncode == 1
        assert "Try: " in done.stderr
        assert (folder / "mine").exists()
    assert "absolute" in install("relative").stderr
