# SPDX-License-Identifier: Apache-2.0
"""UDP listeners, as clients and members see them: real datagrams, nftables in a real amphora."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from .datagrams import FLOW, LOAD, asked_once, make_udp_stack
from .installation import Installation, until

MONITOR: dict[str, Any] = {
    "type": "UDP-CONNECT", "delay": 3, "timeout": 1, "max_retries": 1, "max_retries_down": 1,
}  # fmt: skip


@contextlib.contextmanager
def running(client: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield client
    finally:
        assert client.stdin
        client.stdin.close()  # which ends it
        client.wait(20)


def say(client: subprocess.Popen[str], word: str = "") -> str:
    assert client.stdin
    assert client.stdout
    client.stdin.write(f"{word}\n")
    return client.stdout.readline().strip()


def line(client: subprocess.Popen[str]) -> str:
    assert client.stdout
    return client.stdout.readline().strip()


def near(counts: Counter[str], expected: dict[str, float], tolerance: float) -> None:
    total = sum(counts.values())
    assert set(counts) == set(expected), counts
    for name, share in expected.items():
        assert abs(counts[name] - total * share) <= total * tolerance, counts


@pytest.mark.covers(
    "listener.protocol=UDP", "pool.protocol=UDP", "member.weight", "member.backup", "member.admin_state_up",
    "pool.lb_algorithm=ROUND_ROBIN",
)  # fmt: skip
def test_a_pool_s_life__weights_drain_switching_off_and_leaving(site: Installation) -> None:
    stack = make_udp_stack(site)
    assert stack.shares(300) == {"u1": 100, "u2": 100, "u3": 100}
    assert {answer.split()[1] for answer in stack.ask(30)} == {stack.vip}  # masqueraded: answers come back

    stack.update_member("u1", weight=3)
    stack.update_member("u2", weight=2)
    assert stack.shares(300) == {"u1": 150, "u2": 100, "u3": 50}

    with running(stack.start(FLOW, "53")) as flow:
        home = line(flow)
        stack.update_member(home, weight=0)
        assert home not in stack.shares(60)  # no new flows
        assert {say(flow) for _ in range(10)} == {home}  # and the old ones go on
        assert until(lambda: stack.status(home) == "DRAINING")
        stack.update_member(home, admin_state_up=False)
        assert until(lambda: say(flow) not in {home, "silence"})  # switched off: its flows move
        stack.update_member(home, admin_state_up=True, weight=1)
        assert home in stack.shares(60)

        now = say(flow)
        site.delete("member", stack.member(now)["id"], parent=stack.pool["id"])
        assert until(lambda: say(flow) not in {now, "silence"})
        assert now not in stack.shares(60)
        left = next(m["name"] for m in stack.members if m["name"] != now)

    stack.update_member(left, backup=True)
    assert left not in stack.shares(20)
    others = [m["name"] for m in stack.members if m["name"] not in {now, left}]
    for name in others:
        stack.update_member(name, admin_state_up=False)
    assert set(stack.shares(20)) == {left}
    stack.update_member(left, admin_state_up=False)
    assert set(stack.shares(3, timeout=0.2)) <= {"refused", "silence"}  # kernels limit how often they refuse
    stack.update_member(left, admin_state_up=True)
    assert set(stack.shares(3)) == {left}

    assert stack.in_amphora("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
    site.delete("listener", stack.listener["id"])
    assert set(stack.shares(3, timeout=0.2)) <= {"refused", "silence"}
    assert "lb_" not in stack.in_amphora("nft", "list", "tables")
    assert stack.in_amphora("sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"


@pytest.mark.covers(
    "pool.lb_algorithm=SOURCE_IP", "pool.lb_algorithm=SOURCE_IP_PORT", "pool.session_persistence.type=SOURCE_IP",
    "pool.session_persistence.persistence_timeout", "pool.session_persistence.persistence_granularity",
)  # fmt: skip
def test_algorithms_and_persistence__by_client(site: Installation) -> None:
    stack = make_udp_stack(site, lb_algorithm="SOURCE_IP")
    sources = tuple(stack.source(n) for n in range(40))
    first = dict(zip(sources, stack.shares_in_order(sources), strict=True))
    again = dict(zip(sources, stack.shares_in_order(sources), strict=True))
    assert first == again
    many = tuple(stack.source(n) for n in range(-60, 55))  # of fewer, one may have many more than its share by chance
    near(Counter(stack.shares_in_order(many)), {"u1": 1 / 3, "u2": 1 / 3, "u3": 1 / 3}, 0.2)
    # A member leaves: its clients go elsewhere, nearly all others stay where they are.
    stack.update_member("u2", admin_state_up=False)
    without = dict(zip(sources, stack.shares_in_order(sources), strict=True))
    moved = [s for s in sources if first[s] != "u2" and without[s] != first[s]]
    assert len(moved) <= 4, moved
    stack.update_member("u2", admin_state_up=True)

    site.update("pool", stack.pool["id"], lb_algorithm="SOURCE_IP_PORT")
    near(stack.shares(300, sources=sources[:1]), {"u1": 1 / 3, "u2": 1 / 3, "u3": 1 / 3}, 0.1)

    persistence = {"type": "SOURCE_IP", "persistence_timeout": 600}
    site.update("pool", stack.pool["id"], lb_algorithm="ROUND_ROBIN", session_persistence=persistence)
    where = stack.shares_in_order(sources)
    assert stack.shares_in_order(sources) == where
    near(Counter(where), {"u1": 1 / 3, "u2": 1 / 3, "u3": 1 / 3}, 0.05)  # and the first pick is in turn
    # What is remembered outlives changes, and lets go of a member that has gone.
    stack.update_member("u1", weight=5)
    assert stack.shares_in_order(sources) == where
    stack.update_member("u3", admin_state_up=False)
    after = stack.shares_in_order(sources)
    assert "u3" not in after
    assert [a for a, b in zip(after, where, strict=True) if b != "u3"] == [b for b in where if b != "u3"]

    coarse = {**persistence, "persistence_granularity": "255.255.255.0"}
    site.update("pool", stack.pool["id"], session_persistence=coarse)
    assert len(set(stack.shares_in_order(sources))) == 1  # a whole /24 is one client

    stack.update_member("u1", weight=1)
    brief = {"type": "SOURCE_IP", "persistence_timeout": 1}
    site.update("pool", stack.pool["id"], session_persistence=brief)
    [before] = stack.shares_in_order(sources[:1])
    until(lambda: "elements" not in stack.in_amphora("nft", "list", "maps"), what="the client to be forgotten")
    assert stack.shares_in_order(sources[:1]) != [before]


@pytest.mark.covers("health_monitor.type=UDP-CONNECT")
def test_a_dead_member_is_found_and_its_flows_move__and_it_comes_back(site: Installation) -> None:
    stack = make_udp_stack(site, monitor=MONITOR)
    until(lambda: {stack.status(name) for name in ("u1", "u2", "u3")} == {"ONLINE"})
    with running(stack.start(FLOW, "53")) as flow:
        home = line(flow)
        stack.serve(home, command="import time; time.sleep(3600)")
        until(lambda: stack.status(home) == "ERROR", what="the heartbeat to say so")
        assert site.get("pool", stack.pool["id"])["operating_status"] == "DEGRADED"
        assert until(lambda: say(flow) not in {home, "silence", "refused"})
        assert home not in stack.shares(30)
        # The agent is killed and comes back: a member known dead stays out, and living flows stay.
        now = say(flow)
        [agent] = site.agents()
        os.kill(agent, signal.SIGKILL)
        until(lambda: site.agents() not in ([], [agent]), what="the agent to be started again")
        assert home not in stack.shares(30)
        assert {say(flow) for _ in range(5)} == {now}
        stack.serve(home)
        until(lambda: stack.status(home) == "ONLINE")
        assert stack.shares(60) == {"u1": 20, "u2": 20, "u3": 20}
        assert {say(flow) for _ in range(5)} == {now}


def test_changes_under_500_datagrams_a_second_lose_none(site: Installation) -> None:
    stack = make_udp_stack(site)
    with running(stack.start(LOAD, "53", "500")) as load, running(stack.start(FLOW, "53")) as flow:
        home = line(flow)
        assert line(load) == "going"
        for weight in (2, 3, 4):
            stack.update_member("u1", weight=weight)
            stack.update_member("u2", admin_state_up=weight == 3)
        site.update("pool", stack.pool["id"], lb_algorithm="SOURCE_IP_PORT")
        site.update("listener", stack.listener["id"], allowed_cidrs=["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])
        site.create("listener", name="web", loadbalancer_id=stack.load_balancer["id"], protocol="TCP", protocol_port=53)
        gone = f"src={stack.member('u2')['address']} "
        until(lambda: gone not in stack.in_amphora("conntrack", "-L", "-p", "udp"), what="the flows of u2 to be cut")
        assert say(load, "stop").split()[1:] == ["0"]
        if home != "u2":
            assert {say(flow) for _ in range(5)} == {home}


@pytest.mark.covers("listener.allowed_cidrs", "listener.connection_limit")
def test_who_may_use_it__limits__statistics__and_publishing(site: Installation) -> None:
    stack = make_udp_stack(site, members=1)
    inside, outside = stack.source(1), stack.source(2)
    site.update("listener", stack.listener["id"], allowed_cidrs=[f"{inside}/32"])
    assert stack.shares(2, sources=(inside,)) == {"u1": 2}
    assert stack.shares(2, sources=(outside,), timeout=0.2) == {"silence": 2}
    # Published clients come from this machine's loopback.
    address = site.get("load_balancer", stack.load_balancer["id"])["published_address"]
    assert site.get("listener", stack.listener["id"])["url"] == f"udp://{address}:53"
    assert asked_once(address, 53) == "silence"
    site.update("listener", stack.listener["id"], allowed_cidrs=["127.0.0.0/8"])
    until(lambda: asked_once(address, 53) != "silence")
    site.update("listener", stack.listener["id"], allowed_cidrs=[])
    assert stack.shares(2, sources=(outside,)) == {"u1": 2}
    until(lambda: asked_once(address, 53).split()[0] == "u1")

    site.update("listener", stack.listener["id"], connection_limit=3)
    stack.in_amphora("conntrack", "-D", "-p", "udp", "--orig-port-dst", "53")
    flows = [stack.start(FLOW, "53") for _ in range(5)]
    try:
        assert Counter(line(flow) for flow in flows)["u1"] == 3
        until(lambda: stack.statistics()["active_connections"] == 3)
    finally:
        for flow in flows:
            with running(flow):
                pass
    seen = stack.statistics()
    assert seen["total_connections"] >= 8
    assert seen["bytes_in"] > seen["total_connections"] * 28
    assert seen["bytes_out"] > 0
