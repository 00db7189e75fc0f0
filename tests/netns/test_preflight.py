# SPDX-License-Identifier: Apache-2.0
"""What a machine lacks is told before anything is made, with how to mend it: by `start`, `listen`, `serve` and the first
create of an `up`; as another user too. What is running already is gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from octavia_provider.client import embedded

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]
OCTAVIACTL = [sys.executable, "-m", "octavia_provider.cli.main"]
PROGRAM = """
import pulumi_octavia as octavia
octavia.local.Network("net")
octavia.TlsContainer("trusted", ca_certificates=open("ca.pem").read())
"""


@pytest.fixture
def home() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="oct-"))
    yield path / "home"
    subprocess.run(
        [*OCTAVIACTL, "purge", "-y", "--home", str(path / "home")], check=False, capture_output=True, timeout=60
    )
    shutil.rmtree(path)


def test_a_full_disk_is_named(home: Path) -> None:
    home.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "octavia", str(home)], check=True)
    try:
        fill = home / "fill"
        with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        env = {**os.environ, "OCTAVIA_HOME": str(home)}

        def said(command: str) -> str:
            done = subprocess.run(
                [*OCTAVIACTL, command], capture_output=True, text=True, check=False, env=env, timeout=120
            )
            assert done.returncode != 0, done
            return done.stdout + done.stderr

        assert "disk is full" in said("start")
        assert "disk of the home: is full" in said("doctor")
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def without(program: str, *arguments: str, home: Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """octaviactl where this program is not: in a mount namespace that has nothing in its place."""
    path = os.path.realpath(shutil.which(program) or "")
    hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind /dev/null {path} && exec "$@"',
        "sh",
        *OCTAVIACTL,
        *arguments,
    ]
    env = {**os.environ, "OCTAVIA_HOME": str(home), "PULUMI_CONFIG_PASSPHRASE": "x"}
    return subprocess.run(hidden, capture_output=True, text=True, check=False, env=env, timeout=120, cwd=cwd)


@pytest.mark.parametrize("program", ["haproxy", "nft", "conntrack", "ip", "setpriv"])
def test_without_a_program_nothing_is_made(program: str, home: Path) -> None:
    done = without(program, "start", home=home)
    assert (done.returncode, done.stdout) == (1, "")
    assert "this machine: cannot run load balancers" in done.stderr
    assert program in done.stderr
    assert "apt-get install" in done.stderr
    assert "octaviactl doctor" not in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("command", [("listen", "127.0.0.1:0"), ("serve",)])
def test_the_other_ways_to_start_refuse_alike(command: tuple[str, ...], home: Path) -> None:
    done = without("haproxy", *command, home=home)
    assert done.returncode == 1
    assert "haproxy" in done.stderr
    assert "apt-get install" in done.stderr
    assert not home.exists()


def test_up_makes_nothing_at_all(home: Path, tmp_path: Path) -> None:
    import pem

    (tmp_path / "ca.pem").write_text(pem.authority().pem)
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    done = without("haproxy", "up", "--yes", home=home, cwd=tmp_path)
    assert done.returncode == 1
    assert "apt-get install haproxy" in done.stdout + done.stderr
    assert not home.exists()
    state = json.loads(without("haproxy", "stack", "export", home=home, cwd=tmp_path).stdout)
    kinds = {resource["type"] for resource in state["deployment"].get("resources", ())}
    assert not {kind for kind in kinds if kind.startswith("octavia:")}


def test_this_machine_lacks_nothing_from_whatever_folder_it_is_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("/", "/usr", str(home.parent)):
        monkeypatch.chdir(folder)
        embedded.preflight(home)
    assert not home.exists()


def test_doctor_names_what_is_missing_by_its_code_and_never_itself(home: Path) -> None:
    done = without("haproxy", "doctor", home=home)
    assert done.returncode == 1
    assert "✗ haproxy" in done.stdout
    assert "Missing or broken: haproxy" in done.stdout
    assert "octaviactl doctor" not in done.stdout
    done = subprocess.run(
        [*OCTAVIACTL, "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OCTAVIA_HOME": str(home)},
    )
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    assert not home.exists()


AS_ANOTHER = """
import os, sys
from octavia_provider.cli import main, serve
from octavia_provider.client import embedded
from octavia_provider.clouds.netns import doctor
from octavia_provider.kit import paths
from octavia_provider.settings import Settings
from octavia_provider.store import offline
Settings(home=sys.argv[1])  # what it imports may lie where only root reads
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
sys.argv = ["octaviactl", "serve", "--home", sys.argv[1]]
main.main()
"""


def test_another_user_than_root_is_told_so(home: Path) -> None:
    home.parent.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, str(home)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "root: user 65534" in done.stderr
    assert "sudo" in done.stderr
    assert not home.exists()


def test_a_home_that_has_something_goes_on(home: Path, tmp_path: Path) -> None:
    started = subprocess.run(
        [*OCTAVIACTL, "start", "--home", str(home)], capture_output=True, text=True, check=False, timeout=90
    )
    assert started.returncode == 0, started.stderr
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (tmp_path / "__main__.py").write_text('import pulumi_octavia\npulumi_octavia.local.Network("net")\n')
    env = {**os.environ, "OCTAVIA_HOME": str(home), "PULUMI_CONFIG_PASSPHRASE": "x"}
    made = subprocess.run(
        [*OCTAVIACTL, "up", "--yes"], capture_output=True, text=True, check=False, timeout=90, cwd=tmp_path, env=env
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert without("haproxy", "serve", "--check", home=home).returncode == 0
