# SPDX-License-Identifier: Apache-2.0
"""The provider behind real gRPC drives a service with the manners of a stock Octavia."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from octavia_provider.client.stock import targets
from provider_process import Provider, provider
from stock_octavia import StockOctavia

LB, LISTENER, POOL, POLICY = (f"octavia:index:{name}" for name in ("LoadBalancer", "Listener", "Pool", "L7Policy"))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[StockOctavia]:
    monkeypatch.setattr(targets, "FIRST_PAUSE", 0.001)
    for name in ("OS_CLOUD", "OS_AUTH_URL", "OCTAVIA_ENDPOINT", "OCTAVIA_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    with StockOctavia(minor=20) as running:
        yield running


@pytest.fixture
def octavia(service: StockOctavia) -> Iterator[Provider]:
    with provider() as running:
        running.configure(driver="octavia", endpoint=f"{service.url}/v2.0")
        yield running


def test_check_refuses_what_the_service_cannot_do(octavia: Provider, service: StockOctavia) -> None:
    listening = {"loadbalancerId": "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11", "protocol": "HTTP", "protocolPort": 80}
    _, failures = octavia.check(LISTENER, "web", {**listening, "rateLimit": {"requests": 5}})
    assert [*failures] == ["rateLimit"]
    assert not service.requests, "a preview asks nobody without need"
    _, failures = octavia.check(LISTENER, "web", {**listening, "allowedCidrs": ["10.0.0.0/8"], "connectionLimit": 5})
    assert not failures
    _, failures = octavia.check(LISTENER, "web", {**listening, "protocol": "PROMETHEUS"})
    assert failures == {"protocol": "PROMETHEUS needs version 2.25 of Octavia's API, and the service has 2.20"}
    assert len(service.requests) == 1, "its version is asked for once"
    _, failures = octavia.check("octavia:local:Network", "net", {})
    assert "embedded cloud" in failures[""]


def test_a_preview_that_asks_says_who_answers_instead(octavia: Provider, service: StockOctavia) -> None:
    service.faults, service.said = [200], b"<html>"
    listening = {"loadbalancerId": "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11", "protocol": "HTTP", "protocolPort": 80}
    _, failures = octavia.check(LISTENER, "web", {**listening, "allowedCidrs": ["10.0.0.0/8"]})
    assert f"what answers at {service.url} is no Octavia" in failures[""]


def test_what_it_cannot_change_makes_a_new_object(octavia: Provider) -> None:
    old = {
        "listenerId": "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11",
        "protocol": "HTTP",
        "lbAlgorithm": "ROUND_ROBIN",
        "name": "p",
    }
    diff = octavia.diff(POOL, "pool", "x", old, old, {**old, "protocol": "PROXY"})
    assert [*diff.replaces] == ["protocol"]
    assert diff.deleteBeforeReplace, "a listener has one default pool"
    assert not [*octavia.diff(POOL, "pool", "x", old, old, {**old, "lbAlgorithm": "SOURCE_IP"}).replaces]


def test_a_tree_is_made_read_changed_and_deleted(octavia: Provider, service: StockOctavia) -> None:
    inputs, _ = octavia.check(LB, "lb", {"vipNetworkId": "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11", "tags": ["a"]})
    id_, outputs = octavia.create(LB, "lb", inputs)
    assert outputs["controlPlaneId"] == service.url
    listening, _ = octavia.check(LISTENER, "web", {"loadbalancerId": id_, "protocol": "HTTP", "protocolPort": 80})
    listener, shown = octavia.create(LISTENER, "web", listening)
    assert octavia.read(LISTENER, "web", listener, shown, listening)[2] == listening
    renamed = octavia.update(LISTENER, "web", listener, listening, shown, {**listening, "name": "other"})
    assert renamed["name"] == "other"
    octavia.delete(LISTENER, "web", listener, renamed)
    assert octavia.read(LISTENER, "web", listener, renamed, listening)[0] == ""


def by_another(service: StockOctavia, method: str, path: str, policy: dict[str, Any]) -> None:
    """A write of another client, and its wait until it is in force."""
    body = json.dumps({"l7policy": policy}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{service.url}{path}", body, method=method)).close()
    service.pending.clear()


def read_position(octavia: Provider, policy: tuple[str, dict[str, Any], dict[str, Any]]) -> Any:
    id_, inputs, shown = policy
    _, outputs, now = octavia.read(POLICY, "p", id_, shown, inputs)
    assert (outputs["askedPosition"], outputs["tags"]) == (inputs["position"], [])
    return now["position"]


def test_an_l7_policy_behind_the_last_does_not_drift(octavia: Provider, service: StockOctavia) -> None:
    inputs, _ = octavia.check(LB, "lb", {"vipNetworkId": "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11"})
    id_, _ = octavia.create(LB, "lb", inputs)
    listening, _ = octavia.check(LISTENER, "web", {"loadbalancerId": id_, "protocol": "HTTP", "protocolPort": 80})
    listener, _ = octavia.create(LISTENER, "web", listening)

    def policy(name: str, position: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
        given, _ = octavia.check(POLICY, name, {"listenerId": listener, "action": "REJECT", "position": position})
        made, shown = octavia.create(POLICY, name, given)
        return made, given, shown

    ten, twenty = policy("ten", 10), policy("twenty", 20)
    assert [one["position"] for one in service.objects["l7policies"].values()] == [1, 2]
    assert (read_position(octavia, ten), read_position(octavia, twenty)) == (10, 20)
    first = policy("first", 1)
    assert [read_position(octavia, one) for one in (first, ten, twenty)] == [1, 10, 20]
    by_another(service, "PUT", f"/v2/lbaas/l7policies/{twenty[0]}", {"position": 1})
    assert [read_position(octavia, one) for one in (first, ten, twenty)] == [2, 10, 1]
    id_, given, shown = twenty
    octavia.update(POLICY, "twenty", id_, {**given, "position": 1}, shown, given)
    assert [read_position(octavia, one) for one in (first, ten, twenty)] == [1, 10, 20]
    by_another(service, "POST", "/v2/lbaas/l7policies", {"listener_id": listener, "action": "REJECT"})
    assert [read_position(octavia, one) for one in (first, ten, twenty)] == [1, 2, 3], "another's is behind them"


def test_an_object_in_error_is_kept_with_its_reason(octavia: Provider, service: StockOctavia) -> None:
    service.ends["loadbalancers"] = "ERROR"
    inputs, _ = octavia.check(LB, "lb", {"vipNetworkId": "8d6d3a2e-6f0c-4a8f-9df4-0f6f5a3a7b11"})
    with pytest.raises(grpc.RpcError, match="log of its worker"):
        octavia.create(LB, "lb", inputs)
