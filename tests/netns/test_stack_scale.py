# SPDX-License-Identifier: Apache-2.0
"""A program with 300 members: nothing is lost, never more pushes than creates, haproxy's processes stay."""

from __future__ import annotations

from collections import Counter

import pytest

from .stacks import WEB, Project

COUNT = 300
# RFC 5737: nobody answers there, and nobody is asked: they have no weight and no monitor
MEMBERS = f"""
for n in range({COUNT}):
    octavia.Member(
        f"m{{n}}", pool_id=pool.id, address=f"192.0.2.{{n % 250 + 1}}", protocol_port=1000 + n, weight=0
    )
"""


def pushes(project: Project) -> list[str]:
    """What came of each push so far, by the control plane's log: start, reload, runtime, unchanged."""
    return [event["outcome"] for event in project.site.events("applied") if "outcome" in event]


@pytest.mark.timeout(180)
def test_three_hundred_members_in_one_program(project: Project) -> None:
    project.up_well(WEB)
    workers, before = project.site.workers(), len(pushes(project))
    project.up_well(WEB + MEMBERS, "--parallel", "8")
    done = pushes(project)[before:]
    members = project.objects()["member"]
    assert Counter(member["provisioning_status"] for member in members) == {"ACTIVE": COUNT}
    assert {member["protocol_port"] for member in members} == {1000 + n for n in range(COUNT)}
    assert set(done) == {"runtime"}
    assert len(done) <= COUNT
    assert project.site.workers() == workers != []
    wanted = {f"member/m{n}" for n in range(COUNT)}
    assert wanted <= project.resources().keys()
    print(f"{project.engine}: {len(done)} pushes for {COUNT} members")
    project.assert_nothing_double()
    project.unchanged()
