# SPDX-License-Identifier: Apache-2.0
"""What is changed in place keeps its id and loses no request: ports, protocols, addresses, monitors, flavors."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from octavia_provider.client.deadline import Deadline
from octavia_provider.model.errors import Conflict, Forbidden, Invalid

from . import datagrams, stacks
from .installation import Installation, Load, Stack, ask, make_stack, until


def at(url: str, port: int) -> str:
    return f"http://{urlsplit(url).hostname}:{port}/"


def change(stack: Stack, kind: str, obj: dict[str, Any], **values: Any) -> dict[str, Any]:
    parent = stack.pool["id"] if kind == "member" else None
    changed = stack.site.update(kind, obj["id"], parent=parent, **values)
    assert (changed["id"], changed["provisioning_status"]) == (obj["id"], "ACTIVE"), changed
    assert values.items() <= changed.items()
    return changed


def refused_at(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((parts.hostname, parts.port)) != 0


def answers_with(url: str, name: str) -> None:
    until(lambda: ask(url)[1] == name, what=f"{name} at {url}")


def second(stack: Stack, port: int) -> dict[str, Any]:
    """Another listener whose only member is a host of its own, ``other``."""
    site = stack.site
    listener = site.create(
        "listener", name="second", loadbalancer_id=stack.load_balancer["id"], protocol="HTTP", protocol_port=port
    )
    pool = site.create("pool", name="p2", listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    host = stack.add_host("other")
    site.create("member", parent=pool["id"], address=host["address"], protocol_port=80)
    answers_with(listener["url"], "other")
    return listener


def swap(stack: Stack, one: dict[str, Any], two: dict[str, Any]) -> None:
    """Both ports in one go, as an ``up`` asks for them: two PUTs, neither of which can be first."""
    with ThreadPoolExecutor(2) as pool:
        wanted = ((one, two["protocol_port"]), (two, one["protocol_port"]))
        for done in [pool.submit(change, stack, "listener", li, protocol_port=port) for li, port in wanted]:
            done.result()


@pytest.mark.covers(
    "listener.protocol=HTTP", "listener.protocol=TCP", "listener.protocol_port", "member.address",
    "member.protocol_port", "health_monitor.type=TCP", "health_monitor.type=HTTP", "load_balancer.flavor_id",
    "load_balancer.availability_zone", "flavor.flavor_profile_id",
    "flavor_profile.flavor_data.loadbalancer_topology=SINGLE", "availability_zone.availability_zone_profile_id",
    "availability_zone_profile.availability_zone_data.valid_vip_networks", "quota.loadbalancer",
)  # fmt: skip
def test_in_place_through_the_api(site: Installation) -> None:
    stack = make_stack(site, members=2)
    before = amphorae(site)
    ports_and_protocols(stack)
    members_and_monitors(stack)
    flavors_and_zones(stack)
    assert amphorae(site) == before, "no amphora was made anew"


def amphorae(site: Installation) -> list[str]:
    found = site.client.request("GET", "/v2/octavia/amphorae", deadline=Deadline(30.0)).json()["amphorae"]
    return [amphora["id"] for amphora in found]


def ports_and_protocols(stack: Stack) -> None:
    other = second(stack, 81)
    first = at(stack.url, 80)
    with Load(first, workers=2) as load, Load(at(stack.url, 81), workers=2) as load_too:
        swap(stack, stack.listener, other)
        load.more()
        load_too.more()
    assert (load.failures, load_too.failures) == ([], [])
    assert {ask(first)[1] for _ in range(4)} == {"other"}
    assert {ask(at(stack.url, 81))[1] for _ in range(4)} == {"m1", "m2"}
    swap(stack, {**stack.listener, "protocol_port": 81}, {**other, "protocol_port": 80})

    changed = change(stack, "listener", stack.listener, protocol_port=8080)
    until(lambda: ask(changed["url"])[0] == 200 and refused_at(first), what="the new port, and no more the old one")
    change(stack, "listener", stack.listener, protocol_port=80)
    until(lambda: not refused_at(first), what="the old port again")

    with Load(first) as load:  # HTTP → TCP → TCP all the way → back
        change(stack, "listener", stack.listener, protocol="TCP")
        load.more()
        change(stack, "pool", stack.pool, protocol="TCP")
        load.more()
        with pytest.raises(Invalid, match="cannot send to a TCP pool"):
            stack.site.update("listener", stack.listener["id"], protocol="HTTP")
        change(stack, "pool", stack.pool, protocol="HTTP")
        load.more()
        change(stack, "listener", stack.listener, protocol="HTTP")
        load.more()
    assert load.failures == []


def members_and_monitors(stack: Stack) -> None:
    member, *rest = stack.members
    for one in rest:
        stack.site.delete("member", one["id"], parent=stack.pool["id"])
    host = stack.add_host("moved")
    until(lambda: stack.listens("moved"), what="the new host to listen")
    with Load(stack.url) as load:
        monitor = stack.site.create(
            "health_monitor", pool_id=stack.pool["id"], type="TCP", delay=1, timeout=1, max_retries=1
        )
        load.more()
        change(stack, "member", member, address=host["address"])
        load.more()
        change(stack, "health_monitor", monitor, type="HTTP")
        load.more()
        change(stack, "health_monitor", monitor, type="TCP")
        load.more()
    assert load.failures == []
    assert ask(stack.url) == (200, "moved")
    change(stack, "member", member, protocol_port=4242)  # where nobody serves
    until(lambda: ask(stack.url)[0] == 503, what="the member to be down")
    change(stack, "member", member, protocol_port=80)
    until(lambda: ask(stack.url)[0] == 200, what="the member to be back")


def flavors_and_zones(stack: Stack) -> None:
    site = stack.site
    data = {"provider_name": "amphora", "flavor_data": '{"loadbalancer_topology": "SINGLE"}'}
    flavors = []
    for name in ("small", "large"):
        profile = site.create("flavor_profile", name=name, **data)
        flavors.append(site.create("flavor", name=name, flavor_profile_id=profile["id"]))
    with Load(stack.url) as load:
        for flavor in flavors:
            change(stack, "load_balancer", stack.load_balancer, flavor_id=flavor["id"])
            load.more()
    assert load.failures == []
    with pytest.raises(Conflict, match="load balancer lb uses it"):
        site.delete("flavor", flavors[1]["id"])
    here, elsewhere = stack.network["id"], site.create("local_network")["id"]
    zones = {"provider_name": "amphora", "availability_zone_data": f'{{"valid_vip_networks": ["{here}"]}}'}
    profile = site.create("availability_zone_profile", name="here", **zones)
    site.create("availability_zone", name="here", availability_zone_profile_id=profile["id"])
    with pytest.raises(Invalid, match="allows VIPs in"):
        site.create("load_balancer", vip_network_id=elsewhere, availability_zone="here")
    site.update("quota", stack.load_balancer["project_id"], loadbalancer=1)
    with pytest.raises(Forbidden, match=r"Quota has been met for resources: load balancer .* may have 1\)"):
        site.create("load_balancer", vip_network_id=here)
    site.delete("quota", stack.load_balancer["project_id"])
    third = site.create("load_balancer", vip_network_id=here, availability_zone="here", flavor_id=flavors[0]["id"])
    assert third["provisioning_status"] == "ACTIVE"
    site.delete("load_balancer", third["id"])


PROGRAM = """
network = octavia.local.Network("net")
profile = octavia.FlavorProfile("profile", provider_name="amphora", flavor_data='{{}}')
flavor = octavia.Flavor("{flavor}", flavor_profile_id=profile.id)
quota = octavia.Quota("limits", listener=2)
balancer = octavia.LoadBalancer("web", vip_network_id=network.id, flavor_id=flavor.id)
for name, port in (("a", {a}), ("b", {b})):
    listener = octavia.Listener(name, loadbalancer_id=balancer.id, protocol="{listener}", protocol_port=port)
    pool = octavia.Pool(name, listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    if name == "a":
        octavia.HealthMonitor(name, pool_id=pool.id, type="{monitor}", delay=1, timeout=1, max_retries=1)
    octavia.Member(name, pool_id=pool.id, address=host(name, network).address, protocol_port=80)
    pulumi.export(name, listener.url)
"""


def program(**change: Any) -> str:
    plain = {"flavor": "small", "a": 80, "b": 81, "listener": "HTTP", "monitor": "TCP"}
    return PROGRAM.format(**{**plain, **change})


@pytest.mark.covers("listener.protocol_port", "quota.listener")
def test_one_up_swaps_the_ports_and_changes_the_rest_in_place(short_home: Path, tmp_path: Path) -> None:
    project = stacks.Project("embedded", tmp_path / "project", short_home)
    try:
        project.up_well(program())
        before = {key: resource["id"] for key, resource in project.resources().items()}
        url = project.outputs()["a"]
        answers_with(url, "a")
        answers_with(at(url, 81), "b")
        project.program(program(a=81, b=80, listener="TCP", monitor="HTTP", flavor="large"))
        ops = {name: step["op"] for name, step in project.changes().items() if step["op"] != "same"}
        assert {op for name, op in ops.items() if name not in {"small", "large"}} == {"update"}, ops
        with Load(at(url, 80), workers=2) as load, Load(at(url, 81), workers=2) as load_too:
            project.up_well()
            load.more()
            load_too.more()
        assert (load.failures, load_too.failures) == ([], [])
        assert (ask(at(url, 81)), ask(at(url, 80))) == ((200, "a"), (200, "b"))
        after = {key: resource["id"] for key, resource in project.resources().items()}
        changed = {key for key in before | after if before.get(key) != after.get(key)}
        assert changed == {"flavor/small", "flavor/large"}
        project.unchanged()
        third = '\noctavia.Listener("c", loadbalancer_id=balancer.id, protocol="TCP", protocol_port=82)\n'
        over = project.up(program(a=81, b=80, listener="TCP", monitor="HTTP", flavor="large") + third)
        assert not over.ok
        assert "Quota has been met for resources: listener" in over.text
        assert project.destroy().ok
    finally:
        project.site.purge()


SIDES = """
network = octavia.local.Network("net")
balancer = octavia.LoadBalancer("web", vip_network_id=network.id)
echo = ["python3", "-u", "-c", {server!r}]
datagrams = octavia.local.Host("echo", network_id=network.id, command=echo, environment={{"NAME": "echo"}})
stream = host("web", network)
address, port = {{"TCP": (stream.address, 80), "UDP": (datagrams.address, 5000)}}["{protocol}"]

def serve(name, pool):
    octavia.Member(name, pool_id=pool.id, address=address, protocol_port=port)
    watch = "TCP" if "{protocol}" == "TCP" else "UDP-CONNECT"
    octavia.HealthMonitor(name, pool_id=pool.id, type=watch, delay=3, timeout=1, max_retries=1)

speaks = {{"protocol": "{protocol}", "lb_algorithm": "ROUND_ROBIN"}}
named = octavia.Pool("named", loadbalancer_id=balancer.id, **speaks)
one = octavia.Listener("one", loadbalancer_id=balancer.id, protocol="{protocol}", protocol_port=53, default_pool_id=named.id)
two = octavia.Listener("two", loadbalancer_id=balancer.id, protocol="{protocol}", protocol_port=54)
serve("named", named)
serve("naming", octavia.Pool("naming", listener_id=two.id, **speaks))
pulumi.export("address", balancer.published_address)
"""


def echoes(address: str, port: int) -> bool:
    return datagrams.asked_once(address, port).startswith("echo ")


def test_a_listener_goes_over_to_udp_with_its_pool_in_one_up__and_back(project: stacks.Project) -> None:
    for protocol in ("TCP", "UDP", "TCP"):
        project.up_well(SIDES.format(protocol=protocol, server=datagrams.SERVER))
        address = project.outputs()["address"]
        for port in (53, 54):
            if protocol == "TCP":
                answers_with(f"http://{address}:{port}", "web")
            else:
                until(partial(echoes, address, port), what=f"port {port} by UDP")
        project.unchanged()
    project.assert_nothing_double()
