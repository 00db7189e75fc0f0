# SPDX-License-Identifier: Apache-2.0
"""octaviactl doctor, leftovers and purge with a control plane on OpenStack."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import Any

import pytest

from netns.installation import Installation

from .project import Project
from .site import balancer, opened
from .waiting import until


def said(site: Installation, *words: str, code: int = 0, fails: str = "") -> Any:
    """What a command of this home prints as JSON; ``fails``: a part of its error."""
    command = [sys.executable, "-m", "octavia_provider.cli.main", *words, "--json", "--home", str(site.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, fails in done.stderr) == (code, True), (done.stdout, done.stderr)
    return json.loads(done.stdout or "null")


async def made_by(control_plane_id: str | None, project: Project) -> str:
    """A load balancer's VIP port that no store knows. Its id."""
    lb = str(uuid.uuid4())
    async with opened(control_plane_id) as cloud:
        await cloud.networks.allocate(balancer(lb, vip_subnet_id=project.subnets["vips"]))  # type: ignore[union-attr]
    return lb


async def test_what_no_store_knows_is_found_and_deleted_and_purge_takes_all_away(
    site: Installation, cloud_project: Project
) -> None:
    made = site.create("load_balancer", name="web", vip_subnet_id=cloud_project.subnets["vips"], wait=False)
    until(
        lambda: site.get("load_balancer", made["id"])["provisioning_status"] == "ACTIVE",
        what="it to be made",
    )
    mine = site.get_json("/v2/octavia/control-plane")["control_plane"]["id"]
    other = str(uuid.uuid4())

    def in_cloud() -> list[dict[str, Any]]:
        """An administrator sees the ports of VIPs of all projects: those of other tests are none of this one's."""
        return [one for one in said(site, "leftovers")["in_cloud"] if one["control_plane"] in (mine, other, None)]

    assert in_cloud() == []
    orphan, foreign = await made_by(mine, cloud_project), await made_by(other, cloud_project)
    cloud_project.user.compute.create_server_group(name=f"octavia-lb-{uuid.uuid4()}", policies=["soft-anti-affinity"])
    found = {one["load_balancer"]: one for one in in_cloud()}
    assert len(found) == 3
    assert (found[orphan]["own"], found[foreign]["own"]) == (True, False)
    assert (found[foreign]["kind"], found[foreign]["control_plane"]) == ("port", other)
    site.stop()
    said(site, "start", code=1, fails=f"octaviactl serve --cloud openstack --home {site.home} --os-cloud test with")
    assert orphan in {one["id"] for one in said(site, "adopt")["unknown"]}
    said(site, "adopt", "--let-go", "--yes", code=1, fails="octaviactl leftovers --delete")
    said(site, "leftovers", "--delete", "--yes")
    assert {one["load_balancer"] for one in in_cloud()} == found.keys() - {orphan}
    assert said(site, "adopt")["unknown"] == []
    said(site, "leftovers", "--delete", "--yes", "--control-plane", other)
    assert set(cloud_project.left()) == {"servers", "server groups", "ports", "security groups"}
    done = said(site, "purge", "--yes")
    assert (done["removed"], done["in_cloud"]) == (True, 6), done
    assert set(cloud_project.left()) == {"server groups"}, "stock Octavia's, maybe"
    (group,) = cloud_project.user.compute.server_groups()
    cloud_project.user.compute.delete_server_group(group)


def test_doctor_says_what_is_there_and_what_is_missing(
    site: Installation, cloud_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def findings(code: int) -> dict[str, Any]:
        return {one["name"]: one for one in said(site, "doctor", "--os-cloud", "test", code=code)}

    found = findings(0)
    assert {"credentials", "service compute", "Nova's API", "management network", "compute flavor", "amphora image", "heartbeat address",
            "quota of Nova", "quota of Neutron"} <= {name for name, one in found.items() if one["ok"]}, found  # fmt: skip
    assert "kernel" not in str(found).lower()
    groups = found["management security groups"]
    assert (groups["ok"], groups["needed"]) == (False, False)
    assert "security group rule create" in groups["fix"]
    project_id = cloud_project.user.current_project_id
    cloud_project.admin.compute.update_quota_set(project_id, instances=2)
    monkeypatch.setenv("OCTAVIA_OPENSTACK_COMPUTE_FLAVOR", "none-such")
    monkeypatch.setenv("OCTAVIA_OPENSTACK_MANAGEMENT_NETWORK", "none-such")
    monkeypatch.setenv("OCTAVIA_OPENSTACK_IMAGE_TAG", "none-such")
    monkeypatch.setenv("OCTAVIA_OPENSTACK_HEARTBEAT_ADDRESS", "192.0.2.77:5555")
    wrong = findings(1)
    assert "openstack quota set --instances" in wrong["quota of Nova"]["fix"]
    assert "Nova has no flavor none-such" in wrong["compute flavor"]["detail"]
    assert "none-such" in wrong["management network"]["detail"]
    assert "openstack image set --tag none-such" in wrong["amphora image"]["fix"]
    assert "192.0.2.77" in wrong["heartbeat address"]["detail"]
    assert all(one["fix"] for one in wrong.values() if not one["ok"])
    cloud_project.admin.compute.update_quota_set(project_id, instances=-1)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "/none/such")
    assert "clouds.yaml" in findings(1)["credentials"]["fix"]
