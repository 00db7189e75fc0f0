# SPDX-License-Identifier: Apache-2.0
"""Many members at once: nothing is lost, and one push takes what has gathered."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .installation import Installation, make_stack, shares

COUNT = 300


def pushes(site: Installation) -> Counter[str]:
    """What came of each push so far, by the control plane's log: runtime, reload, start, unchanged."""
    return Counter(event["outcome"] for event in site.events("applied") if "outcome" in event)


@pytest.mark.parametrize(("in_flight", "most_pushes"), [(8, COUNT), (COUNT, 30)])
def test_three_hundred_members__nothing_lost__few_pushes__no_reload(
    site: Installation, in_flight: int, most_pushes: int
) -> None:
    stack = make_stack(site, members=1)
    workers, before = site.workers(), pushes(site)
    addresses = [f"192.0.2.{number % 250}" for number in range(COUNT)]  # RFC 5737: nobody answers there

    def create(number: int) -> dict[str, Any]:
        return site.create(
            "member", parent=stack.pool["id"], address=addresses[number], protocol_port=1000 + number, weight=0
        )

    with ThreadPoolExecutor(in_flight) as pool:
        made = list(pool.map(create, range(COUNT)))

    assert Counter(member["provisioning_status"] for member in made) == {"ACTIVE": COUNT}
    done = pushes(site) - before
    assert done.keys() == {"runtime"}
    assert 0 < done["runtime"] <= most_pushes
    assert site.workers() == workers
    names = {row.split()[3] for row in stack.haproxy("show servers state").splitlines() if row.count(" ") > 10}
    assert {member["id"] for member in made} <= names
    configuration = stack.configuration()
    assert all(
        f"server {member['id']} {member['address']}:{member['protocol_port']}" in configuration for member in made
    )
    listed = site.get_json(f"/v2/lbaas/pools/{stack.pool['id']}/members?limit=1000")["members"]
    assert {member["id"] for member in listed} >= {member["id"] for member in made}
    assert set(shares(stack.url, 20)) == {"m1"}
