# SPDX-License-Identifier: Apache-2.0
"""Pulumi's manners, under each engine: protect, refresh, ignoreChanges, retain."""

from __future__ import annotations

import pytest

from .stacks import WEB, Project

pytestmark = pytest.mark.timeout(240)
PROTECTED = WEB.replace('"web", vip_network_id=network.id', '"web", vip_network_id=network.id, opts=O(protect=True)')


def test_a_refresh_after_an_up_finds_nothing(project: Project) -> None:
    text = (
        WEB + 'octavia.HealthMonitor("check", pool_id=pool.id, type="HTTP", delay=1, timeout=1, max_retries=1)\n'
        'one = host("one", network)\n'
        'octavia.Member("one", pool_id=pool.id, address=one.address, protocol_port=80)\n'
        'octavia.LoadBalancer.get("same", balancer.id)\n'
    )
    project.up_well(text)
    for _ in range(2):  # meanwhile the member and what is above it go from OFFLINE to ONLINE
        found = project.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")
        assert found.ok, found.text
    project.unchanged()


def test_nothing_is_deleted_where_the_balancer_is_protected(project: Project) -> None:
    project.up_well(PROTECTED)
    before = project.objects()
    # pulumi itself deletes the rest when it is told to skip the preview, in which it would have seen this
    options = () if project.engine == "pulumi" else ("--skip-preview",)
    done = project.run("destroy", "--yes", *options)
    assert not done.ok
    assert "protected" in done.text
    assert project.objects() == before
    project.up_well(WEB)
    assert project.destroy().ok


def test_protect_goes_and_the_balancer_is_replaced_in_one(project: Project) -> None:
    project.up_well(PROTECTED)
    project.up_well(WEB.replace("vip_network_id=network.id", 'vip_network_id=network.id, vip_address="10.1.0.77"'))
    project.assert_nothing_double()
    assert project.destroy().ok


def test_a_path_that_is_no_input_is_warned_of(project: Project) -> None:
    text = WEB.replace(
        "protocol_port=80)", 'protocol_port=80, opts=O(ignore_changes=["protocl_port", "protocol_port"]))'
    )
    first = project.up_well(text).text
    seen = project.preview().text
    assert ("protocl_port is no input" in first) == (
        project.engine == "embedded"
    )  # pulumi does not tell of it in a Create
    assert "ignore_changes: protocl_port is no input, so nothing is ignored by it; did you mean protocol_port?" in seen
    assert "protocol_port is no input" not in seen
