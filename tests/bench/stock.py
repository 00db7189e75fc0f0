# SPDX-License-Identifier: Apache-2.0
"""50 members by ``up`` with ``driver: octavia``, beside Terraform's way, on an Octavia that somebody else runs.

The cloud is named by ``OPENSTACK_TEST_CLOUD`` (in clouds.yaml), the VIP's subnet by ``OPENSTACK_TEST_SUBNET`` (an Octavia whose drivers do
nothing takes any). `tests/openstack/services up … octavia` brings one up. The same tree each time: a load balancer, a listener, its pool,
a monitor and the members. ``one_by_one`` is the least that Terraform's way can take: one member a call, each waited for until the load balancer is
ACTIVE again, looking after 0 s and then each second, as its provider does; ``terraform`` is Terraform itself, where it and
terraform-provider-openstack are in the folder ``OCTAVIA_TEST_CLIENTS``. Rounds alternate, so that all meet the same load.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from octavia_provider.client import keystone
from octavia_provider.client.deadline import Deadline
from octavia_provider.client.stock.service import StockClient

from .engines import Project
from .rows import Row, at_least, median, median_ratio
from .site import folder
from .topics import NotHere, Say

MEMBERS, RUNS = 50, 3
IN_FLIGHT = 4 * (os.cpu_count() or 1)
"""Calls at once: as many as both engines make."""
TIMES = 3
"""How many times as fast as Terraform's way we want to be."""
LOOK = 1.0
"""Seconds between two looks of terraform-provider-openstack at a status (``MinTimeout``)."""
PROGRAM = """
import pulumi, pulumi_octavia as octavia
count = pulumi.Config().require_int("count")
balancer = octavia.LoadBalancer("lb", vip_subnet_id="{subnet}")
listener = octavia.Listener("web", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
pool = octavia.Pool("pool", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
octavia.HealthMonitor("monitor", pool_id=pool.id, type="TCP", delay=5, timeout=3, max_retries=3)
for n in range(count):
    octavia.Member(f"m{{n}}", pool_id=pool.id, address=f"10.77.0.{{n + 1}}", protocol_port=80)
"""
TERRAFORM = """
terraform {{ required_providers {{ openstack = {{ source = "terraform-provider-openstack/openstack" }} }} }}
provider "openstack" {{ cloud = "{cloud}" }}
resource "openstack_lb_loadbalancer_v2" "lb" {{ vip_subnet_id = "{subnet}" }}
resource "openstack_lb_listener_v2" "web" {{
  loadbalancer_id = openstack_lb_loadbalancer_v2.lb.id
  protocol = "HTTP"
  protocol_port = 80
}}
resource "openstack_lb_pool_v2" "pool" {{
  listener_id = openstack_lb_listener_v2.web.id
  protocol = "HTTP"
  lb_method = "ROUND_ROBIN"
}}
resource "openstack_lb_monitor_v2" "monitor" {{
  pool_id = openstack_lb_pool_v2.pool.id
  type = "TCP"
  delay = 5
  timeout = 3
  max_retries = 3
}}
resource "openstack_lb_member_v2" "m" {{
  count = {count}
  pool_id = openstack_lb_pool_v2.pool.id
  address = "10.77.0.${{count.index + 1}}"
  protocol_port = 80
}}
"""


def measure(say: Say) -> Iterator[Row]:
    """Seconds of each way, and the ratios."""
    cloud = os.environ.get("OPENSTACK_TEST_CLOUD")
    if not cloud:
        raise NotHere(
            "needs an Octavia: name its cloud in OPENSTACK_TEST_CLOUD (tests/openstack/services brings one up)"
        )
    os.environ |= {"OS_CLOUD": cloud, "OCTAVIA_DRIVER": "octavia"}
    ways: dict[str, Callable[[], tuple[float, float]]] = {"one_by_one": lambda: one_by_one(cloud)}
    ways["driver"] = lambda: by_driver(cloud)
    ways |= {engine: lambda engine=engine: by_engine(engine) for engine in _engines()}  # type: ignore[misc]
    if clients := os.environ.get("OCTAVIA_TEST_CLIENTS"):
        ways["terraform"] = lambda: by_terraform(cloud, Path(clients))
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(RUNS):
        for name, run in ways.items():
            say(f"{name}, round {turn + 1} of {RUNS}")
            taken[name].append(run())
    for name, found in taken.items():
        yield Row(f"stock.{name}", median(up for up, _ in found), "s", None, RUNS, f"{MEMBERS} members, from nothing")
        yield Row(f"stock.{name}.destroy", median(down for _, down in found), "s", None, RUNS)
    for engine in ("driver", *_engines()):
        for theirs in ("one_by_one", "terraform"):
            if theirs in taken:
                pairs = [(his[0], ours[0]) for his, ours in zip(taken[theirs], taken[engine], strict=True)]
                yield Row(f"stock.{engine}_beside_{theirs}", median_ratio(pairs), "×", at_least(TIMES), RUNS)


def _engines() -> list[str]:
    return ["embedded", *(["pulumi"] if shutil.which("pulumi") else [])]


def _subnet() -> str:
    return os.environ.get("OPENSTACK_TEST_SUBNET") or str(uuid.uuid4())


def by_engine(engine: str) -> tuple[float, float]:
    """Seconds of ``up`` and ``destroy``."""
    with folder() as base:
        project = Project(base, engine, empty=False)
        project.make(MEMBERS, PROGRAM.format(subnet=_subnet()))
        up = project.up()
        return up, project.run(
            "destroy", "--stack", "dev", "--yes", *(["--skip-preview"] if engine == "pulumi" else [])
        )


def by_driver(cloud: str) -> tuple[float, float]:
    """The same without an engine: calls as it makes them, so many in flight."""
    client, forever = StockClient(keystone.login({"cloud": cloud}), None), Deadline(3600)
    began = time.monotonic()

    def make(kind: str, parent: str | None = None, **given: Any) -> str:
        return client.create(kind, given, deadline=forever, parent=parent).id

    balancer = make("load_balancer", vip_subnet_id=_subnet())
    listener = make("listener", loadbalancer_id=balancer, protocol="HTTP", protocol_port=80)
    pool = make("pool", listener_id=listener, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    monitor = make("health_monitor", pool_id=pool, type="TCP", delay=5, timeout=3, max_retries=3)
    with ThreadPoolExecutor(IN_FLIGHT) as calls:
        members = list(
            calls.map(lambda n: make("member", pool, address=f"10.77.0.{n + 1}", protocol_port=80), range(MEMBERS))
        )
        made = time.monotonic() - began
        list(calls.map(lambda one: client.delete("member", one, parent=pool, deadline=forever), members))
    for kind, one in (("health_monitor", monitor), ("pool", pool), ("listener", listener), ("load_balancer", balancer)):
        client.delete(kind, one, deadline=forever)
    down = time.monotonic() - began - made
    client.close()
    return made, down


def by_terraform(cloud: str, programs: Path) -> tuple[float, float]:
    """Seconds of ``apply`` and ``destroy``."""
    with folder() as base:
        (base / "main.tf").write_text(TERRAFORM.format(cloud=cloud, subnet=_subnet(), count=MEMBERS))
        source = "terraform-provider-openstack/openstack"
        (base / "settings").write_text(
            f'provider_installation {{\n  dev_overrides {{ "{source}" = "{programs}" }}\n  direct {{}}\n}}\n'
        )
        environment = os.environ | {"TF_CLI_CONFIG_FILE": str(base / "settings"), "CHECKPOINT_DISABLE": "1"}

        def run(*words: str) -> float:
            began = time.monotonic()
            done = subprocess.run(
                [programs / "terraform", *words], cwd=base, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
            return time.monotonic() - began

        return run("apply", "-auto-approve"), run("destroy", "-auto-approve")


def one_by_one(cloud: str) -> tuple[float, float]:
    """Seconds to make all by plain calls, and to delete them."""
    client = StockClient(keystone.login({"cloud": cloud}), None)
    plain = _Plain(client)
    began = time.monotonic()
    balancer = plain.make("loadbalancers", "loadbalancer", vip_subnet_id=_subnet())
    plain.balancer = balancer
    plain.wait()
    listener = plain.make("listeners", "listener", loadbalancer_id=balancer, protocol="HTTP", protocol_port=80)
    plain.wait()
    pool = plain.make("pools", "pool", listener_id=listener, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    plain.wait()
    plain.make("healthmonitors", "healthmonitor", pool_id=pool, type="TCP", delay=5, timeout=3, max_retries=3)
    plain.wait()
    members = []
    for number in range(MEMBERS):
        members.append(plain.make(f"pools/{pool}/members", "member", address=f"10.77.0.{number + 1}", protocol_port=80))
        plain.wait()
    made = time.monotonic() - began
    for path in [*(f"pools/{pool}/members/{one}" for one in members), f"pools/{pool}", f"listeners/{listener}"]:
        plain.call("DELETE", path)
        plain.wait()
    plain.call("DELETE", f"loadbalancers/{balancer}")
    down = time.monotonic() - began - made
    client.close()
    return made, down


class _Plain:
    """Calls one after the other, and a wait after each."""

    def __init__(self, client: StockClient) -> None:
        self._client, self.balancer = client, ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return self._client.request(method, f"/v2/lbaas/{path}", deadline=Deadline(60), json=body)

    def make(self, path: str, key: str, **values: Any) -> str:
        return str(self.call("POST", path, {key: values}).json()[key]["id"])

    def wait(self) -> None:
        while self._look()["provisioning_status"] != "ACTIVE":
            time.sleep(LOOK)

    def _look(self) -> Any:
        return self.call("GET", f"loadbalancers/{self.balancer}").json()["loadbalancer"]
