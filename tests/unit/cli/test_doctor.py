# SPDX-License-Identifier: Apache-2.0
"""octaviactl doctor: certificates of agents and their authority, as the control plane that runs knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.ports import Amphora
from real_plane import RealPlane

LONG, PAST = "2099-01-01T00:00:00+00:00", "2020-01-01T00:00:00+00:00"


def findings(plane: RealPlane) -> dict[str, Any]:
    said = json.loads(octaviactl("doctor", "--json", "--home", plane.home).stdout)
    return {finding["name"]: finding for finding in said}


@pytest.mark.parametrize("ends", [[], [LONG], [LONG, PAST]])
def test_certificates_of_agents_are_told_with_the_first_end(ends: list[str]) -> None:
    with RealPlane() as plane:
        balancer = plane.make("web")["id"]
        for number, end in enumerate([*ends, None]):
            amphora = Amphora(id=str(number), load_balancer_id=balancer, heartbeat_key=b"k", certificate_expires=end)
            plane.run(plane.plane.store.write(lambda tx, amphora=amphora: tx.put_amphora(amphora)))  # type: ignore[misc]
        found = findings(plane)
        assert "good until 2036-01-01" in found["certificate authority"]["detail"]
        agents = found.get("certificates of agents")
        assert (agents is None) is not bool(ends)
        if agents:
            assert agents["ok"] is (PAST not in ends)
            assert f"good until {min(ends)[:10]}" in agents["detail"]
