# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/openstack.md, followed literally: from a project without a management network to a balanced request.

Its commands are run as they stand there; only names and addresses that stand for the reader's own are replaced.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from octavia_provider.client import embedded

from .guests import Guests
from .project import Project, project
from .test_life import member
from .waiting import until

__all__ = ["member"]
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "openstack.md"
CLIENTS = os.environ.get("OPENSTACK_TEST_CLIENTS", "")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def cloud_project(admin_cloud: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The page says that the role member will do, with all networks in one project. Barbican wants another one of who keeps secrets."""
    with project(admin_cloud, tmp_path_factory.mktemp("openstack"), roles=("member", "creator")) as made:
        yield made


class Reader:
    """Somebody in an empty folder, with a ``clouds.yaml``. ``replaced``: what of the page stands for the reader's own."""

    def __init__(self, folder: Path, clouds_file: str, replaced: dict[str, str]) -> None:
        self._folder, self._replaced = folder, replaced
        path = f"{Path(sys.executable).parent}:{Path(CLIENTS).parent}:{os.environ['PATH']}"
        self.home = folder / "h"
        self._environment = {
            **os.environ,
            "OS_CLIENT_CONFIG_FILE": clouds_file,
            "PATH": path,
            "OCTAVIA_HOME": str(self.home),
            "OS_CLOUD": "test",
        }

    def script(self, heading: str) -> str:
        """The block of commands under a heading."""
        section = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
        (text,) = (one for one in section if one.startswith(f"{heading}\n"))
        found = re.search(r"^ *```sh\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
        assert found, heading
        script = re.sub(r"^   (?=\S)", "", found[1], flags=re.MULTILINE)
        for theirs, own in self._replaced.items():
            script = script.replace(theirs, own)
        return script

    def begin(self, script: str) -> subprocess.Popen[str]:
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.Popen(
            command, cwd=self._folder, env=self._environment, text=True, start_new_session=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, script: str) -> str:
        process = self.begin(script)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    @contextmanager
    def running(self, script: str) -> Iterator[None]:
        """While it goes on in the foreground of another terminal."""
        process = self.begin(script)
        try:
            until(lambda: process.poll() is not None or embedded.answers(self.home), what="the control plane to start")
            assert process.poll() is None, process.communicate()[0]
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=60)


@pytest.mark.skipif(not CLIENTS, reason="needs OpenStack's command line (OPENSTACK_TEST_CLIENTS)")
def test_from_a_project_without_a_management_network_to_a_balanced_request(
    cloud_project: Project, guests: Guests, environment: dict[str, str], member: tuple[str, int], tmp_path: Path
) -> None:
    x = cloud_project.cidrs["vips"].split(".")[1]
    reader = Reader(tmp_path, str(cloud_project.clouds_file), {
        "NAME": "test", "192.0.2.10:5555": environment["OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS"], "192.0.2.0/24": f"127.{x}.192.0/18",
        "192.0.2.100": f"127.{x}.193.0", "192.0.2.254": f"127.{x}.254.254",
        "192.0.2.10": "127.0.0.1", "<id>": cloud_project.subnets["vips"], "198.51.100.50": member[0],
        "protocol_port=80)": f"protocol_port={member[1]})",
    })  # fmt: skip
    try:
        reader.run(reader.script("What it needs"))
        with guests, reader.running(reader.script("Start it")):
            said = reader.run(reader.script("A first load balancer"))
            assert re.search(r"\b1 +200 ", said), said
            reader.run("export PULUMI_CONFIG_PASSPHRASE=choose-one; octaviactl destroy --yes")
    finally:
        reader.run("openstack network delete lb-mgmt; openstack security group delete lb-mgmt")
    assert cloud_project.left() == {}
