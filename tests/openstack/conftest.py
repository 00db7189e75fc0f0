# SPDX-License-Identifier: Apache-2.0
"""Tests against real services of OpenStack. ``make test-openstack`` brings them up; no other run collects these."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

CLOUD = os.environ.get("OPENSTACK_TEST_CLOUD")
"""The administrator's cloud in clouds.yaml: of a cloud that is made for tests."""
OCTAVIA = os.environ.get("OPENSTACK_TEST_OCTAVIA")
"""The cloud of an Octavia that somebody else runs, for tests of ``driver: octavia``."""
LIBVIRT = os.environ.get("OPENSTACK_TEST_LIBVIRT")
"""The administrator's cloud, whose computes boot machines."""
CONTAINER = os.environ.get("OPENSTACK_TEST_CONTAINER")
"""The container file's image, by its name in the storage of ``scripts/container``."""
NEEDS = {"test_octavia_driver": OCTAVIA, "test_virtual_machines": LIBVIRT, "test_container": CONTAINER}
collect_ignore = [one.name for one in Path(__file__).parent.glob("test_*.py") if not NEEDS.get(one.stem, CLOUD)]

if CLOUD or LIBVIRT:
    from netns.installation import Installation

    from .guests import Guests
    from .project import Project, project
    from .serving import served  # noqa: F401 - a fixture


IN_THE_CATALOGUE = ("test_barbican", "test_dashboard", "test_example", "test_heat", "test_users")
"""They register their control planes in Keystone's catalogue, which has one load balancer service: never two at the same time."""


class ByProject(LoadFileScheduling):
    """Of several workers one runs all tests of a file, which share a project, and one all that use the catalogue."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "catalogue" if Path(file).stem in IN_THE_CATALOGUE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByProject | None:
    return ByProject(config, log) if CLOUD else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(600))
            item.add_marker(pytest.mark.filterwarnings("default"))  # of openstacksdk's


@pytest.fixture(scope="session")
def admin_cloud() -> str:
    found = CLOUD or LIBVIRT
    assert found
    return found


@pytest.fixture(scope="module")
def cloud_project(admin_cloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with project(admin_cloud, tmp_path_factory.mktemp("openstack")) as made:
        yield made


@pytest.fixture
def guests(cloud_project: Project) -> Guests:
    """What runs in servers, once it is entered."""
    return Guests(cloud_project)


@pytest.fixture
def heartbeat_host() -> str:
    """Where amphorae reach this machine."""
    return "127.0.0.1"


@pytest.fixture
def environment(cloud_project: Project, heartbeat_host: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a control plane in that project."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((heartbeat_host, 0))
        port = probe.getsockname()[1]
    found = {
        "OS_CLIENT_CONFIG_FILE": str(cloud_project.clouds_file),
        "OCTAVIA_OPENSTACK_MANAGEMENT_NETWORK": cloud_project.networks["management"],
        "OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS": f"{heartbeat_host}:{port}",
        "OCTAVIA_OPENSTACK_COMPUTE_FLAVOR": "amphora",
    }
    for name in [one for one in os.environ if one.startswith("OS_")]:
        monkeypatch.delenv(name)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def site(guests: Guests, environment: dict[str, str], tmp_path: Path) -> Iterator[Installation]:
    """A control plane on OpenStack, with guests that come alive. Nothing is left in the cloud afterwards."""
    made = Installation(tmp_path / "h", options=("--cloud", "openstack", "--os-cloud", "test"))
    with guests as made.guests:  # type: ignore[attr-defined]
        made.start()
        yield made
        made.stop()
        made.client.close()
