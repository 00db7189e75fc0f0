# SPDX-License-Identifier: Apache-2.0
"""The rules across objects."""

from __future__ import annotations

import pytest

from builders import graph, resource, web
from octavia_provider.model.errors import spell
from octavia_provider.model.graph import LISTENER_POOL_PROTOCOLS, check


def broken(the_graph, thing) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    return [(spell(v.path), v.message) for v in check(the_graph, thing)]


def test_a_good_graph_breaks_nothing() -> None:
    whole = web()
    for thing in (*whole.listeners.values(), *whole.pools.values()):
        assert check(whole, thing) == []


@pytest.mark.parametrize("listener", LISTENER_POOL_PROTOCOLS)
@pytest.mark.parametrize("pool", ["HTTP", "HTTPS", "TCP", "PROXY", "PROXYV2", "UDP"])
def test_protocols_that_go_together(listener: str, pool: str) -> None:
    whole = graph(resource("listener", "web", protocol=listener))
    found = broken(whole, resource("pool", "pool", protocol=pool))
    assert bool(found) == (pool not in LISTENER_POOL_PROTOCOLS[listener])
    assert all(path == "protocol" for path, _ in found)


def test_a_listener_that_names_a_pool_of_another_balancer() -> None:
    found = broken(graph(), resource("listener", "web", default_pool_id="nowhere"))
    assert found == [("default_pool_id", "pool nowhere does not exist on load balancer lb")]


def test_a_listener_that_names_a_pool_it_cannot_speak_with() -> None:
    whole = graph(resource("pool", "pool", protocol="TCP", listener_id=None, loadbalancer_id="lb"))
    assert [path for path, _ in broken(whole, resource("listener", "web", default_pool_id="pool"))] == [
        "default_pool_id"
    ]


def test_a_pool_changes_to_a_protocol_that_a_listener_cannot_speak_with() -> None:
    whole = graph(resource("listener", "web", default_pool_id="pool"))
    changed = resource("pool", "pool", protocol="TCP", listener_id=None, loadbalancer_id="lb")
    whole.add(changed)
    assert [path for path, _ in broken(whole, changed)] == ["protocol"]
    whole.add(resource("listener", "other", protocol_port=81, default_pool_id="pool"))
    assert [path for path, _ in broken(whole, changed)] == ["protocol"]  # in the same words, so once


def test_a_second_pool_for_a_listener() -> None:
    found = broken(web(), resource("pool", "other"))
    assert [path for path, _ in found] == ["listener_id"]
    assert "has a default pool already" in found[0][1]


def test_a_pool_for_a_listener_that_is_not_there() -> None:
    assert broken(graph(), resource("pool", "pool")) == [("listener_id", "listener web does not exist")]


def test_a_pool_that_names_two_balancers() -> None:
    found = broken(graph(resource("listener", "web")), resource("pool", "pool", loadbalancer_id="other"))
    assert [path for path, _ in found] == ["loadbalancer_id"]


def test_the_default_pool_is_the_one_named_else_the_one_that_names_the_listener() -> None:
    whole = web()
    assert whole.default_pool(whole.listeners["web"]) is whole.pools["pool"]
    whole.add(resource("pool", "named", listener_id=None, loadbalancer_id="lb"))
    whole.add(resource("listener", "web", default_pool_id="named"))
    assert whole.default_pool(whole.listeners["web"]) is whole.pools["named"]
    assert whole.listeners_of("named") == [whole.listeners["web"]]


def test_which_monitors_a_pool_can_have() -> None:
    def refused(kind: str, protocol: str) -> bool:
        whole = graph(resource("pool", "pool", protocol=protocol, listener_id=None, loadbalancer_id="lb"))
        monitor = resource("health_monitor", "hm", type=kind)
        found = broken(whole, monitor)
        whole.add(monitor)
        other = resource("pool", "pool", protocol=protocol, listener_id=None, loadbalancer_id="lb")
        assert [path for path, _ in broken(whole, other)] == ["protocol"] * len(found)
        assert all(path == "type" for path, _ in found)
        return bool(found)

    kinds = ("HTTP", "HTTPS", "TCP", "PING", "TLS-HELLO", "UDP-CONNECT", "GRPC")
    assert [kind for kind in kinds if refused(kind, "UDP")] == ["HTTPS", "PING", "TLS-HELLO", "GRPC"]
    assert [kind for kind in kinds if refused(kind, "HTTP")] == ["UDP-CONNECT"]


def test_allowed_cidrs_are_of_a_family_that_the_vip_has() -> None:
    found = broken(graph(), resource("listener", "web", allowed_cidrs=("10.0.0.0/8", "fd00::/8")))
    assert [path for path, _ in found] == ["allowed_cidrs[1]"]
    assert broken(graph(vip_address=None), resource("listener", "web", allowed_cidrs=("fd00::/8",))) == []


def test_allowed_cidrs_do_not_go_with_security_groups() -> None:
    found = broken(graph(vip_sg_ids=("sg",)), resource("listener", "web", allowed_cidrs=("10.0.0.0/8",)))
    assert [path for path, _ in found] == ["allowed_cidrs"]


def test_members_of_a_udp_pool_are_of_any_family() -> None:
    whole = graph(resource("pool", "pool", protocol="UDP", listener_id=None, loadbalancer_id="lb"))
    assert broken(whole, resource("member", "m", address="fd00::1")) == []
