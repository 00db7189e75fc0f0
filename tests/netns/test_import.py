# SPDX-License-Identifier: Apache-2.0
"""What exists already comes under Pulumi's management by its id, and then there is nothing to change."""

from __future__ import annotations

import json

import pytest

from .installation import Stack, ask, make_stack, until
from .stacks import KINDS, Project, assert_no_traceback_of_ours

pytestmark = pytest.mark.timeout(240)
MONITOR = {"name": "check", "type": "TCP", "delay": 2, "timeout": 1, "max_retries": 2}


def existing(project: Project) -> tuple[Stack, dict[str, tuple[str, str]]]:
    """A load balancer that others made through the API; name in the program → (type, id to import it by)."""
    site = project.site
    site.start()
    stack = make_stack(
        site, members=0, monitor=MONITOR, listener={"timeout_client_data": 7000},
        session_persistence={"type": "SOURCE_IP"},
    )  # fmt: skip
    # not the server of the other tests: Pulumi's generator does not escape the quotes of its docstring
    command = ["python3", "-u", "-m", "http.server", "--directory", "/var/empty", "80"]
    stack.hosts.append(site.create("local_host", name="m1", network_id=stack.network["id"], command=command))
    stack.add_member(stack.hosts[0])
    until(lambda: answers(stack.url), what="an answer of the member")
    pool = stack.pool["id"]
    return stack, {
        "net": ("octavia:local:Network", stack.network["id"]),
        "machine": ("octavia:local:Host", stack.hosts[0]["id"]),
        "web": ("octavia:index:LoadBalancer", stack.load_balancer["id"]),
        "http": ("octavia:index:Listener", stack.listener["id"]),
        "servers": ("octavia:index:Pool", pool),
        "check": ("octavia:index:HealthMonitor", stack.monitor["id"]),
        "first": ("octavia:index:Member", f"{pool}/{stack.members[0]['id']}"),
    }


EVERYDAY = {
    token
    for token, kind in KINDS.items()
    if kind in ("load_balancer", "listener", "pool", "member", "health_monitor", "local_network", "local_host")
}
"""What a plain load balancer is made of; what operators set up is imported in the lifecycle tests."""


@pytest.mark.parametrize("engine", [pytest.param("pulumi", marks=pytest.mark.pulumi_cli)], indirect=True)
def test_pulumi_import_writes_code_whose_preview_shows_no_changes(project: Project) -> None:
    stack, things = existing(project)
    assert {kind for kind, _ in things.values()} == EVERYDAY
    wanted = [{"type": kind, "name": name, "id": id_} for name, (kind, id_) in things.items()]
    listed, code = project.folder / "import.json", project.folder / "imported.py"
    listed.write_text(json.dumps({"resources": wanted}))
    done = project.run(
        "import", "--file", str(listed), "--out", str(code), "--yes", "--skip-preview", "--protect=false"
    )
    assert done.ok, done.text
    project.source(code.read_text())
    project.unchanged()
    project.up_well(None, "--expect-no-changes")
    project.assert_nothing_double()
    assert answers(stack.url)


def answers(url: str) -> bool:
    """Whether the member answers (with 200 or 404, as python's server likes)."""
    return ask(url)[0] in (200, 404)


OPTIONS = """
net = octavia.local.Network("net", name="net", opts=O(import_={net!r}))
machine = octavia.local.Host(
    "machine", name="m1", network_id=net.id, command=command, opts=O(import_={machine!r})
)
web = octavia.LoadBalancer("web", name="lb", vip_network_id=net.id, opts=O(import_={web!r}))
http = octavia.Listener(
    "http", name="web", loadbalancer_id=web.id, protocol="HTTP", protocol_port=80, timeout_client_data=7000,
    opts=O(import_={http!r}),
)
servers = octavia.Pool(
    "servers", name="pool", listener_id=http.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN",
    session_persistence={{"type": "SOURCE_IP"}}, opts=O(import_={servers!r}),
)
octavia.HealthMonitor(
    "check", name="check", pool_id=servers.id, type="TCP", delay=2, timeout=1, max_retries=2,
    opts=O(import_={check!r}),
)
octavia.Member("first", name="m1", pool_id=servers.id, address=machine.address, protocol_port=80, opts=O(import_={first!r}))
"""


def test_the_import_option_takes_over_what_exists(project: Project) -> None:
    stack, things = existing(project)
    machine = stack.hosts[0]
    given = f"command = {machine['command']!r}\n"
    text = given + OPTIONS.format(**{name: id_ for name, (_, id_) in things.items()})
    done = project.up_well(text)
    assert_no_traceback_of_ours(done)
    assert {item["id"] for item in project.resources().values()} == {
        id_.rpartition("/")[2] for _, id_ in things.values()
    }
    project.unchanged()
    project.assert_nothing_double()
    assert answers(stack.url)
    assert project.destroy().ok
    assert not any(project.objects().values())
