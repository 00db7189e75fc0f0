# SPDX-License-Identifier: Apache-2.0
"""Three control planes on one PostgreSQL and one embedded cloud: killed and paused in turn while everything changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgresql import postgresql, postgresql_server

from .fleet import Fleet, fleet
from .installation import Installation
from .traffic import until

__all__ = ["postgresql", "postgresql_server"]
NAMES = ("one", "two", "three")


def make(site: Installation, name: str, network_id: str) -> dict[str, str]:
    """A load balancer with a listener."""
    made = site.create("load_balancer", name=name, vip_network_id=network_id)
    listener = site.create("listener", name=name, loadbalancer_id=made["id"], protocol="HTTP", protocol_port=80)
    assert listener["provisioning_status"] == "ACTIVE", listener
    return {"lb": made["id"], "listener": listener["id"]}


def heard(site: Installation, made: dict[str, str]) -> bool:
    return bool(site.get("load_balancer", made["lb"])["operating_status"] == "ONLINE")


@pytest.mark.timeout(180)
def test_each_answers_for_all__and_what_one_leaves_the_others_take(short_home: Path, postgresql: str) -> None:
    with fleet(short_home, postgresql, *NAMES) as made:
        network = made.planes["one"].create("local_network", name="net")
        balancers = {name: make(made.planes[name], name, network["id"]) for name in NAMES}
        for plane in made.planes.values():
            for balancer in balancers.values():
                until(lambda p=plane, b=balancer: heard(p, b), what="every control plane to hear every amphora")
        for name in NAMES:
            leave(made, name, balancers)
        until(made.settled, what="everything to be settled")
        made.check(set(NAMES))


def leave(made: Fleet, name: str, balancers: dict[str, dict[str, str]]) -> None:
    """It is killed and started again, then paused and continued, while the others change everything."""
    for how in ("kill", "pause"):
        if how == "kill":
            made.planes[name].kill()
        else:
            made.pause(name)
        site = made.others(name)[0]
        for number, balancer in enumerate(balancers.values()):
            site.update("listener", balancer["listener"], description=f"{name} {how} {number}")
        until(lambda: name not in made.owners().values(), what="its leases to be taken")
        if how == "kill":
            made.planes[name].start()
        else:
            made.resume(name)
        for number, balancer in enumerate(balancers.values()):
            shown = made.planes[name].get("listener", balancer["listener"])
            assert shown["description"] == f"{name} {how} {number}"
            until(lambda b=balancer: heard(made.planes[name], b), what="it to hear the amphorae again")
