# SPDX-License-Identifier: Apache-2.0
"""What only tells people something: names, descriptions and tags are kept, shown, changed, and lists are filtered by them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

import pem
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from unit.api.settling import WORDS, Plane

POOL = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
MONITOR = {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2}
RULE = {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/a"}
LABELS = {"name": "grüße #1", "description": "was es ist", "tags": ["blue", "a b"]}
CHANGED = {"name": "other", "description": "", "tags": ["green"]}


async def make_all(plane: Plane) -> dict[str, dict[str, Any]]:
    """One object of each kind, labelled; by kind, the object as it is shown and where."""
    made: dict[str, dict[str, Any]] = {}

    async def make(kind: str, **spec: Any) -> str:
        labels = {name: value for name, value in LABELS.items() if name in inputs(KINDS[kind])}
        if kind == "availability_zone":
            labels["name"] = "west 1"
        made[kind] = await plane.make(kind, **labels, **spec)
        made[kind]["_place"] = plane.place(kind, spec)
        return str(made[kind]["id"])

    network = await make("local_network")
    await make("local_host", network_id=network, command=["true"])
    balancer = await make("load_balancer", vip_network_id=network)
    listener = await make("listener", loadbalancer_id=balancer, protocol="HTTP", protocol_port=80)
    pool = await make("pool", listener_id=listener, **POOL)
    await make("member", pool_id=pool, address="10.1.0.50", protocol_port=80)
    await make("health_monitor", pool_id=pool, **MONITOR)
    await make("l7_rule", l7policy_id=await make("l7_policy", listener_id=listener, action="REJECT"), **RULE)
    await make("tls_container", **pem.make("a.test").container())
    await make("amphora_group")
    profile = await make("flavor_profile", provider_name="amphora", flavor_data="{}")
    await make("flavor", flavor_profile_id=profile)
    profile = await make("availability_zone_profile", provider_name="amphora", availability_zone_data="{}")
    await make("availability_zone", availability_zone_profile_id=profile)
    return made


def told(shown: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Of the labels wanted, what is shown; tags in no order."""
    return {name: sorted(shown[name]) if name == "tags" else shown[name] for name in wanted if name in shown}


@pytest.mark.covers(
    "load_balancer.name", "load_balancer.description", "load_balancer.tags", "listener.name", "listener.description",
    "listener.tags", "pool.name", "pool.description", "pool.tags", "member.name", "member.tags", "health_monitor.name",
    "health_monitor.tags", "l7_policy.name", "l7_policy.description", "l7_policy.tags", "l7_rule.name", "l7_rule.tags",
    "tls_container.name", "tls_container.description", "tls_container.tags", "amphora_group.name",
    "amphora_group.description", "amphora_group.tags", "flavor_profile.name", "flavor.name",
    "flavor.description", "availability_zone_profile.name", "availability_zone.name", "availability_zone.description",
    "local_network.name", "local_host.name",
)  # fmt: skip
async def test_labels_are_shown_changed_and_filtered_by__of_every_kind(plane: Plane) -> None:
    made = await make_all(plane)
    assert set(made) == set(KINDS) - {"quota"}  # which is known by its project alone
    for kind, obj in made.items():
        place, word = obj.pop("_place"), WORDS[kind]
        url = f"{place}/{quote(obj['id'])}"
        name = "west 1" if kind == "availability_zone" else LABELS["name"]
        own = {label: value for label, value in {**LABELS, "name": name}.items() if label in inputs(KINDS[kind])}
        shown = (await plane.call("GET", url)).body[word]
        assert told(shown, own) == {**own, **({"tags": sorted(LABELS["tags"])} if "tags" in own else {})}, kind
        for query, count in ((f"name={quote(str(name))}", 1), ("name=nobody", 0)):
            found = (await plane.call("GET", f"{place}?{query}")).body
            assert [len(v) for k, v in found.items() if not k.endswith("_links")] == [count], (kind, query)
        if "tags" in own:
            for query, count in (("tags=blue,a%20b", 1), ("tags=blue,red", 0), ("not-tags=blue", 0)):
                found = (await plane.call("GET", f"{place}?{query}")).body
                assert [len(v) for k, v in found.items() if not k.endswith("_links")] == [count], (kind, query)
        change = {label: value for label, value in CHANGED.items() if label in own}
        if kind == "availability_zone":
            del change["name"]  # by which it is known
        answer = await plane.call("PUT", url, {word: change}, wait=10)
        assert answer.status == 200, answer.body
        assert told((await plane.call("GET", url)).body[word], change) == change, kind
