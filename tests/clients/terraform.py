# SPDX-License-Identifier: Apache-2.0
"""Terraform and its provider for OpenStack, built from their modules, in a folder of a test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).with_name("terraform")
MODULES = {
    "cli": "github.com/hashicorp/terraform",
    "provider": "github.com/terraform-provider-openstack/terraform-provider-openstack/v3",
}
BINARIES = {"cli": "terraform", "provider": "terraform-provider-openstack"}
SOURCE = "terraform-provider-openstack/openstack"
_IMPORTED_BELOW = {"member": "pool_id", "l7rule": "l7policy_id"}
"""Resources whose id to import begins with that of what they are in."""


def build(folder: Path) -> Path:
    """The folder of both programs."""
    for name, module in MODULES.items():
        command = ["go", "build", "-o", str(folder / BINARIES[name]), module]
        done = subprocess.run(command, cwd=HERE / name, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@dataclass
class Terraform:
    """``folder``: where ``stack.tf`` and its state are; ``programs``: of both; ``environment``: who logs on."""

    folder: Path
    programs: Path
    environment: dict[str, str]

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        shutil.copy(HERE / "stack.tf", self.folder)
        settings = self.folder / "settings"
        settings.write_text(
            f'provider_installation {{\n  dev_overrides {{ "{SOURCE}" = "{self.programs}" }}\n  direct {{}}\n}}\n'
        )
        variables = {
            "admin": self.environment["ADMIN_USERNAME"], "subnet": self.environment["TEST_SUBNET_ID"],
            "project": self.environment["OS_PROJECT_ID"],
        }  # fmt: skip
        self.environment = {
            **self.environment, "TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1",
            **{f"TF_VAR_{name}": value for name, value in variables.items()},
        }  # fmt: skip

    def run(self, *words: str, code: int = 0) -> str:
        """What it says; ``code``: the exit code that is expected."""
        done = subprocess.run(
            [self.programs / "terraform", *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout[-6000:] + done.stderr[-6000:]
        return done.stdout

    def actions(self, *words: str, code: int = 2) -> dict[str, tuple[str, ...]]:
        """What a plan does with each resource: ``("update",)``; and it is kept, for ``apply plan``."""
        self.run("plan", "-detailed-exitcode", "-out=plan", *words, code=code)
        changes = json.loads(self.run("show", "-json", "plan"))["resource_changes"]
        return {one["address"]: tuple(one["change"]["actions"]) for one in changes if one["mode"] == "managed"}

    def resources(self) -> list[dict[str, Any]]:
        found = json.loads(self.run("show", "-json"))["values"]["root_module"]["resources"]
        return [one for one in found if one["mode"] == "managed"]

    def imports(self) -> str:
        """Blocks that import all that is in the state, by ids as the provider's documentation has them."""
        blocks = []
        for one in self.resources():
            kind = one["type"].removeprefix("openstack_lb_").removesuffix("_v2")
            values = one["values"]
            id_ = f"{values[_IMPORTED_BELOW[kind]]}/{values['id']}" if kind in _IMPORTED_BELOW else values["id"]
            blocks.append(f'import {{\n  to = {one["address"]}\n  id = "{id_}"\n}}\n')
        return "".join(blocks)


def kinds() -> set[str]:
    """The types of resources and of data sources in ``stack.tf``."""
    lines = [line.split('"') for line in (HERE / "stack.tf").read_text().splitlines()]
    return {f"{words[0].strip()} {words[1]}" for words in lines if words[0] in ("resource ", "data ")}


def known(terraform: Terraform) -> set[str]:
    """Those that the provider has of the load-balancer service."""
    (schema,) = json.loads(terraform.run("providers", "schema", "-json"))["provider_schemas"].values()
    parts = {"resource": "resource_schemas", "data": "data_source_schemas"}
    return {f"{word} {name}" for word, key in parts.items() for name in schema[key] if name.startswith("openstack_lb_")}
