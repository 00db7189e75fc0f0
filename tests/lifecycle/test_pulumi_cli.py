# SPDX-License-Identifier: Apache-2.0
"""The real engine drives the real plugin, with the generated SDK, against the API and the store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from real_plane import RealPlane

pytestmark = [
    pytest.mark.pulumi_cli,
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("pulumi") is None, reason="the pulumi CLI is not on PATH"),
]

PROGRAM = """
import pulumi
import pulumi_octavia as octavia

config = pulumi.Config()
network = octavia.local.Network("net")
lb = octavia.LoadBalancer("lb", vip_network_id=network.id, tags=["b", "a"])
listener = octavia.Listener("web", loadbalancer_id=lb.id, protocol="HTTP", protocol_port=config.get_int("port") or 80)
pool = octavia.Pool("pool", listener_id=listener.id, protocol="HTTP", lb_algorithm=octavia.PoolLbAlgorithm.ROUND_ROBIN)
monitor = octavia.HealthMonitor("hm", pool_id=pool.id, type="HTTP", delay=5, timeout=2, max_retries=2, url_path="/")
members = [
    octavia.Member(f"m{i}", pool_id=pool.id, address=f"10.0.0.{i}", protocol_port=8080, weight=config.get_int("weight"))
    for i in (1, 2)
]
pulumi.export("lb", lb.id)
pulumi.export("pool", pool.id)
pulumi.export("members", [m.id for m in members])
"""


@dataclass
class Stack:
    folder: Path
    environment: dict[str, str]

    def pulumi(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        assert "octavia_provider/" not in done.stdout + done.stderr, "a traceback of ours"
        return done.stdout + done.stderr

    def program(self, text: str) -> None:
        (self.folder / "__main__.py").write_text(text)

    def outputs(self) -> dict[str, Any]:
        return dict(json.loads(self.pulumi("stack", "output", "--json")))

    def steps(self, *words: str) -> dict[str, str]:
        """The resources that a preview changes: name → operation."""
        found = json.loads(self.pulumi("preview", "--json", *words))
        return {s["urn"].rpartition("::")[2]: s["op"] for s in found["steps"] if s["op"] not in ("same", "read")}


@pytest.fixture
def plane() -> Iterator[RealPlane]:
    with RealPlane() as running:
        yield running


@pytest.fixture
def stack(tmp_path: Path, plane: RealPlane) -> Stack:
    for name in ("state", "pulumi", "program"):
        (tmp_path / name).mkdir()
    here = Path(sys.executable).parent
    environment = {
        "PYTHONDONTWRITEBYTECODE": "1",  # a program rewritten within one second would run in its former form
        "HOME": str(tmp_path), "PATH": f"{here}:{os.environ['PATH']}", "PULUMI_HOME": str(tmp_path / "pulumi"),
        "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}", "PULUMI_CONFIG_PASSPHRASE": "x",
        "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "false", "OCTAVIA_HOME": str(plane.home),
    }  # fmt: skip
    made = Stack(tmp_path / "program", environment)
    (made.folder / "Pulumi.yaml").write_text("name: web\nruntime: python\n")
    made.program(PROGRAM)
    made.pulumi("stack", "init", "dev")
    return made


def test_the_life_of_a_stack(stack: Stack, plane: RealPlane) -> None:
    assert stack.pulumi("preview").count("+ ") >= 8
    assert not plane.plane.activity, "a preview calls nobody"
    stack.pulumi("up", "--yes", "--skip-preview")

    # nothing to do, whichever way one looks; what heartbeats tell is no change of the resource
    stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    plane.plane.status_cache.operating_status = lambda record: "DEGRADED"
    stack.pulumi("refresh", "--yes", "--expect-no-changes")
    assert stack.steps() == {}

    # an edit names exactly what changes; taking it away puts the default back
    stack.pulumi("config", "set", "weight", "7")
    assert stack.steps() == {"m1": "update", "m2": "update"}
    stack.pulumi("up", "--yes", "--skip-preview")
    stack.pulumi("config", "rm", "weight")
    assert stack.steps() == {"m1": "update", "m2": "update"}
    stack.pulumi("config", "set", "port", "81")
    assert "connections to the old port are finished" in stack.pulumi("preview")
    stack.pulumi("up", "--yes", "--skip-preview")
    stack.pulumi("refresh", "--yes", "--expect-no-changes")

    # what is there is taken into another stack, and shows no change
    outputs = stack.outputs()
    stack.pulumi("stack", "init", "other")
    member = f"{outputs['pool']}/{outputs['members'][0]}"
    for token, name, id_ in (
        ("octavia:index:LoadBalancer", "lb", outputs["lb"]),
        ("octavia:index:Pool", "pool", outputs["pool"]),
        ("octavia:index:Member", "m1", member),
    ):
        code = stack.folder / "generated.py"
        stack.pulumi("import", token, name, id_, "--yes", "--skip-preview", "--protect=false", "--out", str(code))
        stack.program(code.read_text())
        assert stack.steps("--target", f"urn:pulumi:other::web::{token}::{name}") == {}
    stack.pulumi("stack", "select", "dev")
    stack.program(PROGRAM)

    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert not plane.objects()


def test_a_refusal_is_told_with_its_path_and_repaired(stack: Stack, plane: RealPlane) -> None:
    stack.program(PROGRAM.replace("protocol_port=8080", "protocol_port=80800"))
    said = stack.pulumi("preview", fails=True)
    assert "protocol_port: must be at most 65535, not 80800" in said

    stack.program(PROGRAM)
    refused = "haproxy-says-no"
    stack.program(PROGRAM.replace('octavia.Pool("pool",', 'octavia.Pool("pool", name="haproxy-says-no",'))
    plane.plane.refuse.add(refused)
    said = stack.pulumi("up", "--yes", "--skip-preview", fails=True)
    assert "haproxy said no" in said
    assert "pool 'pool'" not in said
    plane.plane.refuse.clear()
    stack.pulumi("up", "--yes", "--skip-preview")
    assert len(plane.objects()) == 7, "nothing is made twice"
    stack.pulumi("destroy", "--yes", "--skip-preview")


NAMED = """
import pulumi
import pulumi_octavia as octavia

network = octavia.local.Network({name!r}, name="first", opts=pulumi.ResourceOptions(aliases={aliases}))
"""
STEPS = (
    NAMED.format(name="web", aliases="None"),
    NAMED.format(name="web-old", aliases='[pulumi.Alias(name="web")]'),
    'import pulumi_octavia\n\nother = pulumi_octavia.local.Network("web", name="second")\n'
    + NAMED.format(name="web-old", aliases="None"),
)


@pytest.mark.parametrize("engine", ["pulumi", "embedded"])
def test_a_new_resource_of_an_old_name_leaves_the_renamed_one_alone(
    stack: Stack, plane: RealPlane, engine: str
) -> None:
    made: list[list[str]] = []
    for program in STEPS:
        stack.program(program)
        if engine == "pulumi":
            stack.pulumi("up", "--yes", "--skip-preview")
        else:
            command = [sys.executable, "-m", "octavia_provider.cli.main", "up", "--yes", "--create", "--stack", "dev"]
            environment = {n: v for n, v in stack.environment.items() if n != "PULUMI_BACKEND_URL"}
            subprocess.run(command, cwd=stack.folder, env=environment, check=True, capture_output=True, timeout=100)
        made.append(plane.objects())
    assert made[0] == made[1]
    assert set(made[2]) > set(made[0])
    assert len(made[2]) == 2
