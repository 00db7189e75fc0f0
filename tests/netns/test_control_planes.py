# SPDX-License-Identifier: Apache-2.0
"""Three control planes on one PostgreSQL and one embedded cloud: one is killed, one is paused, one is stopped, while all changes."""

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


def online(site: Installation, made: dict[str, str]) -> bool:
    return bool(site.get("load_balancer", made["lb"])["operating_status"] == "ONLINE")


@pytest.mark.timeout(180)
def test_each_answers_for_all__and_what_one_leaves_the_others_take(short_home: Path, postgresql: str) -> None:
    with fleet(short_home, postgresql, *NAMES) as made:
        network = made.planes["one"].create("local_network", name="net")
        balancers = [make(made.planes[name], name, network["id"]) for name in NAMES]
        for plane in made.planes.values():
            for balancer in balancers:
                until(lambda p=plane, b=balancer: online(p, b), what="every control plane to hear every amphora")

            path = f"/v2/octavia/loadbalancers/{balancers[0]['lb']}/configuration"
            assert "frontend" in plane.get_json(path)["haproxy"]

        made.planes["one"].kill()
        change(made, "one", balancers)
        made.planes["one"].start()

        made.pause("two")
        change(made, "two", balancers)
        made.resume("two")

        made.planes["three"].stop()
        assert not made.rows("SELECT id FROM scopes WHERE holder = 'three'"), "it has given up its leases"
        change(made, "three", balancers)

        for name in ("one", "two"):
            for balancer in balancers:
                until(lambda n=name, b=balancer: online(made.planes[n], b), what="it to hear the amphorae again")
                shown = made.planes[name].get("listener", balancer["listener"])
                assert shown["description"] == "without three"
        until(made.settled, what="everything to be settled")
        made.check(set(NAMES))


def change(made: Fleet, name: str, balancers: list[dict[str, str]]) -> None:
    """All is changed by another one; it has no lease any more then, since it could not have done its part."""
    site = made.others(name)[0]
    for balancer in balancers:
        site.update("listener", balancer["listener"], description=f"without {name}")
    until(lambda: name not in made.owners().values(), what="its leases to be taken")
