# SPDX-License-Identifier: Apache-2.0
"""What a preview says of the traffic, under each engine: pulumi's calls no provider for what would be deleted."""

from __future__ import annotations

import pytest

from .stacks import WEB, Project

pytestmark = pytest.mark.timeout(240)
MEMBERS = """
octavia.Member("one", pool_id=pool.id, address="10.66.0.10", protocol_port=80)
octavia.Member("two", pool_id=pool.id, address="10.66.0.11", protocol_port=80)
"""
CHANGED = (
    WEB.replace("protocol_port=80)", "protocol_port=80, timeout_client_data=1000)")
    + MEMBERS.splitlines()[1].replace("protocol_port=80", "protocol_port=80, weight=0")
    + '\noctavia.L7Policy("deny", listener_id=listener.id, action="REJECT")\n'
)


def test_every_change_states_its_effect_and_the_worst_comes_first(project: Project) -> None:
    project.up_well(WEB + MEMBERS)
    project.program(CHANGED)
    seen = project.preview().text
    for said in (
        "effect on traffic: weight: it drains: no new connections go to it",
        "effect on traffic: timeout_client_data: a seamless reload of haproxy; no request is lost",
        "effect on traffic: made: requests that match all its rules are treated as it says",
    ):
        assert said in seen, seen
    if project.engine == "embedded":
        deleted = "octavia:index:Member two deleted: no new connections go to it"
        assert f"! {deleted}" in seen
        assert seen.count("effect on traffic: weight") == 1
        assert seen.index(deleted) < seen.rindex("octavia:index:Listener http timeout_client_data: a seamless reload")
    else:
        assert "warning: effect on traffic: weight" in seen
    project.program((WEB + MEMBERS).replace('LoadBalancer("web", ', 'LoadBalancer("web", vip_address="10.1.0.77", '))
    seen = project.preview().text
    assert "because of vip_address: another load balancer" in seen or "web replaced: another load balancer" in seen, (
        seen
    )
