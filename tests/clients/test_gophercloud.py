# SPDX-License-Identifier: Apache-2.0
"""gophercloud: what most programs in Go speak to OpenStack by, Kubernetes' cloud provider and Terraform's provider among them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from .conftest import Served

HERE = Path(__file__).with_name("gophercloud")
CALLS = "github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/..."
_FUNCTION = re.compile(r"/(\w+)/requests\.go:\d+:\s+([A-Z]\w*)\s+([\d.]+)%")


@pytest.mark.timeout(600)
def test_every_call_of_gophercloud_is_made_and_answered_as_octavia_answers_it(served: Served, tmp_path: Path) -> None:
    profile = tmp_path / "cover.out"
    command = ["go", "test", "-count=1", f"-coverpkg={CALLS}", f"-coverprofile={profile}", "."]
    done = subprocess.run(command, cwd=HERE, env=served.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = subprocess.run(
        ["go", "tool", "cover", f"-func={profile}"], cwd=HERE, capture_output=True, text=True, check=True
    )
    calls = {f"{package}.{name}": float(share) for package, name, share in _FUNCTION.findall(listed.stdout)}
    calls = {name: share for name, share in calls.items() if not re.search(r"\.To\w+(Map|Query)$", name)}
    assert len(calls) >= 60, sorted(calls)
    assert [name for name, share in calls.items() if not share] == []
