# SPDX-License-Identifier: Apache-2.0
"""Changes under constant load: no request fails, and what members are changed by starts no process."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from .installation import Installation, Load, Stack, make_stack, shares, until

MONITOR = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}


@contextlib.contextmanager
def loaded(stack: Stack, *, reloads: bool = False) -> Iterator[Load]:
    """Load while something is changed; not one request of it may fail."""
    workers = stack.site.workers()
    with Load(stack.url) as load:
        yield load
        load.more(100)
    assert not load.failures
    assert (stack.site.workers() != workers) == reloads


def gets_nothing(stack: Stack, load: Load, name: str) -> bool:
    """Whether of a hundred requests not one came to a host's server."""
    before = stack.tell(name, "count")
    load.more(100)
    return stack.tell(name, "count") == before


def test_weight_changes__are_felt__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site)
    with loaded(stack) as load:
        for weight in (10, 100, 256):
            assert stack.change_member("m3", weight=weight)["weight"] == weight
            load.more()
    seen = shares(stack.url, 260)
    assert seen["m3"] > 240, seen


@pytest.mark.covers("member.weight")
def test_draining__sends_no_more_requests__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site)
    with loaded(stack) as load:
        stack.change_member("m1", weight=0)
        until(lambda: gets_nothing(stack, load, "m1"), what="m1 to be left alone")
        stack.change_member("m1", weight=1)
        before = load.answers["m1"]
        until(lambda: load.answers["m1"] > before, what="m1 to serve again")


def test_members_come_and_go__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site, members=2)
    for name in ("m3", "m4"):
        stack.add_host(name)
    until(lambda: stack.listens("m3") and stack.listens("m4"), what="the new hosts to listen")
    with loaded(stack) as load:
        for host in stack.hosts[2:]:
            stack.add_member(host)
        until(lambda: load.answers["m3"] and load.answers["m4"], what="the new members to serve")
        for name in ("m1", "m2"):
            stack.remove_member(name)
        served = stack.tell("m1", "count")
        load.more(100)
        assert stack.tell("m1", "count") == served
    assert set(shares(stack.url, 20)) == {"m3", "m4"}


def test_members_with_a_monitor_come_and_go__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)
    stack.add_host("m3")
    until(lambda: stack.listens("m3"), what="the new host to listen")
    with loaded(stack) as load:
        stack.add_member(stack.hosts[2])
        until(lambda: load.answers["m3"], what="the new member to serve")
        until(lambda: stack.member("m3")["operating_status"] == "ONLINE", what="the new member to be ONLINE")
        stack.remove_member("m1")
        load.more(100)
    assert set(shares(stack.url, 20)) == {"m2", "m3"}


@pytest.mark.covers("member.address", "member.protocol_port")
def test_a_members_address_and_port_change__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site, members=2)
    elsewhere = stack.add_host("m3")
    until(lambda: stack.listens("m3"), what="the new host to listen")
    with loaded(stack) as load:
        stack.change_member("m1", address=elsewhere["address"])
        until(lambda: load.answers["m3"], what="the other address to serve")
        until(lambda: gets_nothing(stack, load, "m1"), what="the old address to be left alone")
        old = next(host for host in stack.hosts if host["name"] == "m1")
        stack.change_member("m1", address=old["address"], protocol_port=80)
    assert set(shares(stack.url, 20)) == {"m1", "m2"}


def test_a_removed_member__finishes_its_long_answer(site: Installation) -> None:
    stack = make_stack(site, members=2)
    parts = urlsplit(stack.url)
    held = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    held.request("GET", "/hold")
    answer = held.getresponse()
    name = answer.read(2).decode()
    with loaded(stack):
        stack.remove_member(name)
    assert name not in shares(stack.url, 20)
    stack.tell(name, "release")
    assert answer.read().decode() == name
    held.close()

    gone = f"{stack.pool['id']}:{stack.listener['id']}"
    until(
        lambda: stack.haproxy(f"show servers state {gone}").count("\n") == 4, what="the removed server to be collected"
    )


LISTENER: list[dict[str, Any]] = [
    {"timeout_client_data": 40_000}, {"timeout_member_data": 40_000}, {"connection_limit": 5000},
    {"insert_headers": {"X-Forwarded-For": "true"}},
]  # fmt: skip


def test_listener_changes__reload__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site)
    with loaded(stack, reloads=True) as load:
        for values in LISTENER:
            stack.change("listener", stack.listener["id"], **values)
            load.more()


def set_algorithm(stack: Stack) -> None:
    stack.change("pool", stack.pool["id"], lb_algorithm="LEAST_CONNECTIONS")
    stack.change("pool", stack.pool["id"], lb_algorithm="SOURCE_IP")
    stack.change("pool", stack.pool["id"], session_persistence={"type": "HTTP_COOKIE"})


def set_monitor(stack: Stack) -> None:
    monitor = stack.site.create("health_monitor", pool_id=stack.pool["id"], **MONITOR)
    assert monitor["provisioning_status"] == "ACTIVE", monitor
    stack.change("health_monitor", monitor["id"], delay=2, max_retries_down=3)
    stack.change("health_monitor", monitor["id"], url_path="/healthy", expected_codes="200-204")
    stack.site.delete("health_monitor", monitor["id"])


@pytest.mark.parametrize("change", [set_algorithm, set_monitor])
def test_pool_and_monitor_changes__reload__and_nothing_fails(
    site: Installation, change: Callable[[Stack], None]
) -> None:
    stack = make_stack(site)
    with loaded(stack, reloads=True):
        change(stack)
    assert sum(shares(stack.url, 20).values()) == 20


def test_another_listener_comes_and_goes__and_nothing_fails(site: Installation) -> None:
    stack = make_stack(site)
    with loaded(stack, reloads=True):
        other = site.create(
            "listener", loadbalancer_id=stack.load_balancer["id"], protocol="HTTP", protocol_port=81,
            default_pool_id=stack.pool["id"],
        )  # fmt: skip
        assert other["provisioning_status"] == "ACTIVE", other
        assert sum(shares(other["url"], 20).values()) == 20
        site.delete("listener", other["id"])
