# SPDX-License-Identifier: Apache-2.0
"""terraform-provider-openstack: all of its resources and data sources of the load-balancer service, by Terraform itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Served
from .terraform import Terraform, build, kinds, known

IN_FORCE = ("no-op",)
UNCHANGED = {"openstack_lb_monitor_v2.other"}
"""Resources of the stack on which its variable ``changed`` has no effect."""


@pytest.fixture(scope="session")
def programs() -> Path:
    return build(Path(os.environ["OCTAVIA_TEST_CLIENTS"]))


@pytest.mark.timeout(1200)
def test_a_stack_of_every_resource_is_made_changed_in_place_imported_and_destroyed(
    served: Served, programs: Path, tmp_path: Path
) -> None:
    made = Terraform(tmp_path / "made", programs, served.environment())
    assert kinds() == known(made)
    made.run("apply", "-auto-approve")
    assert made.run("plan", "-detailed-exitcode")

    change = "-var=changed=true"
    planned = made.actions(change)
    assert {actions for address, actions in planned.items() if address not in UNCHANGED} == {("update",)}
    made.run("apply", "plan")
    made.run("plan", "-detailed-exitcode", change)

    imported = Terraform(tmp_path / "imported", programs, served.environment())
    (imported.folder / "imports.tf").write_text(made.imports())
    planned = imported.actions(change, "-var=imported=true")
    assert {address: actions for address, actions in planned.items() if actions != IN_FORCE} == {}
    imported.run("apply", "plan")
    assert {one["address"] for one in imported.resources()} == {one["address"] for one in made.resources()}
    imported.run("plan", "-detailed-exitcode", change, "-var=imported=true")

    imported.run("destroy", "-auto-approve")
    there = {address for address, actions in made.actions(change).items() if actions != ("create",)}
    assert there <= {"openstack_lb_quota_v2.project"}, "the provider leaves a quota where it is"
