# SPDX-License-Identifier: Apache-2.0
"""octaviactl doctor: certificates of agents and their authority, as the control plane that runs knows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.cli import exit_codes
from octavia_provider.ports import Amphora, ControlPlane
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


def test_a_control_plane_that_says_nothing_any_more_is_told_with_what_is_left() -> None:
    with RealPlane() as plane:
        assert "control planes" not in findings(plane), "one alone has its state to itself"
        put(plane, "one", 60)
        put(plane, "two", 60)
        both = findings(plane)["control planes"]
        assert (both["ok"], both["detail"].count("0 load balancers")) == (True, 2)
        put(plane, "two", -1)
        silent = findings(plane)["control planes"]
        assert (silent["ok"], silent["detail"]) == (False, "two (process 7 on m): says nothing any more")
        status = octaviactl("status", "--home", plane.home).stdout
        assert "one (process 7 on m): 0 load balancers" in status
        assert "two (process 7 on m): says nothing any more; the others do its work" in status


def put(plane: RealPlane, name: str, seconds: float) -> None:
    process = ControlPlane(name=name, pid=7, machine="m")
    plane.run(plane.plane.store.write(lambda tx: tx.put_control_plane(process, seconds)))


def test_where_the_state_is_in_a_database_and_nothing_runs_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "database.url").write_text("postgresql://db/octavia\n")
    said = json.loads(octaviactl("doctor", "--json", "--home", str(tmp_path)).stdout)
    found = next(one for one in said if one["name"] == "control plane")
    assert (found["ok"], "its state is in postgresql://db/octavia" in found["detail"]) == (False, True)
    status = octaviactl("status", "--home", str(tmp_path))
    assert "Its state is in postgresql://db/octavia" in status.stdout
    assert status.returncode == exit_codes.NO_CONTROL_PLANE
