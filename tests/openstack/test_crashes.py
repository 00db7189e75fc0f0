# SPDX-License-Identifier: Apache-2.0
"""A control plane whose process ends at each call of a boot and of a deletion: the next one goes on, makes nothing twice, leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .guests import Guests
from .lives import ENDED, Lives
from .project import Project

CALLS = 120
"""More than there are different ones."""
OF_ONE_AMPHORA = {"servers": 1, "server groups": 1, "ports": 3, "security groups": 1}
BALANCERS = "/v2/lbaas/loadbalancers"


@pytest.fixture
def lives(cloud_project: Project, environment: dict[str, str], tmp_path: Path) -> Iterator[Lives]:
    with Guests(cloud_project), Lives(tmp_path, ("--cloud", "openstack", "--os-cloud", "test")) as made:
        yield made


async def until_done(lives: Lives, work: Callable[[], Awaitable[bool]]) -> None:
    """``work`` asks for something, and says whether it is done: by one control plane after the other, until one does not end meanwhile."""
    for _ in range(CALLS):
        done = False
        if lives.begin(ends=True):
            async with asyncio.timeout(60):
                while lives.code() is None and not done:
                    with contextlib.suppress(OSError):
                        done = await work()
                    await asyncio.sleep(0.05)
        if lives.code() != ENDED:
            lives.end()
            return
    raise AssertionError(f"not done after {lives.ends}")


@pytest.mark.timeout(1200)
async def test_a_process_that_ends_at_any_call_of_a_boot_or_a_deletion(lives: Lives, cloud_project: Project) -> None:
    spec = {"name": "web", "vip_subnet_id": cloud_project.subnets["vips"]}

    async def balancers() -> list[dict[str, Any]]:
        return list((await lives.request("GET", BALANCERS))["loadbalancers"])

    async def made() -> bool:
        found = await balancers() or [(await lives.request("POST", BALANCERS, {"loadbalancer": spec}))["loadbalancer"]]
        return bool(found[0]["provisioning_status"] == "ACTIVE")

    await until_done(lives, made)
    left = cloud_project.left()
    assert {what: len(names) for what, names in left.items()} == OF_ONE_AMPHORA, left
    (server,) = cloud_project.servers()
    among = cloud_project.rules_among_amphorae(server.metadata["octavia_load_balancer"])
    families = [(family, protocol) for family, protocol, _ in among]
    assert families == [(family, protocol) for family in ("IPv4", "IPv6") for protocol in ("112", "tcp")]
    assert sum(one.startswith("before ") for one in lives.ends) >= 11, lives.ends  # each is another one
    assert {f"{when} nova POST /servers name=octavia-amphora-ID" for when in ("before", "after")} <= set(lives.ends)

    async def gone() -> bool:
        found = await balancers()
        if found and found[0]["provisioning_status"] != "PENDING_DELETE":
            await lives.request("DELETE", f"{BALANCERS}/{found[0]['id']}")
        return not found

    await until_done(lives, gone)
    assert cloud_project.left() == {}
    assert {f"{when} nova DELETE /servers/ID" for when in ("before", "after")} <= set(lives.ends)
