# SPDX-License-Identifier: Apache-2.0
"""Requests are balanced as the algorithm says: through the published URL, and through the VIP inside."""

from __future__ import annotations

import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from octavia_provider.model.listener import CLIENT_HEADERS, HEADERS

from .installation import Installation, Stack, ask, make_stack, shares, until
from .traffic import fetch

# Runs inside the fabric: requests, each on a connection of its own, from each source address in turn; prints what each got.
INSIDE = """
import http.client, json, sys
host, count, sources = sys.argv[1], int(sys.argv[2]), sys.argv[3:] or [""]
seen = []
for number in range(count):
    source = sources[number % len(sources)]
    connection = http.client.HTTPConnection(host, 80, timeout=20, source_address=(source, 0))
    connection.request("GET", "/", headers={"Connection": "close"})
    answer = connection.getresponse()
    seen.append([source, answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}])
    connection.close()
print(json.dumps(seen))
"""
THIRDS = {"m1": 1 / 3, "m2": 1 / 3, "m3": 1 / 3}
LOOPBACKS = [f"127.0.{number}.{number + 1}" for number in range(60)]


def through_vip(stack: Stack, count: int, *sources: str) -> list[Any]:
    """What requests from inside the fabric got: source, status, body, headers."""
    done = stack.site.inside("python3", "-c", INSIDE, stack.load_balancer["vip_address"], str(count), *sources)
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    assert {status for _, status, _, _ in answers} == {200}
    return answers


def chosen(stack: Stack, sources: list[str]) -> dict[str, str]:
    """The member that each source address is given."""
    found = {}
    for source in sources:
        status, body, _ = fetch(stack.url, source=source)
        assert status == 200
        found[source] = body
    return found


def within(counts: Counter[str], expected: dict[str, float], tolerance: float = 0.10) -> None:
    total = sum(counts.values())
    for name, share in expected.items():
        assert abs(counts[name] - total * share) <= total * share * tolerance, counts
    assert set(counts) == set(expected)


def refused(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
    except OSError:
        return True
    return False


# ── algorithms ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.covers(
    "listener.loadbalancer_id", "listener.protocol=HTTP", "listener.protocol_port", "listener.default_pool_id",
    "pool.listener_id", "pool.protocol=HTTP", "pool.lb_algorithm=ROUND_ROBIN", "member.pool_id", "member.address",
    "member.protocol_port",
)  # fmt: skip
@pytest.mark.timeout(300)
def test_round_robin__three_thousand_requests_each_way__a_third_each(site: Installation) -> None:
    stack = make_stack(site)
    within(shares(stack.url, 3000), THIRDS)
    # one after the other, of which a busy machine may not do all in the minute that a command has
    within(Counter(body for _ in range(10) for _, _, body, _ in through_vip(stack, 300)), THIRDS)


@pytest.mark.covers("member.weight")
def test_round_robin__weights_one_two_three__shares_of_a_sixth_a_third_and_a_half(site: Installation) -> None:
    stack = make_stack(site)
    stack.change_member("m2", weight=2)
    stack.change_member("m3", weight=3)
    within(shares(stack.url, 1200), {"m1": 1 / 6, "m2": 2 / 6, "m3": 3 / 6})


@pytest.mark.covers("pool.lb_algorithm=LEAST_CONNECTIONS")
def test_least_connections__a_slow_member__gets_fewer_requests(site: Installation) -> None:
    stack = make_stack(site, lb_algorithm="LEAST_CONNECTIONS")
    stack.tell("m1", "slow?1000")  # far slower than the others are on a busy machine
    seen = shares(stack.url, 300, workers=6)
    assert seen["m1"] * 3 < min(seen["m2"], seen["m3"]), seen


@pytest.mark.covers("pool.lb_algorithm=SOURCE_IP")
def test_source_ip__clients_spread_and_each_keeps_its_member__also_when_one_is_added(site: Installation) -> None:
    stack = make_stack(site, lb_algorithm="SOURCE_IP", members=0)
    stack.add_members("m1", "m2", "m3")
    assert len(shares(stack.url, 30)) == 1

    before = chosen(stack, LOOPBACKS)
    assert len(set(before.values())) == 3, before
    assert chosen(stack, LOOPBACKS) == before

    stack.add_members("m4")
    after = chosen(stack, LOOPBACKS)
    moved = [source for source in LOOPBACKS if after[source] != before[source]]
    assert {after[source] for source in moved} <= {"m4"}, "a client that moved went elsewhere than to the new member"
    assert 0 < len(moved) < len(LOOPBACKS) / 2

    stack.remove_member("m1")
    stack.change("listener", stack.listener["id"], timeout_client_data=40_000)  # a reload reads the file anew
    last = chosen(stack, LOOPBACKS)
    assert {source: member for source, member in last.items() if after[source] != "m1"} == {
        source: member for source, member in after.items() if member != "m1"
    }, "a client whose member stayed was sent elsewhere"


def test_source_ip__a_client_inside__is_known_by_its_own_address_at_the_vip(site: Installation) -> None:
    stack = make_stack(site, lb_algorithm="SOURCE_IP", members=0)
    stack.add_members("m1", "m2")
    gateway = stack.network["cidr"].rpartition(".")[0]
    sources = [f"{gateway}.{number}" for number in range(200, 220)]
    device = json.loads(site.inside("ip", "-j", "route", "get", stack.load_balancer["vip_address"]).stdout)[0]["dev"]
    for source in sources:
        assert site.inside("ip", "address", "add", f"{source}/24", "dev", device).returncode == 0
    members: dict[str, set[str]] = {}
    for source, _, body, _ in through_vip(stack, 60, *sources):
        members.setdefault(source, set()).add(body)
    assert {len(seen) for seen in members.values()} == {1}, members
    assert set.union(*members.values()) == {"m1", "m2"}


@pytest.mark.covers("pool.lb_algorithm=SOURCE_IP_PORT")
@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_source_ip_port__one_client__spreads_by_port_and_a_port_keeps_its_member(
    site: Installation, protocol: str
) -> None:
    stack = make_stack(site, listener={"protocol": protocol}, protocol=protocol, lb_algorithm="SOURCE_IP_PORT")
    url = stack.url.replace("tcp://", "http://")
    ports = range(21_000, 21_060)
    one, another = (f"127.7.{len(protocol)}.{n}" for n in (7, 8))  # of each its own: both may be tested at once
    first = {port: fetch(url, source=one, port=port)[1] for port in ports}
    assert set(first.values()) == {"m1", "m2", "m3"}
    assert {port: fetch(url, source=one, port=port)[1] for port in ports} == first
    others = {port: fetch(url, source=another, port=port)[1] for port in ports}
    assert others != first, "the address counts too"


# ── protocols and headers ────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.covers("listener.protocol=TCP", "pool.protocol=TCP")
def test_tcp_listener__tcp_pool__bytes_arrive_and_members_share(site: Installation) -> None:
    stack = make_stack(site, listener={"protocol": "TCP", "protocol_port": 8080}, protocol="TCP")
    within(shares(stack.url.replace("tcp://", "http://"), 300), THIRDS)


@pytest.mark.covers("listener.insert_headers", "listener.protocol_port")
def test_forwarded_headers__published_and_vip__tell_the_clients_own_address(site: Installation) -> None:
    stack = make_stack(
        site, members=1, listener={"protocol_port": 8081, "insert_headers": dict.fromkeys(HEADERS, "true")}
    )
    lies = dict.fromkeys(CLIENT_HEADERS, "8.8.8.8")

    status, _, published = fetch(stack.url, source="127.3.4.5", **lies)
    assert status == 200
    assert published["Saw-X-Forwarded-For"] == "127.3.4.5"
    assert {published[f"Saw-{name}"] for name in CLIENT_HEADERS} == {"127.3.4.5"}
    assert published["Saw-X-Forwarded-Port"] == "8081"
    assert published["Saw-X-Forwarded-Proto"] == "http"

    stack.change("listener", stack.listener["id"], protocol_port=80)
    _, _, _, inside = until(lambda: through_vip(stack, 1), what="an answer at the VIP")[0]
    route = json.loads(site.inside("ip", "-j", "route", "get", stack.load_balancer["vip_address"]).stdout)[0]
    assert inside["saw-x-forwarded-for"] == route["prefsrc"]
    assert inside["saw-x-forwarded-port"] == "80"


# ── session persistence ──────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.covers("pool.session_persistence.type=SOURCE_IP")
def test_persistence_source_ip__one_client__stays_although_the_algorithm_would_turn(site: Installation) -> None:
    stack = make_stack(site, members=0, session_persistence={"type": "SOURCE_IP"})
    stack.add_members("m1", "m2", "m3")
    _, first = ask(stack.url)  # from then on haproxy's table knows the client
    assert set(shares(stack.url, 60)) == {first}
    assert len(set(chosen(stack, LOOPBACKS[:12]).values())) == 3


@pytest.mark.covers("pool.session_persistence.type=HTTP_COOKIE")
def test_persistence_http_cookie__the_balancers_cookie__brings_back_to_its_member(site: Installation) -> None:
    stack = make_stack(site, session_persistence={"type": "HTTP_COOKIE"})
    _, first, headers = fetch(stack.url)
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("SRV=")
    assert {fetch(stack.url, Cookie=cookie)[1] for _ in range(12)} == {first}
    assert len({fetch(stack.url)[1] for _ in range(12)}) == 3


@pytest.mark.covers("pool.session_persistence.type=APP_COOKIE", "pool.session_persistence.cookie_name")
def test_persistence_app_cookie__the_applications_cookie__brings_back_to_its_member(site: Installation) -> None:
    stack = make_stack(site, session_persistence={"type": "APP_COOKIE", "cookie_name": "APP"})
    _, first, headers = fetch(stack.url, "/?login")
    assert headers["Set-Cookie"] == f"APP={first}"
    assert {fetch(stack.url, Cookie=f"APP={first}")[1] for _ in range(12)} == {first}
    assert len({fetch(stack.url)[1] for _ in range(12)}) == 3


# ── members and limits ───────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.covers("member.backup")
def test_backup_member__serves_only_when_no_other_is_there(site: Installation) -> None:
    stack = make_stack(site, members=2)
    stack.add_member(stack.add_host("spare"), backup=True)
    until(lambda: stack.listens("spare"), what="the spare one to listen")
    assert set(shares(stack.url, 60)) == {"m1", "m2"}
    stack.remove_member("m1")
    stack.remove_member("m2")
    assert set(shares(stack.url, 20)) == {"spare"}


@pytest.mark.covers("listener.connection_limit")
def test_connection_limit__of_one__has_a_second_client_wait_for_the_first_to_go(site: Installation) -> None:
    stack = make_stack(site, members=1, listener={"connection_limit": 1})
    parts = urlsplit(stack.url)
    until(lambda: _held(stack) == 0, what="the listener to be idle")
    with ThreadPoolExecutor(1) as pool:
        first = socket.create_connection((parts.hostname, parts.port))
        first.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in first.recv(65536)
        before = stack.tell("m1", "count")
        second = pool.submit(ask, stack.url, timeout=60.0)  # it waits while we look
        until(lambda: _held(stack) == 1, what="the first connection to be seen")
        assert stack.tell("m1", "count") == before
        first.close()
        assert second.result(60)[0] == 200


def _held(stack: Stack) -> int:
    return int(stack.statistics()["active_connections"])


# ── switched off and on again ────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.covers(
    "member.admin_state_up", "pool.admin_state_up", "listener.admin_state_up", "load_balancer.admin_state_up",
)  # fmt: skip
def test_admin_state__of_member_pool_listener_and_load_balancer__off_and_on_again(site: Installation) -> None:
    stack = make_stack(site, members=2)

    stack.change_member("m1", admin_state_up=False)
    assert set(shares(stack.url, 30)) == {"m2"}
    assert stack.member("m1")["operating_status"] == "OFFLINE"
    stack.change_member("m1", admin_state_up=True)
    assert set(shares(stack.url, 30)) == {"m1", "m2"}

    stack.change("pool", stack.pool["id"], admin_state_up=False)
    assert ask(stack.url)[0] == 503
    stack.change("pool", stack.pool["id"], admin_state_up=True)
    assert set(shares(stack.url, 30)) == {"m1", "m2"}

    for kind, id_ in (("listener", stack.listener["id"]), ("load_balancer", stack.load_balancer["id"])):
        stack.change(kind, id_, admin_state_up=False)
        assert refused(stack.url), kind
        assert stack.operating(kind, id_) == "OFFLINE"
        stack.change(kind, id_, admin_state_up=True)
        assert set(shares(stack.url, 30)) == {"m1", "m2"}, kind
