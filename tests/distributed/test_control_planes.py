# SPDX-License-Identifier: Apache-2.0
"""Three control planes on one PostgreSQL: killed and paused in turn while everything changes, then the server is restarted.

``SOAK_SECONDS`` (``make soak``): each is killed and each is paused, with 200 load balancers and leases as long as in production.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from octavia_provider.client.deadline import Deadline
from octavia_provider.model.errors import Conflict, Forbidden
from postgresql import Server, postgresql, postgresql_server
from simulation.cloud import NETWORK

from .control_plane_process import PROJECT
from .site import Changer, Site, site, until

__all__ = ["postgresql", "postgresql_server"]
SOAK = bool(float(os.environ.get("SOAK_SECONDS", "0")))
BALANCERS, CHANGERS, LEASE_SECONDS = (200, 6, 15.0) if SOAK else (12, 3, 3.0)
NAMES = ["one", "two", "three"]
PORTS, POOLS, POOL = 12, 6, {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}
EACH = [(name, how) for name in NAMES for how in ("killed", "paused")]
LEAVING = EACH if SOAK else [("one", "killed"), ("two", "paused")]


@pytest.mark.timeout(3600 if SOAK else 300)
def test_nothing_is_lost_and_nothing_is_done_twice(postgresql: str, postgresql_server: Server) -> None:
    with site(postgresql, *NAMES, lease_seconds=LEASE_SECONDS) as made:
        balancers = [f"lb {number}" for number in range(BALANCERS)]
        changers = [
            Changer(made, NAMES[number % 3 :] + NAMES[: number % 3], balancers[number::CHANGERS])
            for number in range(CHANGERS)
        ]
        for changer in changers:
            changer.start()
        for changer in changers:
            assert changer.made.wait(1200)
        try:
            for name, how in LEAVING:
                leave(made, name, how)
            postgresql_server.stop(signal.SIGQUIT)
            postgresql_server.start()
            first = sum(sum(changer.answered.values()) for changer in changers)
            until(
                lambda: sum(sum(changer.answered.values()) for changer in changers) > first + CHANGERS,
                what="changes to go on after a restart of the server",
            )
        finally:
            for changer in changers:
                changer.ending.set()
            for changer in changers:
                changer.join()
        assert [changer.failures for changer in changers] == [[]] * CHANGERS
        until(made.settled, what="everything to be settled")
        check(made, changers, balancers)
        answered = sum(sum(changer.answered.values()) for changer in changers)
        print(f"{BALANCERS} load balancers, {answered} changes; seconds until all leases were taken: {made.figures}")


def leave(made: Site, name: str, how: str) -> None:
    """Once it has its share it is killed and started again, or paused until all of its leases are taken."""
    until(lambda: made.has_leases(name), what=f"{name} to be given its share")
    if how == "killed":
        made.kill(name)
        made.taken_over(name, how)
        made.start(name)
    else:
        made.signal(name, signal.SIGSTOP)
        made.taken_over(name, how)
        made.signal(name, signal.SIGCONT)


def check(made: Site, changers: list[Changer], balancers: list[str]) -> None:
    objects = {
        name: {
            kind: list(made.client(name).list(kind, deadline=Deadline(60))) for kind in ("load_balancer", "listener")
        }
        for name in NAMES
    }
    assert [Counter(one["name"] for one in objects[name]["load_balancer"]) for name in NAMES] == [
        dict.fromkeys(balancers, 1)
    ] * 3
    limits = {one["id"]: one["connection_limit"] for one in objects["one"]["listener"]}
    for changer in changers:
        for listener, number in changer.answered.items():
            assert limits[listener] in (number, changer.asked[listener]), "what was answered is so"
    pools = Counter(one["name"] for one in made.client("two").list("pool", deadline=Deadline(60)))
    assert pools == Counter(name for changer in changers for name in changer.pools)

    ids = {one["id"] for one in objects["one"]["load_balancer"]}
    until(
        lambda: {id_: len(made.there()["running"].get(id_, ())) for id_ in ids} == dict.fromkeys(ids, 1),
        what="one amphora of each",
    )
    found = made.there()
    assert (set(found["running"]), found["ports"], found["rules"]) == (ids, len(ids), len(ids))
    for amphora, history in found["history"].items():
        assert history == sorted(set(history)), f"{amphora}: no push goes back, and none is made twice: {history}"
    for name in NAMES:
        until(lambda n=name: online(made, n), what=f"{name} to hear all amphorae")  # type: ignore[misc]


def online(made: Site, name: str) -> bool:
    shown = made.client(name).list("load_balancer", deadline=Deadline(60))
    return {one["operating_status"] for one in shown} == {"ONLINE"}


@pytest.mark.timeout(120)
def test_what_is_asked_of_different_control_planes_at_once_is_unique_and_within_quotas(postgresql: str) -> None:
    with site(postgresql, *NAMES[:2], lease_seconds=15.0) as made:
        clients = [made.client(name) for name in NAMES[:2]]
        network = {"name": "web", "vip_network_id": NETWORK}
        balancer = clients[0].create("load_balancer", network, deadline=Deadline(60))
        values = {"pool": POOLS}
        clients[1].request("PUT", f"/v2/lbaas/quotas/{PROJECT}", deadline=Deadline(60), json={"quota": values})

        def attempt(number: int, kind: str) -> str:
            """The same is asked of both at the same time."""
            client, which = clients[number % 2], number // 2
            parts = {"listener": {"protocol": "TCP", "protocol_port": 1000 + which}, "pool": POOL}
            spec = {"name": f"{number}", "loadbalancer_id": balancer.id, **parts[kind]}
            try:
                return client.create(kind, spec, deadline=Deadline(60)).id
            except (Conflict, Forbidden) as error:
                return type(error).__name__

        with ThreadPoolExecutor(8) as threads:
            listeners = list(threads.map(lambda number: attempt(number, "listener"), range(2 * PORTS)))
            pools = list(threads.map(lambda number: attempt(number, "pool"), range(2 * POOLS)))
        assert (listeners.count("Conflict"), pools.count("Forbidden")) == (PORTS, POOLS)
        shown = [list(client.list("listener", deadline=Deadline(60))) for client in clients]
        assert [sorted(one["protocol_port"] for one in each) for each in shown] == [[*range(1000, 1000 + PORTS)]] * 2
        assert {one["id"] for one in shown[0]} == set(listeners) - {"Conflict"}
        assert {one["id"] for one in clients[1].list("pool", deadline=Deadline(60))} == set(pools) - {"Forbidden"}
        for client in clients:
            client.close()
