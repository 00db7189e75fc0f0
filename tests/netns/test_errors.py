# SPDX-License-Identifier: Apache-2.0
"""What goes wrong reaches the user as the failure of the right resource and property, and leaves all else alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import across
from octavia_provider.model.errors import spell

from .installation import ask, until
from .stacks import WEB, Outcome, Project, assert_no_traceback_of_ours, ended

pytestmark = pytest.mark.timeout(240)
BASE = (
    WEB
    + """
octavia.HealthMonitor("check", pool_id=pool.id, type="TCP", delay=2, timeout=1, max_retries=2)
octavia.Member("m1", pool_id=pool.id, address="10.66.0.10", protocol_port=80)
"""
)
# What the cloud refuses: name → the addition, and the property at which it fails.
CLOUD = {
    "lost": ('octavia.LoadBalancer("lost", vip_network_id="5e3ba1aa-5f3c-4f5a-9c5b-1c1d3c7c9e11")', "vip_network_id"),
    "late": ('octavia.LoadBalancer("late", vip_network_id=full.id)', "vip_address"),
}
# Its change fails alone: pulumi leaves unknown inputs out of a Check in an update, so the child of its child is told that
# it lacks its parent, which ends the program before all is asked for.
GRANDPARENT = "ended"
FULL = """
full = octavia.local.Network("full", cidr="10.78.0.0/29")
for n in range(5):
    octavia.local.Host(f"h{n}", network_id=full.id, address=f"10.78.0.{n + 2}", forward_port=9)
"""


def told_of(done: Outcome, kind: str, name: str) -> str:
    """The lines that speak of one resource's error, on one line."""
    lines = done.text.splitlines()
    if f"{kind} ({name}):" in done.text:  # the CLI: a heading, then its lines
        start = next(i for i, line in enumerate(lines) if f"{kind} ({name}):" in line)
        rest = iter(lines[start + 1 :])
        return " ".join(line.strip() for line in iter(lambda: next(rest, ""), "") if line.strip())
    return " ".join(line for line in lines if f"{kind} {name}: " in line and line.startswith("error"))


def test_rules_across_objects_fail_the_right_resource_and_touch_nothing(project: Project) -> None:
    base = across.program() + FULL
    project.up_well(base)
    before, objects = identities(project), ids(project)
    cloud = "\n".join(addition for addition, _ in CLOUD.values())
    rows = [row for row in across.ROWS if row.by_program and row.name != GRANDPARENT]
    done = assert_refused(project, rows, FULL + cloud)
    for name, (_, path) in CLOUD.items():
        assert f"{path}: " in told_of(done, "LoadBalancer", name), f"{name}: {done.text}"
    assert_refused(project, [row for row in across.ROWS if row.name == GRANDPARENT], FULL)
    assert ids(project) == objects
    assert identities(project) == before
    project.program(base)
    project.unchanged()
    project.assert_nothing_double()


def assert_refused(project: Project, rows: list[across.Row], more: str) -> Outcome:
    """An ``up`` with these rows fails, each at its resource and property."""
    go_on = ["--continue-on-error"] if project.engine == "pulumi" else []  # the embedded engine always does
    done = project.up(across.program(rows) + more, *go_on)
    assert not done.ok, done.text
    assert_no_traceback_of_ours(done)
    for row in rows:
        told = told_of(done, across.CLASSES[row.kind], row.name)
        assert row.says in told, f"{row}: {told}\n{done.text}"
        assert not row.at or f"{spell(row.at)}: " in told, f"{row}: {told}"
    return done


def identities(project: Project) -> dict[str, str]:
    """The id of each resource of the state. (All of it cannot be compared: pulumi encrypts secrets anew each time.)"""
    return {name: resource["id"] for name, resource in project.resources().items()}


def ids(project: Project) -> dict[str, set[str]]:
    return {kind: {item["id"] for item in items} for kind, items in project.objects().items()}


BAD = [
    (
        'octavia.Member("bad", pool_id=pool.id, address="nowhere", protocol_port=70000, weight=257)',
        "Member", "bad", ("address", "protocol_port", "weight"),
    ),
    (
        'octavia.HealthMonitor("worse", pool_id=pool.id, type="HTTP", delay=1, timeout=0, max_retries=11, http_method="GO")',
        "HealthMonitor", "worse", ("timeout", "max_retries", "http_method"),
    ),
]  # fmt: skip


def test_bad_input_fails_in_the_preview_all_at_once_and_nothing_is_started(project: Project) -> None:
    for addition, kind, name, paths in BAD:
        project.program(WEB + addition)
        done = project.preview()
        assert not done.ok
        assert_no_traceback_of_ours(done)
        for path in paths:
            assert f"{path}: " in told_of(done, kind, name), f"{name}.{path}: {done.text}"
        assert not project.run("up", "--yes").ok  # previews first, and leaves it at that
        assert not project.started_anything()

    project.program(BASE)
    good = project.preview()
    assert good.ok, good.text
    assert not project.started_anything()
    until(lambda: not project.plugins(), what="the plugin to end with its engine")


def test_an_occupied_port_is_kept_as_an_init_error__the_next_up_repairs_it(project: Project) -> None:
    text = WEB + 'pulumi.export("published", balancer.published_address)\n'
    project.up_well(text)
    address = project.outputs()["published"]
    text += """
second = octavia.Listener("second", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=8081)
pulumi.export("second", second.url)
"""
    with occupied(address, 8081):
        done = project.up(text)
        assert not done.ok, done.text
        assert f"{address}:8081" in told_of(done, "Listener", "second"), done.text
        kept = project.resources()["listener/second"]
        assert any(f"{address}:8081" in reason for reason in kept["initErrors"]), kept
        assert ask(f"http://{address}:80")[0] == 503  # the first listener goes on; its pool is empty
    project.program(text)
    assert {name: step["op"] for name, step in project.changes().items()} == {"second": "update"}
    project.up_well()
    repaired = project.resources()["listener/second"]
    assert repaired["id"] == kept["id"]
    assert not repaired.get("initErrors")
    assert ask(project.outputs()["second"])[0] == 503  # it listens, and has no pool
    project.unchanged()
    project.assert_nothing_double()


@contextlib.contextmanager
def occupied(address: str, port: int) -> Iterator[None]:
    """Somebody else listens there."""
    with socket.create_server((address, port)):
        yield


@contextlib.contextmanager
def frozen_agent(project: Project) -> Iterator[None]:
    """The agent does not answer: what is in force cannot change. It is not replaced, see ``PATIENT``."""
    (agent,) = project.agents()
    os.kill(agent, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(agent, signal.SIGCONT)


PATIENT = {"OCTAVIA_HEARTBEAT_TIMEOUT": "600"}
"""To a control plane that is not, an amphora that is silent for as long as these tests last under load is lost."""
SECOND = """
octavia.Listener("second", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=82, opts=O({options}))
"""


def test_a_custom_timeout_ends_the_wait_and_keeps_the_object(project: Project) -> None:
    project.environment.update(PATIENT)
    project.up_well(WEB)
    text = WEB + SECOND.format(options='custom_timeouts=pulumi.CustomTimeouts(create="1s")')
    with frozen_agent(project):
        done = project.up(text)
        assert not done.ok, done.text
        assert "gave up after 1 s" in told_of(done, "Listener", "second"), done.text
        kept = project.resources()["listener/second"]
        assert kept["initErrors"]
    assert_resumed(project, text, kept)


def test_ctrl_c_leaves_a_state_from_which_the_next_up_goes_on(project: Project) -> None:
    project.environment.update(PATIENT)
    project.up_well(WEB)
    text = WEB + SECOND.format(options="")
    project.program(text)
    with frozen_agent(project):
        running = project.begin_up()
        until(lambda: len(project.objects()["listener"]) == 2, what="the listener to be made")
        running.send_signal(signal.SIGINT)
        done = ended(running)
        assert not done.ok, done.text
        assert_no_traceback_of_ours(done)
        kept = project.resources()["listener/second"]
        assert any("cancelled" in reason for reason in kept["initErrors"]), kept
    assert_resumed(project, text, kept)


def assert_resumed(project: Project, text: str, kept: dict[str, Any]) -> None:
    """The next up goes on with the same object."""
    project.up_well(text)
    repaired = project.resources()["listener/second"]
    assert repaired["id"] == kept["id"]
    assert not repaired.get("initErrors")
    project.unchanged()
    project.assert_nothing_double()
