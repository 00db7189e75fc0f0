# SPDX-License-Identifier: Apache-2.0
"""``driver: octavia`` against Octavia itself, whose drivers do nothing: every kind is made, read, imported, changed and deleted.

Run by ``make test-octavia``, or with OPENSTACK_TEST_OCTAVIA, a cloud in clouds.yaml whose user may set up flavors and quotas.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.engines import Project
from octavia_provider.client import keystone
from octavia_provider.client.deadline import Deadline
from octavia_provider.client.stock.service import StockClient
from octavia_provider.model import stock
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import attributes, inputs
from octavia_provider.plugin import values
from provider_process import Provider, provider

pytestmark = pytest.mark.timeout(900)
UNCHANGED = 1  # DIFF_NONE
TYPES = """
import json
from wsme import types as wsme

from octavia.api.v2.types import (availability_zone_profile, availability_zones, flavor_profile, flavors, health_monitor, l7policy, l7rule,
                                  listener, load_balancer, member, pool, quotas)
kinds = {"load_balancer": (load_balancer, "LoadBalancer"), "listener": (listener, "Listener"), "pool": (pool, "Pool"),
         "member": (member, "Member"), "health_monitor": (health_monitor, "HealthMonitor"), "l7_policy": (l7policy, "L7Policy"),
         "l7_rule": (l7rule, "L7Rule"), "flavor": (flavors, "Flavor"), "flavor_profile": (flavor_profile, "FlavorProfile"),
         "availability_zone": (availability_zones, "AvailabilityZone"),
         "availability_zone_profile": (availability_zone_profile, "AvailabilityZoneProfile"), "quota": (quotas, "Quota")}
print(json.dumps({kind: {verb: [one.name for one in wsme.list_attributes(getattr(module, name + verb, None) or getattr(module, name + "PUT"))]
                         for verb in ("POST", "PUT")} for kind, (module, name) in kinds.items()}))
"""
IN_THE_URL = {"member": {"pool_id"}, "l7_rule": {"l7policy_id", "name"}, "quota": {"project_id"}}
"""What is not in a body: the parent; and the name of an L7 rule is in its tags."""


def _token(name: str) -> str:
    return f"octavia:index:{name}"


@pytest.fixture(scope="module")
def cloud() -> str:
    return os.environ["OPENSTACK_TEST_OCTAVIA"]


@pytest.fixture(scope="module")
def octavia(cloud: str) -> Iterator[Provider]:
    with provider() as running:
        running.configure(driver="octavia", cloud=cloud)
        yield running


class Stack:
    """Resources as the engine keeps them. Each is read again after each write, and imported once: nothing may differ."""

    def __init__(self, octavia: Provider) -> None:
        self._octavia = octavia
        self.made: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {}

    def make(self, kind: str, name: str, /, **given: Any) -> str:
        checked, failures = self._octavia.check(_token(kind), name, given, randomSeed=os.urandom(32))
        assert not failures
        id_, outputs = self._octavia.create(_token(kind), name, checked)
        self.made[name] = (kind, id_, checked, outputs)
        self._same(name)
        self._imported(name)
        return id_

    def change(self, name: str, /, **given: Any) -> dict[str, Any]:
        """None takes an input away."""
        kind, id_, before, outputs = self.made[name]
        news = {key: value for key, value in {**before, **given}.items() if value is not None}
        checked, failures = self._octavia.check(_token(kind), name, news, before)
        assert not failures
        assert not [*self._octavia.diff(_token(kind), name, id_, before, outputs, checked).replaces]
        shown = self._octavia.update(_token(kind), name, id_, before, outputs, checked)
        self.made[name] = (kind, id_, checked, shown)
        self._same(name)
        return shown

    def replaces(self, name: str, /, **given: Any) -> list[str]:
        kind, id_, before, outputs = self.made[name]
        return [*self._octavia.diff(_token(kind), name, id_, before, outputs, {**before, **given}).replaces]

    def destroy(self) -> None:
        for name, (kind, id_, given, outputs) in reversed(self.made.items()):
            self._octavia.delete(_token(kind), name, id_, outputs)
            if kind != "Quota":
                assert not self._octavia.read(_token(kind), name, id_, outputs, given)[0], name

    def _same(self, name: str) -> None:
        kind, id_, given, outputs = self.made[name]
        _, shown, found = self._octavia.read(_token(kind), name, id_, outputs, given)
        assert found == given
        assert values.plain(shown) == values.plain(outputs)

    def _imported(self, name: str) -> None:
        kind, id_, given, _ = self.made[name]
        parent = {"Member": "poolId", "L7Rule": "l7policyId"}.get(kind)
        imported, outputs, found = self._octavia.read(_token(kind), name, f"{given[parent]}/{id_}" if parent else id_)
        checked, failures = self._octavia.check(_token(kind), name, found, found)
        assert not failures
        assert self._octavia.diff(_token(kind), name, imported, found, outputs, checked).changes == UNCHANGED


def test_every_kind_is_made_read_imported_changed_and_deleted(octavia: Provider) -> None:
    stack, network, mark = Stack(octavia), str(uuid.uuid4()), uuid.uuid4().hex[:8]
    lb = stack.make(
        "LoadBalancer", "lb", vipSubnetId=network, tags=["b", "a"], additionalVips=[{"subnetId": str(uuid.uuid4())}]
    )
    web = stack.make(
        "Listener", "web", loadbalancerId=lb, protocol="HTTP", protocolPort=80, allowedCidrs=["10.0.0.0/8"],
        insertHeaders={"X-Forwarded-For": "true"},
    )  # fmt: skip
    pool = stack.make(
        "Pool", "pool", listenerId=web, protocol="HTTP", lbAlgorithm="ROUND_ROBIN",
        sessionPersistence={"type": "APP_COOKIE", "cookieName": "x"},
    )  # fmt: skip
    other = stack.make("Pool", "other", loadbalancerId=lb, protocol="HTTP", lbAlgorithm="ROUND_ROBIN", tlsEnabled=True)
    stack.make("HealthMonitor", "hm", poolId=pool, type="HTTP", delay=5, timeout=2, maxRetries=2)
    stack.make("Member", "m", poolId=pool, address="10.0.0.1", protocolPort=80, tags=["x"])
    stack.make("Member", "m6", poolId=pool, address="2001:db8:0::1", protocolPort=80)
    policy = stack.make("L7Policy", "policy", listenerId=web, action="REDIRECT_TO_POOL", redirectPoolId=other)
    stack.make("L7Rule", "rule", l7policyId=policy, type="PATH", compareType="STARTS_WITH", value="/api")
    profile = stack.make(
        "FlavorProfile", "fp", providerName="amphora", flavorData='{"loadbalancer_topology": "SINGLE"}'
    )
    stack.make("Flavor", "flavor", name=f"flavor-{mark}", flavorProfileId=profile)
    zones = stack.make(
        "AvailabilityZoneProfile", "zp", providerName="amphora", availabilityZoneData='{"compute_zone": "nova"}'
    )
    stack.make("AvailabilityZone", "zone", name=f"zone-{mark}", availabilityZoneProfileId=zones)
    stack.make("Quota", "quota", pool=50)

    assert stack.change("lb", description="d", tags=["c"])["tags"] == ["c"]
    stack.change("web", allowedCidrs=None, connectionLimit=100)
    assert stack.change("web", connectionLimit=None)["connectionLimit"] == -1
    assert stack.change("pool", sessionPersistence=None, tags=["t"], lbAlgorithm="SOURCE_IP")["listenerId"] == web
    stack.change("hm", urlPath="/health")
    stack.change("hm", urlPath=None)
    stack.change("m", weight=5, tags=["y"])
    assert stack.change("m", weight=None, tags=None)["weight"] == 1
    stack.change("rule", name="other", value="/x")
    assert stack.change("rule", tags=["x"])["name"] == "other"
    stack.change("quota", pool=None, member=7)
    stack.change("flavor", enabled=False)
    assert stack.replaces("web", protocolPort=81) == ["protocolPort"]
    assert stack.replaces("m", address="10.0.0.9") == ["address"]
    assert stack.replaces("hm", type="TCP") == ["type"]
    stack.destroy()


def test_members_that_are_made_at_once_go_in_few_calls(cloud: str) -> None:
    client = StockClient(keystone.login({"cloud": cloud}), None)
    soon = Deadline(600)
    lb = client.create("load_balancer", {"vip_subnet_id": str(uuid.uuid4())}, deadline=soon).id
    web = client.create("listener", {"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80}, deadline=soon).id
    kept = {"listener_id": web, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    pool = client.create("pool", kept, deadline=soon).id
    calls: list[str] = []
    send = client.request

    def counted(method: str, path: str, **more: Any) -> Any:
        if method in {"POST", "PUT"}:
            calls.append(path)
        return send(method, path, **more)

    client.request = counted  # type: ignore[method-assign]

    def make(number: int) -> str:
        member = {"address": f"10.0.0.{number}", "protocol_port": 80, "weight": number}
        return client.create("member", member, deadline=soon, parent=pool).status

    with ThreadPoolExecutor(16) as engine:
        assert set(engine.map(make, range(1, 33))) == {"ACTIVE"}
    assert len(calls) <= 16, calls
    shown = list(client.list("member", deadline=soon, parent=pool))
    assert {one["address"]: one["weight"] for one in shown} == {f"10.0.0.{n}": n for n in range(1, 33)}
    client.request = send  # type: ignore[method-assign]
    for kind, id_ in (("pool", pool), ("listener", web), ("load_balancer", lb)):
        client.delete(kind, id_, deadline=soon)
    client.close()


@pytest.mark.skipif("OPENSTACK_TEST_SERVICES" not in os.environ, reason="Octavia's types are where it is installed")
def test_the_table_of_what_octavia_lacks_is_whole() -> None:
    """By Octavia's own types: what of the model it takes in a POST, and in a PUT."""
    run = [os.environ["OPENSTACK_TEST_SERVICES"], "-c", TYPES]
    types = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert {*types} | {*stock.KINDS} == {*KINDS}
    for kind, takes in types.items():
        known = {name for name in inputs(KINDS[kind]) if name not in IN_THE_URL.get(kind, ())}
        lacking = {path for path in stock.LACKING.get(kind, {}) if "." not in path}
        assert known - {*takes["POST"]} == lacking, kind
        fixed = {name for name in known - lacking - {*takes["PUT"]} if not attributes(KINDS[kind])[name].replaces}
        assert fixed == {*stock.fixed(kind)}, kind


PROGRAM = """
import pulumi, pulumi_octavia as octavia
count = pulumi.Config().require_int("count")
balancer = octavia.LoadBalancer("lb", vip_subnet_id="{subnet}")
listener = octavia.Listener("web", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("pool", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
for n in range(count):
    octavia.Member(f"m{{n}}", pool_id=pool.id, address=f"10.77.0.{{n + 1}}", protocol_port=80)
"""


@pytest.mark.parametrize("engine", ["embedded", "pulumi"])
def test_a_program_is_brought_about_refreshed_and_destroyed(
    engine: str, cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "pulumi" and shutil.which("pulumi") is None:
        pytest.skip("the pulumi CLI is not on PATH")
    monkeypatch.setenv("OS_CLOUD", cloud)
    monkeypatch.setenv("OCTAVIA_DRIVER", "octavia")
    project = Project(tmp_path, engine, empty=False)
    project.make(5, PROGRAM.format(subnet=uuid.uuid4()))
    project.up()
    project.run("preview", "--stack", "dev", "--expect-no-changes")
    project.run("refresh", "--stack", "dev", "--yes", "--expect-no-changes")
    project.run("destroy", "--stack", "dev", "--yes")
