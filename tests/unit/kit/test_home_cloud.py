# SPDX-License-Identifier: Apache-2.0
"""A home belongs to one cloud: what may serve it, and what starts its control plane."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from octavia_provider.kit import home_cloud, locks, paths


def test_a_home_of_openstack_gets_no_embedded_control_plane(tmp_path: Path) -> None:
    assert home_cloud.problem(tmp_path, "embedded") is None
    assert home_cloud.start_hint(tmp_path) == "octaviactl start"
    home_cloud.write(tmp_path, os_cloud="amphorae", control_plane="x")
    assert home_cloud.openstack(tmp_path) == {"os_cloud": "amphorae", "control_plane": "x"}
    problem = home_cloud.problem(tmp_path, "embedded")
    assert problem is not None
    assert "OpenStack (amphorae in clouds.yaml)" in problem.message
    assert f"octaviactl serve --cloud openstack --home {tmp_path} --os-cloud amphorae" in problem.hint
    assert home_cloud.problem(tmp_path, "openstack", {"local_network"}) is None, (
        "its own go on, whatever is beside them"
    )


def test_the_command_is_short_where_home_and_cloud_are_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTAVIA_HOME", str(tmp_path))
    home_cloud.write(paths.home(), os_cloud=None, control_plane="x")
    assert home_cloud.start_command(paths.home()) == "octaviactl serve --cloud openstack"


def test_what_cannot_be_read_belongs_to_openstack_all_the_same(tmp_path: Path) -> None:
    paths.openstack_file(tmp_path).write_text("{")
    assert home_cloud.problem(tmp_path, "embedded") is not None
    assert home_cloud.start_command(tmp_path).startswith("octaviactl serve --cloud openstack")


@pytest.mark.parametrize("kind", ["local_network", "local_host"])
def test_a_home_of_the_embedded_cloud_gets_no_control_plane_of_openstack(tmp_path: Path, kind: str) -> None:
    assert home_cloud.problem(tmp_path, "openstack", {"flavor", "quota"}) is None, "both clouds have them"
    problem = home_cloud.problem(tmp_path, "openstack", {"load_balancer", kind})
    assert problem is not None
    assert "embedded cloud" in problem.message
    assert home_cloud.problem(tmp_path, "embedded", {kind}) is None


def test_namespaces_that_run_say_it_too(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    assert home_cloud.problem(tmp_path, "openstack") is None, "a start that failed leaves the folder"
    (tmp_path / "cloud" / "holder.sock").touch()
    assert home_cloud.problem(tmp_path, "openstack") is not None


def test_who_holds_a_lock_is_found_without_asking_for_it(tmp_path: Path) -> None:
    file = tmp_path / "serve.lock"
    assert locks.holder(file) is None
    with file.open("w") as opened:
        assert locks.holder(file) is None
        fcntl.flock(opened, fcntl.LOCK_EX)
        assert locks.holder(file) == os.getpid()
        (tmp_path / "other").touch()
        assert locks.holder(tmp_path / "other") is None
    assert locks.holder(file) is None
