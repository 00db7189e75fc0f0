# SPDX-License-Identifier: Apache-2.0
"""A stack of the embedded engine in the hands of the real ``pulumi``, and back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from octavia_engine import stacks

PROGRAM = """
lb = Balancer("lb", subnetId="net-1", key=pulumi.Output.secret("k3y"))
Listener("web", balancerId=lb.id, port=80)
ms = [Member(f"m{i}", balancerId=lb.id, address=f"10.0.0.{i}", weight=1) for i in range(3)]
pulumi.export("key", pulumi.Output.secret("s3cret"))
"""


@pytest.fixture
def quick_keys() -> None:
    """The CLI derives keys with the real number of rounds."""


@pytest.fixture
def pulumi(stack: Any, tmp_path: Path) -> Any:
    """Run ``pulumi`` in the project, with its own home and our state directory as the backend."""
    if shutil.which("pulumi") is None:
        pytest.skip(
            "pulumi is not on PATH: nothing to compare with. Install it from https://www.pulumi.com/docs/install/"
        )
    environment = stack.child_environment(
        PULUMI_HOME=str(tmp_path / "home"),
        PULUMI_BACKEND_URL=f"file://{stack.folder / '.octavia' / 'state'}",
        PULUMI_SKIP_UPDATE_CHECK="true",
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION="true",
        PULUMI_DISABLE_REGISTRY_RESOLVE="true",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )

    def run(*arguments: str, stdin: str | None = None) -> str:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        done = subprocess.run(
            command, cwd=stack.folder, env=environment, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.pulumi_cli
def test_the_cli_reads_our_state_goes_on_with_it_and_we_with_its(stack: Any, pulumi: Any) -> None:
    assert stack.up(PROGRAM)[0].ok
    exported = json.loads(pulumi("stack", "export", "--stack", "dev", "--show-secrets"))
    names = {resource["urn"].split("::")[3] for resource in exported["deployment"]["resources"]}
    assert names == {"prog-dev", "default", "lb", "web", "m0", "m1", "m2"}
    assert pulumi("stack", "output", "key", "--stack", "dev", "--show-secrets").strip() == "s3cret"
    pulumi("preview", "--stack", "dev", "--expect-no-changes")
    stack.program(PROGRAM.replace("weight=1", "weight=2"))
    pulumi("up", "--stack", "dev", "--yes", "--skip-preview")
    result, shown = stack.run("up")
    assert result.ok, shown
    assert result.summary.changes == {"same": 6}


@pytest.mark.pulumi_cli
def test_our_export_is_importable_by_the_cli(stack: Any, pulumi: Any) -> None:
    assert stack.up(PROGRAM)[0].ok
    document = stacks.export(stack.folder, "dev")
    pulumi("stack", "import", "--stack", "dev", stdin=json.dumps(document))
    pulumi("preview", "--stack", "dev", "--expect-no-changes")
