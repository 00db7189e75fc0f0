# SPDX-License-Identifier: Apache-2.0
"""The container file's image serves load balancers on OpenStack: ``scripts/test-openstack container``.

buildah runs it on this machine's network. Not shown so: ports that podman or docker forward.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netns.installation import Installation
from octavia_provider.client import embedded

from .guests import Guests
from .project import Project
from .test_life import answers, balancer, member, take_away
from .waiting import until

__all__ = ["member"]

BUILDAH = (str(Path(__file__).parents[2] / "scripts" / "container"), "buildah")
IMAGE = os.environ.get("OPENSTACK_TEST_CONTAINER", "")
HOME, CONFIGURATION = "/var/lib/octavia", "/etc/octavia"


def buildah(*words: str) -> str:
    return subprocess.run([*BUILDAH, *words], check=True, capture_output=True, text=True, timeout=120).stdout.strip()


class Container(Installation):
    """An installation whose control plane is in a container that runs as this image says. ``folder``: the host's of its settings."""

    def __init__(self, home: Path, folder: Path) -> None:
        super().__init__(home)
        self._folder = folder
        self._configured: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", IMAGE))["Docker"]["config"]
        self._name = buildah("from", "--pull-never", IMAGE)
        # Of the image's volume and one that is given for it, buildah mounts now the one, now the other on top.
        buildah("config", *(f"--volume={one}-" for one in self._configured["Volumes"]), self._name)
        passwords = Path(buildah("mount", self._name), "etc/passwd").read_text()
        user = next(
            line.split(":") for line in passwords.splitlines() if line.startswith(f"{self._configured['User']}:")
        )
        home.mkdir(mode=0o700)
        os.chown(home, int(user[2]), int(user[3]))

    def command(self, *words: str) -> list[str]:
        """What runs in it with its volumes."""
        volumes = ("--volume", f"{self.home}:{HOME}", "--volume", f"{self._folder}:{CONFIGURATION}:ro")
        return [*BUILDAH, "run", "--isolation", "chroot", *volumes, self._name, "--", *words]

    def start(self) -> None:
        with (self._folder / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(*self._configured["Entrypoint"]), stdout=log, stderr=log)
        ended = self.process.poll
        until(lambda: embedded.answers(self.home) or ended() is not None, what="the control plane to start")
        assert ended() is None, self.said()

    def said(self) -> str:
        return (self._folder / "stderr.log").read_text()

    def stop(self) -> None:
        """End it as `podman stop` does, by SIGTERM: buildah would kill it."""
        if self.process is not None:
            os.kill(self.started()[-1]["pid"], signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def started(self) -> list[dict[str, Any]]:
        """What its log says of each start; process ids are this machine's."""
        told = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [one for one in told if one["event"] == "serving"]

    def is_healthy(self) -> bool:
        """What its health check says."""
        _, *words = self._configured["Healthcheck"]["Test"]
        return subprocess.run(self.command(*words), check=False, capture_output=True, timeout=60).returncode == 0

    def close(self) -> None:
        self.stop()
        self.client.close()
        buildah("rm", self._name)


@pytest.fixture
def container(cloud_project: Project, environment: dict[str, str], tmp_path: Path) -> Iterator[Container]:
    folder = tmp_path / "etc"
    folder.mkdir()
    tmp_path.chmod(0o755)
    shutil.copy(cloud_project.clouds_file, folder / "clouds.yaml")
    names = {
        one: environment[f"OCTAVIA_OPENSTACK_{one.upper()}"]
        for one in ("management_network", "heartbeat_address", "compute_flavor")
    }
    table = "\n".join(f'{name} = "{value}"' for name, value in names.items())
    (folder / "octavia.toml").write_text(f'cloud = "openstack"\nos_cloud = "test"\n\n[openstack]\n{table}\n')
    made = Container(tmp_path / "h", folder)
    with Guests(cloud_project):
        yield made
        made.close()


def test_a_container_serves_and_goes_on_after_it_was_started_anew(
    container: Container, cloud_project: Project, member: tuple[str, int]
) -> None:
    container.start()
    assert container.is_healthy()
    made = balancer(container, cloud_project, member)
    until(lambda: answers(made), what="an answer at the VIP")
    container.stop()
    assert not container.is_healthy()
    assert answers(made)
    container.start()
    assert container.is_healthy()
    assert len(container.started()) == 2
    status = subprocess.run(
        container.command("octaviactl", "status", "--json"), check=True, capture_output=True, text=True
    )
    assert [one["name"] for one in json.loads(status.stdout)["load_balancers"]] == ["web"]
    take_away(container, cloud_project, made)
