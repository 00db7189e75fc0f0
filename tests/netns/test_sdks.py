# SPDX-License-Identifier: Apache-2.0
"""The examples in TypeScript and Go, run by pulumi with the SDKs as ``scripts/sdk-check`` has compiled them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

import pytest

from .installation import ask, until
from .stacks import REPOSITORY, Project

BUILT = REPOSITORY / "build" / "sdk"
EXAMPLES = REPOSITORY / "examples"


def typescript(project: Project) -> dict[str, object]:
    """The example beside the modules that were installed for it."""
    for name in ("index.ts", "package.json", "tsconfig.json"):
        shutil.copy(EXAMPLES / "typescript" / name, project.code)
    (project.code / "node_modules").symlink_to(BUILT / "nodejs" / "node_modules")
    return {"name": "nodejs", "options": {"packagemanager": "npm"}}


def go(project: Project) -> dict[str, object]:
    """The compiled example, and its modules for pulumi's question which plugins they need."""
    text = (EXAMPLES / "go" / "go.mod").read_text()
    (project.code / "go.mod").write_text(text.replace("../../sdk/go", str(REPOSITORY / "sdk" / "go")))
    for name in ("go.sum", "main.go"):
        shutil.copy(EXAMPLES / "go" / name, project.code)
    project.environment |= {"GOMODCACHE": str(BUILT / "go" / "mod"), "GOCACHE": str(BUILT / "go" / "cache")}
    return {"name": "go", "options": {"binary": str(BUILT / "go" / "octavia-example")}}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", [pytest.param("pulumi", marks=pytest.mark.pulumi_cli)], indirect=True)
@pytest.mark.parametrize(("language", "prepare"), [("nodejs", typescript), ("go", go)], ids=["nodejs", "go"])
def test_the_example_serves(project: Project, language: str, prepare: Callable[[Project], dict[str, object]]) -> None:
    host = f"pulumi-language-{language}"
    if shutil.which(host) is None:
        pytest.skip(f"{host} is not on PATH")
    subprocess.run([REPOSITORY / "scripts/sdk-check", language], check=True, timeout=280)
    if not (BUILT / language).exists():
        pytest.skip(f"no compiler for {language}, as scripts/sdk-check says")
    (project.code / "__main__.py").unlink()
    (project.code / "Pulumi.yaml").write_text(json.dumps({"name": "prog", "runtime": prepare(project)}))
    project.up_well()
    outputs = project.outputs()
    until(lambda: ask(outputs["url"])[0] == 200, what="a member to answer")
    resources = project.resources()
    hosts = {r["outputs"]["address"] for r in resources.values() if r["type"] == "octavia:local:Host"}
    members = {r["inputs"]["address"] for r in resources.values() if r["type"] == "octavia:index:Member"}
    assert hosts == members
    assert len(hosts) == 2
    assert outputs["vip"] == next(
        r["outputs"]["vipAddress"] for r in resources.values() if r["type"] == "octavia:index:LoadBalancer"
    )
    project.unchanged()
    assert project.destroy().ok
    project.assert_cloud_has_no_more()
