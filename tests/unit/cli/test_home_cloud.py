# SPDX-License-Identifier: Apache-2.0
"""octaviactl on a home that belongs to one cloud: the other one's control plane is refused before anything is made, and hints name the right command."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.cli import cloud_choice, doctor, exit_codes, purge
from octavia_provider.client import embedded
from octavia_provider.client.deadline import Deadline
from octavia_provider.clouds.netns import NetnsCloud
from octavia_provider.kit import home_cloud, paths
from octavia_provider.store import offline

NOTHING: dict[str, Any] = {"OCTAVIA_CLOUD": "", "OCTAVIA_OS_CLOUD": ""}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of OpenStack, without a control plane."""
    tmp_path.chmod(0o700)
    home_cloud.write(tmp_path, os_cloud="amphorae", control_plane="x")
    return tmp_path


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start's look at the machine is made in this process."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[4:6] == ["serve", "--check"]
        return octaviactl(*command[4:])

    monkeypatch.setattr(embedded.subprocess, "run", run)


@pytest.mark.usefixtures("at_hand")
@pytest.mark.parametrize("command", [("serve",), ("serve", "--check"), ("serve", "--cloud", "embedded"), ("start",)])
def test_no_embedded_control_plane_starts_in_a_home_of_openstack(home: Path, command: tuple[str, ...]) -> None:
    done = octaviactl(*command, "--home", str(home), **NOTHING)
    assert (done.returncode, done.stdout) == (exit_codes.FAILED, "")
    assert f"error: the home {home}: belongs to OpenStack (amphorae in clouds.yaml)" in done.stderr
    assert f"Try: octaviactl serve --cloud openstack --home {home} --os-cloud amphorae" in done.stderr
    assert [path.name for path in home.iterdir()] == ["openstack.json"], "nothing was made"


def test_no_control_plane_of_openstack_starts_in_a_home_of_the_embedded_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "objects", lambda _: [offline.Known("local_network", "n", "net", {})])
    done = octaviactl("serve", "--cloud", "openstack", "--os-cloud", "amphorae", "--home", str(tmp_path), **NOTHING)
    assert done.returncode == exit_codes.FAILED
    assert "belongs to this machine's embedded cloud" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_service_without_the_cloud_in_its_file_of_settings_is_not_installed(home: Path) -> None:
    install = ("service", "install", "--home", str(home), "--print")
    done = octaviactl(*install, **NOTHING)
    assert done.returncode == exit_codes.FAILED
    assert 'cloud = "openstack"' in done.stderr
    (home / "octavia.toml").write_text('cloud = "openstack"\n')
    assert octaviactl(*install, "--config", str(home / "octavia.toml"), **NOTHING).returncode == 0


def test_another_version_restarts_no_control_plane_of_openstack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matched: list[Path] = []
    monkeypatch.setattr(embedded, "answers", lambda _: True)
    monkeypatch.setattr(embedded, "_match_version", lambda where, _: matched.append(where))
    embedded.ensure_running(home, Deadline(5.0))
    assert matched == [], "this one knows not with which settings"
    paths.openstack_file(home).unlink()
    embedded.ensure_running(home, Deadline(5.0))
    assert matched == [home]


@pytest.mark.parametrize("command", [("ids",), ("config",), ("events",), ("status",)])
def test_hints_name_what_starts_the_control_plane_of_this_home(home: Path, command: tuple[str, ...]) -> None:
    done = octaviactl(*command, "--home", str(home), **NOTHING)
    told = done.stdout + done.stderr
    assert "Try: octaviactl serve --cloud openstack" in told
    assert "octaviactl start" not in told


def test_doctor_and_status_name_it_where_there_are_load_balancers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not doctor._control_plane(home).needed
    monkeypatch.setattr(offline, "objects", lambda _: [offline.Known("load_balancer", "a", "web", {})])
    found = doctor._control_plane(home)
    assert (found.ok, found.needed) == (False, True)
    assert found.fix.startswith("octaviactl serve --cloud openstack")
    shown = octaviactl("status", "--home", str(home), **NOTHING).stdout
    assert "octaviactl serve --cloud openstack" in shown
    assert "no VIP yet" in shown
    assert "None" not in shown


def test_status_says_that_a_control_plane_starts(home: Path) -> None:
    with paths.serve_lock(home).open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        done = octaviactl("status", "--home", str(home), **NOTHING)
    assert done.returncode == exit_codes.NO_CONTROL_PLANE
    assert "A control plane starts here (pid " in done.stdout
    assert "octaviactl serve" not in done.stdout


def test_purge_ends_the_embedded_cloud_that_is_in_a_home_of_openstack_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    async def stop(_: NetnsCloud) -> bool:
        ended.append("netns")
        return True

    def delete(*_: object) -> list[Any]:
        ended.append("openstack")
        return []

    monkeypatch.setattr(NetnsCloud, "stop", stop)
    monkeypatch.setattr(cloud_choice, "openstack", lambda *_, **__: (True, "amphorae"))
    monkeypatch.setattr(purge, "_in_openstack", lambda *_: [])
    monkeypatch.setattr(purge, "_delete_in_openstack", delete)
    paths.key_file(home).touch(0o600)
    (home / "cloud").mkdir()
    done = octaviactl("purge", "--yes", "--json", "--home", str(home))
    told = json.loads(done.stdout)
    assert (done.returncode, ended) == (0, ["openstack", "netns"]), done.stderr
    assert (told["removed"], told["left"], told["embedded_cloud_ended"]) == (True, [], True)
