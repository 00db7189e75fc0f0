# SPDX-License-Identifier: Apache-2.0
"""check → preview create → create → read → update → diff → delete, for each resource, over real gRPC and HTTP."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

import pem
from control_plane import ControlPlane
from octavia_provider.model.unknown import UNKNOWN
from octavia_provider.plugin.resources import HANDLERS_BY_TYPE
from provider_process import Provider, pb
from real_plane import RealPlane

NETWORK = str(uuid.UUID(int=7))
CA, OTHER_CA = pem.authority().pem, pem.authority("other").pem


@dataclass
class Case:
    """``inputs`` may name another case's id by ``$case``; ``change`` is made in place, ``replace`` is not."""

    token: str
    inputs: dict[str, Any]
    change: dict[str, Any]
    replace: dict[str, Any]
    paths: list[str]
    needs: list[str] = field(default_factory=list)


CASES = {
    "network": Case("octavia:local:Network", {}, {"name": "renamed"}, {"cidr": "10.44.0.0/24"}, ["name"]),
    "host": Case(
        "octavia:local:Host", {"networkId": "$network", "command": ["server", "80"]}, {"command": ["server", "81"]},
        {"address": "10.9.0.99"}, ["command[1]"], needs=["network"],
    ),
    "lb": Case(
        "octavia:index:LoadBalancer", {"vipNetworkId": "$network", "tags": ["b", "a"]}, {"tags": ["a", "c"]},
        {"vipAddress": "10.9.0.77"}, ["tags[0]", "tags[1]"], needs=["network"],
    ),
    "flavorprofile": Case(
        "octavia:index:FlavorProfile", {"providerName": "amphora", "flavorData": '{"loadbalancer_topology": "SINGLE"}'},
        {"flavorData": "{}", "name": "p2"}, {}, ["flavorData", "name"],
    ),
    "flavor": Case(
        "octavia:index:Flavor", {"flavorProfileId": "$flavorprofile", "enabled": False},
        {"enabled": True, "description": "d", "name": "large"}, {"flavorProfileId": NETWORK},
        ["enabled", "description", "name"], needs=["flavorprofile"],
    ),
    "zoneprofile": Case(
        "octavia:index:AvailabilityZoneProfile", {"providerName": "amphora", "availabilityZoneData": "{}"},
        {"availabilityZoneData": f'{{"valid_vip_networks": ["{NETWORK}"]}}'}, {}, ["availabilityZoneData"],
    ),
    "zone": Case(
        "octavia:index:AvailabilityZone", {"availabilityZoneProfileId": "$zoneprofile"}, {"description": "d"},
        {"name": "other", "availabilityZoneProfileId": NETWORK}, ["description"], needs=["zoneprofile"],
    ),
    "quota": Case(
        "octavia:index:Quota", {"projectId": "demo", "listener": 5}, {"listener": 6, "pool": 7}, {"projectId": "other"},
        ["listener", "pool"],
    ),
    "listener": Case(
        "octavia:index:Listener",
        {"loadbalancerId": "$lb", "protocol": "HTTP", "protocolPort": 80, "insertHeaders": {"X-Forwarded-For": "true"}},
        {"protocolPort": 81, "insertHeaders": {"X-Forwarded-For": "false", "X-Forwarded-Port": "true"}},
        {"loadbalancerId": NETWORK},
        ["protocolPort", 'insertHeaders["X-Forwarded-For"]', 'insertHeaders["X-Forwarded-Port"]'], needs=["network", "lb"],
    ),
    "pool": Case(
        "octavia:index:Pool",
        {"listenerId": "$listener", "protocol": "HTTP", "lbAlgorithm": "ROUND_ROBIN",
         "sessionPersistence": {"type": "APP_COOKIE", "cookieName": "sid"}},
        {"sessionPersistence": {"type": "APP_COOKIE", "cookieName": "other"}},
        {"listenerId": NETWORK}, ["sessionPersistence.cookieName"], needs=["network", "lb", "listener"],
    ),
    "member": Case(
        "octavia:index:Member", {"poolId": "$pool", "address": "10.0.0.1", "protocolPort": 8080, "weight": 5},
        {"weight": 7}, {"poolId": NETWORK}, ["weight"], needs=["network", "lb", "listener", "pool"],
    ),
    "certificate": Case(
        "octavia:index:TlsContainer", {"caCertificates": CA, "tags": ["a"]}, {"caCertificates": OTHER_CA}, {},
        ["caCertificates"],
    ),
    "group": Case(
        "octavia:index:AmphoraGroup", {"size": 2, "tags": ["a"]}, {"size": 3, "capacity": 7}, {}, ["size", "capacity"],
    ),
    "monitor": Case(
        "octavia:index:HealthMonitor",
        {"poolId": "$pool", "type": "HTTP", "delay": 5, "timeout": 2, "maxRetries": 2, "urlPath": "/a"},
        {"urlPath": "/b"}, {"poolId": NETWORK}, ["urlPath"], needs=["network", "lb", "listener", "pool"],
    ),
    "policy": Case(
        "octavia:index:L7Policy",
        {"listenerId": "$listener", "action": "REDIRECT_TO_URL", "redirectUrl": "http://a.example", "position": 1,
         "headerChanges": [{"operation": "SET", "name": "X-A", "value": "1", "message": "RESPONSE"}]},
        {"redirectUrl": "http://b.example", "redirectHttpCode": 308,
         "headerChanges": [{"operation": "SET", "name": "X-A", "value": "2", "message": "RESPONSE"}]},
        {"listenerId": NETWORK}, ["headerChanges[0]", "redirectHttpCode", "redirectUrl"],
        needs=["network", "lb", "listener"],
    ),
    "rule": Case(
        "octavia:index:L7Rule",
        {"l7policyId": "$policy", "type": "HEADER", "key": "X-A", "compareType": "REGEX", "value": "^a+$"},
        {"compareType": "EQUAL_TO", "invert": True}, {"l7policyId": NETWORK}, ["compareType", "invert"],
        needs=["network", "lb", "listener", "policy"],
    ),
}  # fmt: skip


def fill(inputs: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    return {n: ids[v[1:]] if isinstance(v, str) and v.startswith("$") else v for n, v in inputs.items()}


def parents(octavia: Provider, case: Case) -> dict[str, str]:
    ids: dict[str, str] = {}
    for need in case.needs:
        checked, failures = octavia.check(CASES[need].token, need, fill(CASES[need].inputs, ids))
        assert failures == {}
        ids[need], _ = octavia.create(CASES[need].token, need, checked)
    return ids


def test_every_resource_has_a_case() -> None:
    assert {case.token for case in CASES.values()} == set(HANDLERS_BY_TYPE)


@pytest.mark.parametrize("plane", ["small", "real"], indirect=True)
@pytest.mark.parametrize("name", CASES)
def test_lifecycle(octavia: Provider, plane: ControlPlane | RealPlane, name: str) -> None:
    case = CASES[name]
    ids = parents(octavia, case)
    inputs, failures = octavia.check(case.token, name, fill(case.inputs, ids))
    assert failures == {}
    assert inputs.get("name", f"{name}-0001020") == f"{name}-0001020"

    before = len(plane.requests)
    previewed_id, previewed = octavia.create(case.token, name, inputs, preview=True)
    assert previewed_id == ""
    assert previewed["provisioningStatus"] is UNKNOWN
    assert len(plane.requests) == before, "a preview calls nobody"

    id_, outputs = octavia.create(case.token, name, inputs)
    assert outputs["provisioningStatus"] == "ACTIVE"
    assert outputs["controlPlaneId"] == plane.id
    assert inputs.items() <= outputs.items()
    assert {n: v for n, v in previewed.items() if v is not UNKNOWN}.items() <= outputs.items()

    # nothing to do; nor after a refresh; nor after an import
    assert octavia.diff(case.token, name, id_, inputs, outputs, inputs).changes == pb.DiffResponse.DIFF_NONE
    read_id, fresh, fresh_inputs = octavia.read(case.token, name, id_, outputs, inputs)
    assert (read_id, fresh, fresh_inputs) == (id_, outputs, inputs)
    parent = {"member": "pool", "rule": "policy"}.get(name)
    import_id = f"{ids[parent]}/{id_}" if parent else id_
    imported_id, imported, imported_inputs = octavia.read(case.token, "imported", import_id)
    assert (imported_id, imported) == (id_, {**outputs, **({"tags": imported["tags"]} if "tags" in imported else {})})
    assert octavia.check(case.token, "imported", imported_inputs, imported_inputs) == (imported_inputs, {})
    for program in (imported_inputs, inputs):
        assert (
            octavia.diff(case.token, name, id_, imported_inputs, imported, program).changes == pb.DiffResponse.DIFF_NONE
        )

    # in place
    news = {**inputs, **case.change}
    found = octavia.diff(case.token, name, id_, inputs, outputs, news)
    assert (found.changes, list(found.replaces)) == (pb.DiffResponse.DIFF_SOME, [])
    assert sorted(found.detailedDiff) == sorted(case.paths)
    assert {path.split("[")[0].split(".")[0] for path in found.detailedDiff} == set(found.diffs)
    before = len(plane.requests)
    octavia.update(case.token, name, id_, inputs, outputs, news, preview=True)
    assert len(plane.requests) == before
    changed = octavia.update(case.token, name, id_, inputs, outputs, news)
    assert news.items() <= changed.items()
    assert octavia.diff(case.token, name, id_, news, changed, news).changes == pb.DiffResponse.DIFF_NONE

    # and back: what is taken away is back at its default
    octavia.update(case.token, name, id_, news, changed, inputs)
    assert octavia.read(case.token, name, id_, changed, inputs)[2] == inputs

    # a replacement
    found = octavia.diff(case.token, name, id_, inputs, outputs, {**inputs, **case.replace})
    assert list(found.replaces) == list(case.replace)
    unknown = dict.fromkeys(case.replace, UNKNOWN)
    assert list(octavia.diff(case.token, name, id_, inputs, outputs, {**inputs, **unknown}).replaces) == list(unknown)

    octavia.delete(case.token, name, id_, outputs)
    assert not plane.has(id_)
    octavia.delete(case.token, name, id_, outputs)
    assert octavia.read(case.token, name, id_, outputs, inputs)[0] == ""
