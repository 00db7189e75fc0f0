# SPDX-License-Identifier: Apache-2.0
"""examples/openstack: one program whose servers, network and floating IP are made by pulumi_openstack, and whose load balancer by ours."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from netns.sandbox import Sandbox

from .fabric import NetworkedGuests, inside
from .project import Project
from .serving import Served, serving
from .test_guests import cloud_project, guests, heartbeat_host
from .waiting import until

__all__ = ["cloud_project", "guests", "heartbeat_host"]

EXAMPLE = Path(__file__).parents[2] / "examples/openstack"
MISSING = [name for name in ("pulumi", "pulumi-resource-openstack") if shutil.which(name) is None]
MISSING += [] if importlib.util.find_spec("pulumi_openstack") else ["pulumi_openstack (pip install pulumi-openstack)"]
pytestmark = [
    pytest.mark.pulumi_cli,
    pytest.mark.skipif(bool(MISSING), reason=f"not there: {', '.join(MISSING)}"),
]
ASK = """
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
BOB = "bob"
"""A user of another project than the control plane's own."""


@dataclass
class Stack:
    """The program under one engine. ``folder``: a copy of the example."""

    engine: str
    folder: Path
    environment: dict[str, str]
    given: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str) -> str:
        ours = [sys.executable, "-m", "octavia_provider.cli.main", *words]
        theirs = ["pulumi", *words, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            theirs if self.engine == "pulumi" else ours, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout + done.stderr

    def up(self, **config: str) -> str:
        """Its configuration changed by this, carried out."""
        if self.engine == "pulumi":
            for name, value in config.items():
                self("config", "set", name.replace("__", ":"), value)
            return self("up", "--yes", "--skip-preview")
        self.given |= config  # what is given holds for one run
        options = [word for name, value in self.given.items() for word in ("-c", f"{name.replace('__', ':')}={value}")]
        return self("up", "--yes", "--create", "--stack", "dev", *options)

    def destroy(self) -> None:
        clouds = [word for name in ("openstack", "octavia") for word in ("-c", f"{name}:cloud={BOB}")]
        self("destroy", "--yes", *(["--skip-preview"] if self.engine == "pulumi" else ["--stack", "dev", *clouds]))


@pytest.fixture
def served(
    guests: NetworkedGuests, cloud_project: Project, environment: dict[str, str], tmp_path: Path
) -> Iterator[Served]:
    with guests, serving(cloud_project, tmp_path, "openstack") as made:
        yield made


@pytest.fixture(params=["pulumi", "embedded"])
def stack(request: pytest.FixtureRequest, served: Served, tmp_path: Path) -> Stack:
    for name in ("state", "pulumi"):
        (tmp_path / name).mkdir()
    shutil.copytree(EXAMPLE, tmp_path / "program")
    (tmp_path / "program/Pulumi.yaml").write_text("name: web-on-openstack\nruntime: python\n")
    here = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "OCTAVIA_"))}
    environment |= {
        "HOME": str(tmp_path), "PATH": f"{here}:{os.environ['PATH']}", "PULUMI_HOME": str(tmp_path / "pulumi"),
        "PULUMI_CONFIG_PASSPHRASE": "x", "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true", "PULUMI_IGNORE_AMBIENT_PLUGINS": "false",
        "OS_CLIENT_CONFIG_FILE": str(served.users.clouds_file),
    }  # fmt: skip
    if request.param == "pulumi":
        environment["PULUMI_BACKEND_URL"] = f"file://{tmp_path / 'state'}"
    made = Stack(request.param, tmp_path / "program", environment)
    if request.param == "pulumi":
        made("stack", "init", "dev")
    return made


@contextlib.contextmanager
def outside(admin: Any) -> Iterator[str | None]:
    """The name of a network that routers lead to; None where this Neutron has no routers."""
    if admin.network.find_extension("router") is None:
        yield None
        return
    name = f"outside-{uuid.uuid4().hex[:8]}"
    network = admin.network.create_network(name=name, is_router_external=True)
    admin.network.create_subnet(network_id=network.id, ip_version=4, cidr="203.0.113.0/24", is_dhcp_enabled=False)
    try:
        yield name
    finally:
        admin.network.delete_network(network)


@pytest.mark.timeout(900)
def test_one_program_of_both_providers(stack: Stack, served: Served, guests: NetworkedGuests) -> None:
    range_ = ".".join(served.project.cidrs["vips"].split(".")[:2])
    config = {
        "openstack__cloud": BOB, "octavia__cloud": BOB, "cidr": f"{range_}.192.0/18", "image": "amphora", "flavor": "amphora",
    }  # fmt: skip
    bob = served.users.connect(BOB)
    with outside(served.project.admin) as external:
        said = stack.up(**config, **({"externalNetwork": external} if external else {}))
        assert f"signed in with cloud '{BOB}' of clouds.yaml" in said
        (balancer,) = bob.load_balancer.load_balancers()
        client = guests.fabric.machine(balancer.vip_network_id, f"{range_}.255.254/18")
        until(
            lambda: _status(client, f"http://{balancer.vip_address}/") == "503",
            seconds=120,
            what="an answer: no member is up",
        )
        assert bob.network.get_port(balancer.vip_port_id), "the VIP's port is the user's: it can have a floating IP"
        assert [ip.port_id for ip in bob.network.ips()] == [balancer.vip_port_id] * bool(external)
        assert len(list(bob.compute.servers())) == 2
        stack.up(servers="3")
        assert len(list(bob.compute.servers())) == 3
        (pool,) = bob.load_balancer.pools()
        assert len(list(bob.load_balancer.members(pool))) == 3
        stack.destroy()
    served.project.until_empty(seconds=60)
    mine = served.users.projects[BOB]
    assert [list(bob.network.ports(project_id=mine)), list(bob.network.networks(project_id=mine))] == [[], []]


def _status(client: Sandbox, url: str) -> str:
    """What a client on that network is answered with; empty: nothing."""
    try:
        return inside(client.init, sys.executable, "-IS", "-c", ASK, url).strip()
    except subprocess.CalledProcessError:
        return ""
