# SPDX-License-Identifier: Apache-2.0
"""A control plane that knows nothing of a stack's resources does not make Pulumi forget them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .installation import Installation, installation
from .stacks import Outcome, Project, assert_no_traceback_of_ours

pytestmark = pytest.mark.timeout(240)
TEXT = """
network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("web", vip_network_id=network.id)
listener = octavia.Listener("http", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
"""


@pytest.fixture
def other() -> Iterator[Installation]:
    """Another control plane, in another home, that has objects of its own."""
    home = Path(tempfile.mkdtemp(prefix="oct-", dir="/tmp"))
    with installation(home) as site:
        site.create("local_network", name="another")
        yield site
    shutil.rmtree(home, ignore_errors=True)


def assert_refused(done: Outcome, project: Project, before: dict[str, Any], made_by: str) -> None:
    assert not done.ok, done.text
    # the engines break lines where they like
    said = " ".join(done.text.split())
    assert f"was made by control plane {made_by}" in said, done.text
    assert "knows nothing about it" in said, done.text
    assert "OCTAVIA_HOME" in said, done.text
    assert_no_traceback_of_ours(done)
    after = project.resources()
    assert {name: item["id"] for name, item in after.items()} == {name: item["id"] for name, item in before.items()}


def test_another_control_plane__refresh_and_destroy_forget_nothing(project: Project, other: Installation) -> None:
    project.up_well(TEXT)
    before = project.resources()
    made_by = before["load_balancer/web"]["outputs"]["controlPlaneId"]
    home = project.environ()["OCTAVIA_HOME"]
    project.environment["OCTAVIA_HOME"] = str(other.home)
    assert_refused(project.refresh(), project, before, made_by)
    assert_refused(project.destroy(), project, before, made_by)
    assert [item["name"] for item in other.client.list("local_network", deadline=_soon())] == ["another"]

    project.environment["OCTAVIA_HOME"] = home
    assert project.refresh().ok
    project.unchanged()
    project.assert_nothing_double()


def test_an_emptied_home__refresh_and_destroy_forget_nothing(project: Project) -> None:
    project.up_well(TEXT)
    before = project.resources()
    made_by = before["load_balancer/web"]["outputs"]["controlPlaneId"]
    project.site.purge()
    assert not project.home.exists()
    assert_refused(project.refresh(), project, before, made_by)
    assert_refused(project.destroy(), project, before, made_by)


def _soon() -> Any:
    from octavia_provider.client.deadline import Deadline

    return Deadline(30.0)
