# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import uuid
from typing import Any

import pytest

from octavia_provider.model import certificates
from octavia_provider.model.effects import Effect, Severity
from octavia_provider.model.errors import spell
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin import diffs, values
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE
from pem import make

ID, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
LISTENER = {"loadbalancer_id": ID, "protocol": "HTTP", "protocol_port": 80}
MEMBER = {"pool_id": ID, "address": "10.0.0.1", "protocol_port": 80}
POOL = {"listener_id": ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
COOKIE = {"type": "APP_COOKIE", "cookie_name": "a"}
LB = {"vip_network_id": ID}


CHANGED_VIP = [("additional_vips[0]", "DELETE"), ("additional_vips[0]", "ADD")]


def vips(address: str | None) -> dict[str, Any]:
    return {"additional_vips": [{"subnet_id": OTHER, **({"ip_address": address} if address else {})}]}


def changes(kind: str, old: Any, new: Any, shown: Any = None, ignore: Any = ()) -> list[tuple[str, str]]:
    found = diffs.diff(diffs.Sides.of(KINDS[kind], old, shown if shown is not None else old, new), ignore)
    return [(spell(change.path), change.kind) for change in found]


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        ("member", MEMBER, MEMBER, []),
        ("member", MEMBER, {**MEMBER, "weight": 1}, []),  # saying the default
        ("member", {**MEMBER, "weight": 1}, MEMBER, []),
        ("member", {**MEMBER, "weight": 5}, MEMBER, [("weight", "DELETE")]),
        ("member", MEMBER, {**MEMBER, "weight": 5}, [("weight", "ADD")]),
        ("member", {**MEMBER, "weight": 4}, {**MEMBER, "weight": 5.0}, [("weight", "UPDATE")]),
        ("member", {**MEMBER, "address": "fd00::1"}, {**MEMBER, "address": "FD00:0::1"}, []),  # another spelling
        ("member", MEMBER, {**MEMBER, "address": UNKNOWN}, [("address", "UPDATE")]),
        ("member", {**MEMBER, "tags": ["a", "b"]}, {**MEMBER, "tags": ["b", "a"]}, []),
        ("load_balancer", {**LB, **vips("fd00::5")}, {**LB, **vips("FD00:0::5")}, []),
        ("load_balancer", {**LB, **vips("fd00::5")}, {**LB, **vips(None)}, []),  # it keeps the one that it has
        ("load_balancer", {**LB, **vips("fd00::5")}, {**LB, **vips("fd00::6")}, CHANGED_VIP),
        ("load_balancer", LB, {**LB, **vips(None)}, [("additional_vips", "ADD")]),
        ("load_balancer", {**LB, **vips(None)}, LB, [("additional_vips", "DELETE")]),
        ("member", {**MEMBER, "tags": ["a", "b"]}, {**MEMBER, "tags": ["c", "a"]}, [("tags[1]", "DELETE"), ("tags[0]", "ADD")]),
        ("member", {**MEMBER, "tags": ["a"]}, {**MEMBER, "tags": ["a", UNKNOWN]}, [("tags", "UPDATE")]),
        ("pool", POOL, {**POOL, "session_persistence": COOKIE}, [("session_persistence", "ADD")]),
        (
            "pool", {**POOL, "session_persistence": COOKIE},
            {**POOL, "session_persistence": {"type": "HTTP_COOKIE"}},
            [("session_persistence.type", "UPDATE"), ("session_persistence.cookie_name", "DELETE")],
        ),
        (
            "local_host", {"network_id": ID, "command": ["a", "b"]}, {"network_id": ID, "command": ["b", "a", "c"]},
            [("command[0]", "UPDATE"), ("command[1]", "UPDATE"), ("command[2]", "ADD")],
        ),
    ],
)  # fmt: skip
def test_changes(kind: str, old: Any, new: Any, expected: Any) -> None:
    assert changes(kind, old, new) == expected


def test_what_the_control_plane_chose_is_kept_when_nothing_is_asked() -> None:
    shown = {**LB, "vip_address": "10.0.0.9", "vip_subnet_id": ID}
    assert changes("load_balancer", LB, LB, shown) == []
    assert changes("load_balancer", {**LB, "vip_address": "10.0.0.9"}, LB, shown) == []
    assert changes("load_balancer", LB, {**LB, "vip_address": "10.0.0.9"}, shown) == []
    assert changes("load_balancer", LB, {"vip_subnet_id": ID}, shown) == []
    assert changes("load_balancer", LB, {**LB, "vip_address": "10.0.0.8"}, shown) == [("vip_address", "ADD")]


def test_a_default_pool_that_was_given_can_be_taken_away() -> None:
    old = {**LISTENER, "default_pool_id": ID}
    assert changes("listener", old, LISTENER, old) == [("default_pool_id", "DELETE")]
    assert changes("listener", LISTENER, LISTENER, old) == []


def test_ignored_attributes_do_not_change() -> None:
    assert changes("member", MEMBER, {**MEMBER, "weight": 5, "backup": True}, ignore=["weight"]) == [("backup", "ADD")]


def test_delete_before_replace_where_two_cannot_be() -> None:
    handler = HANDLERS_BY_TYPE["octavia:index:LoadBalancer"]
    old = {"vipNetworkId": ID, "vipAddress": "10.0.0.9", "provider": "amphora"}
    assert handler.diff(old, old, {**old, "provider": "octavia"}).delete_before_replace
    assert not handler.diff(old, old, {**old, "vipAddress": "10.0.0.8"}).delete_before_replace
    assert not handler.diff(old, old, {**old, "vipNetworkId": UNKNOWN}).delete_before_replace
    monitor = HANDLERS_BY_TYPE["octavia:index:HealthMonitor"]
    old = {"poolId": ID, "type": "TCP", "delay": 5, "timeout": 2, "maxRetries": 2}
    assert monitor.diff(old, old, {**old, "delay": 6}).delete_before_replace  # should the user force a replacement
    assert not monitor.diff(old, old, {**old, "poolId": OTHER}).delete_before_replace
    network = HANDLERS_BY_TYPE["octavia:local:Network"]
    assert network.diff({}, {"cidr": "10.1.0.0/24"}, {"cidr": "10.2.0.0/24"}).delete_before_replace


@pytest.mark.parametrize(
    ("token", "old", "new", "replaces"),
    [
        ("Listener", "TCP", "UDP", ["protocol"]), ("Listener", "UDP", "HTTP", ["protocol"]), ("Listener", "TCP", "HTTP", []),
        ("Pool", "TCP", "UDP", ["protocol"]), ("Pool", "UDP", "TCP", ["protocol"]), ("Pool", "TCP", UNKNOWN, []),
    ],
)  # fmt: skip
def test_what_goes_over_to_datagrams_or_back_is_made_anew(token: str, old: str, new: str, replaces: list[str]) -> None:
    given = {"loadbalancerId": ID, "protocolPort": 80, "lbAlgorithm": "ROUND_ROBIN"}
    handler = HANDLERS_BY_TYPE[f"octavia:index:{token}"]
    found = handler.diff({**given, "protocol": old}, {**given, "protocol": old}, {**given, "protocol": new})
    assert (list(found.replaces), [change.replaces for change in found.changes]) == (replaces, [bool(replaces)])
    assert not (replaces and found.delete_before_replace)  # TCP and UDP have ports of their own
    assert list(found.stables) == ["id"] if replaces else "loadbalancerId" in found.stables


def test_effects_are_told_the_worst_first() -> None:
    handler = HANDLERS_BY_TYPE["octavia:index:Listener"]
    old = {"loadbalancerId": ID, "protocol": "HTTP", "protocolPort": 80}
    new = {**old, "timeoutClientData": 1, "protocolPort": 81, "description": "x", "defaultPoolId": OTHER}
    found = handler.diff(old, old, new).effects
    assert [name for name, _ in found] == ["protocolPort", "defaultPoolId", "timeoutClientData", "description"]
    assert found[0][1].severity is Severity.GONE
    assert found[-1][1] == Effect(Severity.NONE, "none")


def test_certificates_are_told_by_subject_end_and_fingerprint() -> None:
    handler = HANDLERS_BY_TYPE["octavia:index:TlsContainer"]
    one, two = make("a.example.com"), make("b.example.com")
    old, new = ({"certificate": each.pem, "privateKey": values.Secret(each.key_pem)} for each in (one, two))
    said = {name.split(" ")[0]: name for name, _ in handler.diff(old, old, new).effects}
    for each in (one, two):
        facts = certificates.facts(certificates.certificates(each.pem)[0])
        assert (
            f"{facts['subject']} until {facts['not_after'][:10]}, SHA-256 {facts['fingerprint']}" in said["certificate"]
        )
    assert said["privateKey"] == "privateKey"
    assert "BEGIN" not in str(said)
    secret = [{**side, "certificate": values.Secret(side["certificate"])} for side in (old, new)]
    assert "certificate" in dict(handler.diff(secret[0], secret[0], secret[1]).effects)


def test_costs_and_stables() -> None:
    handler = HANDLERS_BY_TYPE["octavia:index:Listener"]
    old = {"loadbalancerId": ID, "protocol": "HTTP", "protocolPort": 80}
    shown = {**old, "url": "http://127.0.0.1:80", "controlPlaneId": ID}
    found = handler.diff(old, shown, {**old, "timeoutClientData": 1})
    reload = Effect(Severity.RELOAD, "a seamless reload of haproxy; no request is lost")
    assert list(found.effects) == [("timeoutClientData", reload)]
    assert set(found.stables) == {"id", "url", "controlPlaneId", "loadbalancerId"}
    assert "url" not in handler.diff(old, shown, {**old, "protocolPort": 81}).stables
    replaced = handler.diff(old, shown, {**old, "loadbalancerId": OTHER})
    assert [name for name, _ in replaced.effects] == ["replaced, because of loadbalancerId"]
    assert list(replaced.stables) == ["id"]
    assert handler.preview_update(old, shown, {**old, "timeoutClientData": 1})["url"] == shown["url"]
    assert handler.preview_update(old, shown, {**old, "protocolPort": 81})["url"] is UNKNOWN


def test_an_additional_vip_whose_address_was_chosen__what_was_chosen_stands_for_the_input() -> None:
    old, shown = {**LB, **vips(None)}, {**LB, **vips("fd00::5")}
    assert changes("load_balancer", old, old, shown) == []
    assert changes("load_balancer", old, {**LB, **vips("fd00::5")}, shown) == []
    assert changes("load_balancer", old, {**LB, **vips("fd00::6")}, shown) == CHANGED_VIP


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        ("Member", {}, {"monitorAddress": "", "subnetId": " "}, []),
        ("Member", {"monitorAddress": ""}, {}, []),
        ("Member", {"monitorAddress": "10.0.0.2"}, {"monitorAddress": ""}, [("monitor_address", "DELETE")]),
        ("LoadBalancer", {}, {"vipAddress": "", "provider": "", "flavorId": "\n"}, []),
        ("LoadBalancer", {"additionalVips": [{"subnetId": OTHER}]}, {"additionalVips": [{"subnetId": OTHER, "ipAddress": ""}]}, []),
        ("Pool", {"sessionPersistence": {"type": "SOURCE_IP"}}, {"sessionPersistence": {"type": "SOURCE_IP", "cookieName": ""}}, []),
    ],
)  # fmt: skip
def test_empty_text_is_none(
    kind: str, old: dict[str, Any], new: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    given = {
        "Member": {"poolId": ID, "address": "10.0.0.1", "protocolPort": 80}, "LoadBalancer": {"vipNetworkId": ID},
        "Pool": {"listenerId": ID, "protocol": "HTTP", "lbAlgorithm": "ROUND_ROBIN"},
    }[kind]  # fmt: skip
    shown = {**given, **old, "vipAddress": "10.0.0.9", "additionalVips": [{"subnetId": OTHER, "ipAddress": "10.1.0.9"}]}
    shown = {
        **given,
        **{n: v for n, v in shown.items() if kind == "LoadBalancer" or not n.endswith(("Vips", "vipAddress"))},
    }
    found = HANDLERS_BY_TYPE[f"octavia:index:{kind}"].diff({**given, **old}, shown, {**given, **new})
    assert [(spell(change.path), change.kind) for change in found.changes] == expected
    assert found.replaces == []
