# SPDX-License-Identifier: Apache-2.0
"""VIPs of both families: what clients of each of them, and the members behind them, see."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from octavia_provider.model.errors import Conflict
from octavia_provider.model.local import ipv6_subnet_id

from .clouds import alive
from .installation import Installation, Load, Stack, ask, until

IPV6 = "fd12:3456:789a:1::/64"
VIP6, OTHER6 = "fd12:3456:789a:1::a", "fd12:3456:789a:1::b"
# A member serves both families, and tells its name and what X-Forwarded-For it received.
BOTH = """
import http.server, json, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([os.environ["NAME"], self.headers.get("X-Forwarded-For")]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family, request_queue_size = socket.AF_INET6, 512
Server(("::", 80), Handler).serve_forever()
"""
# Runs inside the fabric; prints the body of each answer, a line each, or "refused".
CLIENT = """
import http.client, sys
for _ in range(int(sys.argv[2])):
    try:
        connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=10)
        connection.request("GET", "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read().decode()
        print(body if answer.status == 200 else '["refused", "%s"]' % answer.status)
    except OSError as error:
        print('["refused", "%s"]' % type(error).__name__)
"""


def through(stack: Stack, address: str, count: int = 4) -> set[tuple[str, str]]:
    """Who answers requests to a VIP, and whom it saw asking (X-Forwarded-For)."""
    done = stack.site.inside("python3", "-c", CLIENT, address, str(count))
    assert done.returncode == 0, done.stderr
    return {tuple(json.loads(line)) for line in done.stdout.splitlines()}


def names(stack: Stack, address: str) -> set[str]:
    """Who answers requests to a VIP."""
    return {name for name, _ in through(stack, address, 20)}


def make(site: Installation, **load_balancer: Any) -> Stack:
    """A balancer in a network of both families, and two members: ``four`` by its IPv4, ``six`` by its IPv6 address."""
    stack = Stack(site)
    stack.network = site.create("local_network", name="net", cidr="10.7.0.0/24", ipv6_cidr=IPV6)
    values = {name: value(stack.network) if callable(value) else value for name, value in load_balancer.items()}
    stack.load_balancer = site.create("load_balancer", name="lb", **{"vip_network_id": stack.network["id"], **values})
    stack.listener = site.create(
        "listener", loadbalancer_id=stack.load_balancer["id"], protocol="HTTP", protocol_port=80,
        insert_headers={"X-Forwarded-For": "true"},
    )  # fmt: skip
    stack.pool = site.create("pool", listener_id=stack.listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    for name, address in (("four", "address"), ("six", "ipv6_address")):
        host = site.create(
            "local_host", name=name, network_id=stack.network["id"], command=["python3", "-c", BOTH],
            environment={"NAME": name},
        )  # fmt: skip
        member = site.create("member", parent=stack.pool["id"], address=host[address], protocol_port=80)
        stack.hosts.append(host)
        stack.members.append(member)
    assert site.get("load_balancer", stack.load_balancer["id"])["provisioning_status"] == "ACTIVE"
    until(lambda: names(stack, stack.load_balancer["vip_address"]) == {"four", "six"})
    return stack


def operating_status(stack: Stack) -> str:
    """Of the first member."""
    return str(stack.site.get("member", stack.members[0]["id"], parent=stack.pool["id"])["operating_status"])


@pytest.fixture
def dual(site: Installation) -> Stack:
    """A VIP of IPv4 and an additional one of IPv6."""
    return make(site, additional_vips=lambda net: [{"subnet_id": net["ipv6_subnet_id"]}])


@pytest.mark.covers(
    "load_balancer.vip_network_id", "load_balancer.additional_vips.subnet_id", "member.monitor_address",
    "health_monitor.type=TCP", "member.address", "local_network.ipv6_cidr", "local_network.cidr",
)  # fmt: skip
def test_mixed_families__a_client_of_either_vip__members_of_both_families_answer(dual: Stack) -> None:
    shown = dual.site.get("load_balancer", dual.load_balancer["id"])
    (more,) = shown["additional_vips"]
    subnet = ipv6_subnet_id(dual.network["id"])
    assert more == {"subnet_id": subnet, "ip_address": "fd12:3456:789a:1::2", "port_id": None}
    assert shown["vip_subnet_id"] == dual.network["subnet_id"] == dual.network["id"]
    assert through(dual, shown["vip_address"]) == {("four", "10.7.0.1"), ("six", "10.7.0.1")}
    gateway = "fd12:3456:789a:1::1"
    assert through(dual, more["ip_address"]) == {("four", gateway), ("six", gateway)}
    # Checked at an IPv6 address where nobody serves, it goes down; where the other one serves, it comes back.
    monitor = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 1}
    dual.site.create("health_monitor", pool_id=dual.pool["id"], **monitor)
    for address, status in (("fd12:3456:789a:1::fff:2", "ERROR"), (dual.hosts[1]["ipv6_address"], "ONLINE")):
        dual.site.update("member", dual.members[0]["id"], parent=dual.pool["id"], monitor_address=address)
        until(lambda status=status: operating_status(dual) == status, what=f"member four to be {status}")  # type: ignore[misc]
    status, body = ask(dual.url)  # published: an address of this machine, by way of the PROXY protocol
    assert (status, json.loads(body)[1]) == (200, "127.0.0.1")


def test_a_network_of_one_family_is_none_of_the_other(dual: Stack) -> None:
    """Clients come from 10.7.0.1 and from fd12:3456:789a:1::1."""
    vips = (
        dual.load_balancer["vip_address"],
        dual.site.get("load_balancer", dual.load_balancer["id"])["additional_vips"][0]["ip_address"],
    )
    change = {"operation": "SET", "name": "X-Forwarded-For", "value": "matched"}
    policy = dual.site.create(
        "l7_policy", listener_id=dual.listener["id"], action="CHANGE_HEADERS", header_changes=[change]
    )
    facts = {"type": "SOURCE_IP", "compare_type": "EQUAL_TO", "value": "192.0.2.1"}
    rule = dual.site.create("l7_rule", parent=policy["id"], **facts)
    for network, matches in {
        "::/0": (False, True), "::/64": (False, False), "0.0.0.0/0": (True, False), "10.7.0.9/24": (True, False),
        "10.7.0.1": (True, False), "10.7.0.2": (False, False), "FD12:3456:789a:1:0::1": (False, True),
        "fd12:3456:789a:1::/64": (False, True), "fd12:3456:789a:1::2/127": (False, False), "8000::/1": (False, True),
    }.items():  # fmt: skip
        dual.site.update("l7_rule", rule["id"], parent=policy["id"], value=network)
        seen = tuple({told for _, told in through(dual, vip)} == {"matched"} for vip in vips)
        assert seen == matches, network


@pytest.mark.covers("listener.allowed_cidrs")
def test_all_of_one_family_may_come_in__published_clients_are_of_ipv4(dual: Stack) -> None:
    dual.site.update("listener", dual.listener["id"], allowed_cidrs=["::/0"])
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(dual.url)
    for networks in (["0.0.0.0/0"], ["::/0", "127.0.0.0/8"], []):
        dual.site.update("listener", dual.listener["id"], allowed_cidrs=networks)
        assert ask(dual.url)[0] == 200


@pytest.mark.covers("load_balancer.vip_address")
def test_a_vip_of_ipv6_alone(site: Installation) -> None:
    stack = make(site, vip_address=VIP6)
    assert stack.load_balancer["vip_address"] == VIP6
    assert stack.load_balancer["vip_subnet_id"] == stack.network["ipv6_subnet_id"]
    assert names(stack, VIP6) == {"four", "six"}
    assert names(stack, VIP6.upper()) == {"four", "six"}
    tcp = {"loadbalancer_id": stack.load_balancer["id"], "protocol": "TCP", "protocol_port": 81}
    listener = site.create("listener", **tcp)
    pool = site.create("pool", listener_id=listener["id"], protocol="TCP", lb_algorithm="SOURCE_IP")
    site.create("member", parent=pool["id"], address=str(VIP6), protocol_port=80)  # by way of the other listener
    done = site.inside("python3", "-c", CLIENT.replace(" 80,", " 81,"), VIP6, "1")
    assert json.loads(done.stdout)[0] in ("four", "six"), done


@pytest.mark.covers("load_balancer.additional_vips.subnet_id", "load_balancer.additional_vips.ip_address")
@pytest.mark.timeout(240)
def test_additional_vips_come_change_and_go_in_a_living_amphora(site: Installation) -> None:
    stack = make(site)
    before = site.masters(), site.agent()
    subnet, lb = stack.network["ipv6_subnet_id"], stack.load_balancer["id"]

    def wanted(*addresses: str) -> None:
        more = [{"subnet_id": subnet, "ip_address": address} for address in addresses]
        shown = site.update("load_balancer", lb, additional_vips=more)
        assert shown["provisioning_status"] == "ACTIVE", shown
        assert [vip["ip_address"] for vip in shown["additional_vips"]] == list(addresses)

    with Load(stack.url) as load:
        wanted(VIP6)
        assert names(stack, VIP6) == {"four", "six"}
        with pytest.raises(Conflict, match="is taken"):
            site.create("load_balancer", name="thief", vip_network_id=stack.network["id"], vip_address=VIP6)
        wanted(OTHER6)
        assert names(stack, OTHER6) == {"four", "six"}
        assert through(stack, VIP6, 1) <= {("refused", "OSError"), ("refused", "TimeoutError")}
        # What another balancer gets now was given back by this one.
        site.create("load_balancer", name="next", vip_network_id=stack.network["id"], vip_address=VIP6)
        wanted()
        assert through(stack, OTHER6, 1) <= {("refused", "OSError"), ("refused", "TimeoutError")}
        load.more()
    assert load.failures == []
    masters, agent = before
    assert set(masters) <= set(site.masters()), "haproxy was not started anew"
    assert alive(agent)
