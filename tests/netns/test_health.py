# SPDX-License-Identifier: Apache-2.0
"""Members that fail leave the rotation and come back; statuses and counters tell what is so."""

from __future__ import annotations

from typing import Any

import pytest

from .installation import Installation, Load, Stack, ask, make_stack, shares, until

TIMEOUT, FALLS = 1, 2
MONITOR = {"type": "HTTP", "delay": 1, "timeout": TIMEOUT, "max_retries": 1, "max_retries_down": FALLS}


def online(stack: Stack, name: str = "") -> bool:
    names = [name] if name else [member["name"] for member in stack.members]
    return all(stack.member(each)["operating_status"] == "ONLINE" for each in names)


def status(stack: Stack, kind: str) -> str:
    thing = {"pool": stack.pool, "load_balancer": stack.load_balancer, "listener": stack.listener}[kind]
    return stack.operating(kind, thing["id"])


def monitored(site: Installation, **options: Any) -> Stack:
    stack = make_stack(site, monitor=MONITOR, **options)
    until(lambda: online(stack) and status(stack, "pool") == "ONLINE", what="every member to be ONLINE")
    return stack


def healthy(stack: Stack, members: set[str]) -> None:
    """These members answer, these alone, and no request fails."""
    assert set(shares(stack.url, 40)) == members


@pytest.mark.covers("health_monitor.pool_id", "health_monitor.type=HTTP")
def test_a_member_that_dies__out_of_rotation_in_time__error__and_back_again(site: Installation) -> None:
    stack = monitored(site)
    workers, backend = site.workers(), f"{stack.pool['id']}:{stack.listener['id']}"

    failed = stack.failed_checks(backend, "m2")
    stack.tell("m2", "deaf")
    until(lambda: stack.server_status(backend, "m2").startswith("DOWN"), what="m2 to leave the rotation")
    assert stack.failed_checks(backend, "m2") - failed <= FALLS
    until(lambda: stack.member("m2")["operating_status"] == "ERROR", what="m2 to be in ERROR")
    assert status(stack, "pool") == "DEGRADED"
    assert status(stack, "load_balancer") == "DEGRADED"
    assert {stack.member(name)["operating_status"] for name in ("m1", "m3")} == {"ONLINE"}
    with Load(stack.url) as load:
        load.more(200)
    assert not load.failures
    assert set(load.answers) == {"m1", "m3"}
    assert site.workers() == workers

    stack.tell("m2", "hear")
    until(lambda: online(stack, "m2"), what="m2 to be ONLINE again")
    healthy(stack, {"m1", "m2", "m3"})
    until(
        lambda: status(stack, "pool") == "ONLINE" and status(stack, "load_balancer") == "ONLINE",
        what="the pool to be well",
    )


def test_a_member_that_dies__leaves_the_rotation_after_the_checks_that_its_monitor_gives_it(site: Installation) -> None:
    stack = monitored(site)
    backend = f"{stack.pool['id']}:{stack.listener['id']}"

    failed = stack.failed_checks(backend, "m2")
    stack.tell("m2", "slow?60000")  # takes connections, answers nobody: only a check that runs out can tell
    until(lambda: stack.server_status(backend, "m2").startswith("DOWN"), what="haproxy to know that m2 is down")
    assert stack.failed_checks(backend, "m2") - failed <= FALLS
    assert stack.server(backend, "m2")["check_status"].removeprefix("* ") == "L7TOUT"  # "* ": the next one is under way
    healthy(stack, {"m1", "m3"})


def test_a_reload_meanwhile__does_not_send_traffic_to_a_member_known_dead(site: Installation) -> None:
    stack = monitored(site)
    stack.tell("m2", "slow?60000")  # a request that came to it now would hang until the load gives up
    until(lambda: stack.member("m2")["operating_status"] == "ERROR", what="m2 to be in ERROR")
    before = site.workers()

    with Load(stack.url) as load:
        for timeout in (40_000, 41_000, 42_000):
            stack.change("listener", stack.listener["id"], timeout_client_data=timeout)
            load.more(100)
    assert not load.failures
    assert "m2" not in load.answers
    assert site.workers() != before, "the change of a listener is a reload"
    assert stack.member("m2")["operating_status"] == "ERROR"


def test_all_members_down__503_and_error__then_well_again(site: Installation) -> None:
    stack = monitored(site, members=2)
    for name in ("m1", "m2"):
        stack.tell(name, "deaf")
    until(lambda: status(stack, "pool") == "ERROR", what="the pool to be in ERROR")
    assert status(stack, "load_balancer") == "ERROR"
    assert ask(stack.url)[0] == 503

    for name in ("m1", "m2"):
        stack.tell(name, "hear")
    until(lambda: status(stack, "pool") == "ONLINE", what="the pool to be ONLINE")
    healthy(stack, {"m1", "m2"})


def test_a_monitor_that_is_removed__members_are_not_monitored__one_that_was_down_serves_again(
    site: Installation,
) -> None:
    stack = monitored(site, members=2)
    stack.tell("m2", "deaf")
    until(lambda: stack.member("m2")["operating_status"] == "ERROR", what="m2 to be in ERROR")
    stack.tell("m2", "hear")
    site.delete("health_monitor", stack.monitor["id"])
    until(
        lambda: {stack.member(name)["operating_status"] for name in ("m1", "m2")} == {"NO_MONITOR"},
        what="the members to be without a monitor",
    )
    until(lambda: set(shares(stack.url, 20)) == {"m1", "m2"}, what="both to serve")


def test_a_dead_member_stays_dead_when_others_begin_to_judge_it(site: Installation) -> None:
    """haproxy found it dead; a check of the agent's own takes ten seconds to find out."""
    stack = make_stack(site, members=1, monitor={**MONITOR, "url_path": "/x", "expected_codes": "404"})
    until(lambda: stack.member("m1")["operating_status"] == "ERROR", what="the member to be found dead")
    site.update("health_monitor", stack.monitor["id"], type="TLS-HELLO", delay=5, max_retries_down=3,
                http_method=None, url_path=None, expected_codes=None)  # fmt: skip
    assert {ask(stack.url)[0] for _ in range(20)} == {503}
    site.update("health_monitor", stack.monitor["id"], type="TCP", delay=1)
    until(lambda: ask(stack.url)[0] == 200, what="it to be well again")


@pytest.mark.covers("member.weight")
def test_a_drained_member__is_draining_and_gets_nothing__then_online(site: Installation) -> None:
    stack = monitored(site, members=2)
    stack.change_member("m1", weight=0)
    until(lambda: stack.member("m1")["operating_status"] == "DRAINING", what="m1 to be DRAINING")
    assert status(stack, "pool") == "ONLINE"
    healthy(stack, {"m2"})
    stack.change_member("m1", weight=1)
    until(lambda: online(stack, "m1"), what="m1 to be ONLINE")
    healthy(stack, {"m1", "m2"})


def test_statistics__count_every_connection__and_go_on_over_a_reload(site: Installation) -> None:
    stack = make_stack(site, members=1)
    start = until(lambda: _settled(stack), what="counters that stand still")

    shares(stack.url, 100)
    first = until(lambda: _counted(stack, start["total_connections"] + 100), what="100 connections more")
    assert first["total_connections"] == start["total_connections"] + 100
    assert first["bytes_in"] > start["bytes_in"]
    assert first["bytes_out"] > start["bytes_out"]

    stack.change("listener", stack.listener["id"], timeout_client_data=40_000)
    shares(stack.url, 50)
    second = until(lambda: _counted(stack, first["total_connections"] + 50), what="50 connections more")
    assert second["total_connections"] == first["total_connections"] + 50
    path = f"/v2/lbaas/loadbalancers/{stack.load_balancer['id']}/stats"
    assert site.get_json(path)["stats"]["total_connections"] == second["total_connections"]


def _counted(stack: Stack, at_least: int) -> dict[str, Any] | None:
    found = stack.statistics()
    return found if found["total_connections"] >= at_least else None


def _settled(stack: Stack) -> dict[str, Any] | None:
    """The counters, once a heartbeat has told of the requests that ``make_stack`` made."""
    told = stack.statistics()
    inside = stack.counted_by_haproxy()
    return told if told["total_connections"] == inside > 0 else None


def test_what_is_shown_in_the_moment_a_change_is_done(site: Installation) -> None:
    """No heartbeat is waited for: what is in force is shown as haproxy begins it."""
    member = {"address": "10.9.9.9", "protocol_port": 80}
    pool = {"name": "p", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": [member]}
    policy = {"action": "REJECT", "rules": [{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/no"}]}
    listener = {"name": "l", "protocol": "HTTP", "protocol_port": 80, "default_pool": pool, "l7policies": [policy]}
    network = site.create("local_network", name="net")
    made = site.create("load_balancer", vip_network_id=network["id"], listeners=[listener])
    tree = site.get_json(f"/v2/lbaas/loadbalancers/{made['id']}/status")["statuses"]["loadbalancer"]
    (shown,) = tree["listeners"]
    assert {one["operating_status"] for one in (made, tree, shown, *shown["l7policies"], *shown["pools"])} == {"ONLINE"}
    assert [one["operating_status"] for one in shown["pools"][0]["members"]] == ["NO_MONITOR"]
    pool_id, often = shown["pools"][0]["id"], {**MONITOR, "delay": 3600}

    def member_shown(**values: Any) -> str:
        done = site.update("member", first["id"], parent=pool_id, **values)
        assert done["provisioning_status"] == "ACTIVE", done
        return str(done["operating_status"])

    for number in range(3):  # by luck a heartbeat may come in between
        first = site.create("member", parent=pool_id, address="10.9.9.9", protocol_port=8000 + number)
        assert first["operating_status"] == "NO_MONITOR"
        assert member_shown(admin_state_up=False) == "OFFLINE"
        assert member_shown(admin_state_up=True) == "NO_MONITOR"
        assert [member_shown(weight=0), member_shown(weight=1)] == ["DRAINING", "NO_MONITOR"]
        for type_ in ("TCP", "PING"):
            monitor = site.create("health_monitor", pool_id=pool_id, **{**often, "type": type_})
            assert monitor["operating_status"] == "ONLINE"
            assert site.get("member", first["id"], parent=pool_id)["operating_status"] == "ONLINE"
            assert site.update("health_monitor", monitor["id"], admin_state_up=False)["operating_status"] == "OFFLINE"
            assert site.get("member", first["id"], parent=pool_id)["operating_status"] == "NO_MONITOR"
            site.delete("health_monitor", monitor["id"])
            assert site.get("member", first["id"], parent=pool_id)["operating_status"] == "NO_MONITOR"
        for kind, id_ in (("listener", shown["id"]), ("pool", pool_id), ("load_balancer", made["id"])):
            assert site.update(kind, id_, admin_state_up=False)["operating_status"] == "OFFLINE"
            assert site.update(kind, id_, admin_state_up=True)["operating_status"] == "ONLINE", kind
        aside = site.create("pool", loadbalancer_id=made["id"], **{**pool, "name": f"aside {number}", "members": []})
        assert site.create("member", parent=aside["id"], **member)["operating_status"] == "NO_MONITOR"
