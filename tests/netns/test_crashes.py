# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any process at any moment of an `up`: the next one converges, nothing is double, nothing is orphaned."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from .installation import Installation, ask, shared_by, until
from .relay import Relay
from .stacks import WEB, Outcome, Project, assert_no_traceback_of_ours, ended, kill

pytestmark = pytest.mark.timeout(180)
ROUNDS = {"embedded": 3, "pulumi": 2}
MEMBERS = """
for name in {names}:
    machine = host(name, network)
    octavia.Member(name, pool_id=pool.id, address=machine.address, protocol_port=80, weight={weight})
"""
# What each round asks for; each differs from the one before in hosts, members, weights, and a replaced listener.
PROGRAMS = [
    WEB + MEMBERS.format(names=["m1", "m2"], weight=1),
    WEB.replace("ROUND_ROBIN", "LEAST_CONNECTIONS") + MEMBERS.format(names=["m1", "m3", "m4"], weight=3),
    WEB.replace('"http"', '"http", timeout_client_data=7000') + MEMBERS.format(names=["m2", "m4"], weight=2),
]  # fmt: skip
NAMES = [{"m1", "m2"}, {"m1", "m3", "m4"}, {"m2", "m4"}]


# ── at random moments ────────────────────────────────────────────────────────────────────────────────────────────────
def control_plane(project: Project) -> list[int]:
    return project.mine("octavia_provider.cli.main\0serve")


VICTIMS: dict[str, Callable[[Project], list[int]]] = {
    "control plane": control_plane,
    "plugin": Project.plugins,
    "agent": Project.agents,
}


def kill_one(project: Project, victims: Callable[[Project], list[int]], running: subprocess.Popen[str]) -> bool:
    """SIGKILL one of them, once there is one; False where the command has ended before."""
    found = until(lambda: victims(project) or running.poll() is not None, what="a process to kill")
    if found is True:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(found), signal.SIGKILL)
        return True
    return False


def at_a_random_moment(running: subprocess.Popen[str], longest: float) -> float:
    """Wait for a random part of the time that an up takes; it may have ended by then."""
    moment = random.uniform(0.0, longest)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(moment)
    return moment


def converge(project: Project) -> list[Outcome]:
    """``up`` until it succeeds, twice at most: the outcomes."""
    outcomes = [project.up()]
    if not outcomes[0].ok:
        outcomes.append(project.up())
    assert outcomes[-1].ok, "\n--- and again:\n".join(outcome.text for outcome in outcomes)
    return outcomes


def assert_converged(project: Project, names: set[str]) -> None:
    project.unchanged()
    project.assert_nothing_double()
    url = project.outputs()["url"]
    until(lambda: shared_by(url, names, 2 * len(names) + 4), what=f"answers of {names}")


@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_9_at_random_moments_of_up(project: Project, victim: str) -> None:
    longest = 2.0 if project.engine == "embedded" else 3.0
    kills = 0
    for number in range(ROUNDS[project.engine]):
        project.program(PROGRAMS[number])
        running = project.begin_up()
        moment = at_a_random_moment(running, longest)
        killed = kill_one(project, VICTIMS[victim], running)
        kills += killed
        outcome = ended(running)
        print(f"round {number}: {victim} killed={killed} after {moment:.2f} s; up ended with {outcome.code}")
        if not outcome.ok:
            print(outcome.text)
        assert_no_traceback_of_ours(outcome)
        again = converge(project)
        print(f"round {number}: converged after {len(again)}")
        assert_converged(project, NAMES[number])
    assert kills, "every up ended before its moment came: nothing was shown"


@pytest.mark.parametrize("engine", ["embedded"])
def test_kill_9_of_the_engine_at_random_moments_of_up(project: Project) -> None:
    for number in range(ROUNDS["embedded"]):
        project.program(PROGRAMS[number])
        running = project.begin_up()
        moment = at_a_random_moment(running, 2.0)
        kill(running)
        ended(running)
        print(f"round {number}: the engine killed after {moment:.2f} s")
        until(lambda: not project.mine("__main__.py"), what="the program to end without its engine")
        converge(project)
        assert_converged(project, NAMES[number])
    until(lambda: not project.plugins(), what="plugins of killed engines to end")


# ── between the API's answer and the plugin's ────────────────────────────────────────────────────────────────────────
@pytest.fixture
def relay(project: Project) -> Iterator[Relay]:
    """Everything goes through the relay, which stands where the control plane is looked for."""
    site = Installation(project.home)
    site.start()
    with Relay(project.home / "api.sock") as made:
        project.environment["OCTAVIA_ENDPOINT"] = made.url
        yield made
    site.stop()


def kill_plugins(project: Project) -> Callable[[bytes], None]:
    def do(_: bytes) -> None:
        for pid in project.plugins():
            os.kill(pid, signal.SIGKILL)

    return do


CREATES = {  # in the order of their dependencies
    "local_network": r"/v2/local/networks",
    "load_balancer": r"/v2/lbaas/loadbalancers",
    "listener": r"/v2/lbaas/listeners",
    "pool": r"/v2/lbaas/pools",
    "member": r"/v2/lbaas/pools/[^/]+/members",
}


def test_the_plugin_dies_between_the_apis_answer_and_its_own__in_a_create(project: Project, relay: Relay) -> None:
    """Of one kind after the other, in one stack that grows until it is whole."""
    project.program(PROGRAMS[0])
    for kind, path in CREATES.items():
        relay.instead("POST", path, kill_plugins(project))
        done = project.up()
        assert not done.ok, f"the plugin was killed in the create of the {kind}\n{done.text}"
        assert_no_traceback_of_ours(done)
    converge(project)
    made = [next(iter(json.loads(answer).values()))["id"] for answer in relay.kept_back]
    assert len(made) == len(CREATES)
    assert set(made) <= {resource["id"] for resource in project.resources().values()}  # each was taken up
    assert_converged(project, NAMES[0])


def test_the_plugin_dies_between_the_apis_answer_and_its_own__in_a_replacement(project: Project, relay: Relay) -> None:
    """The new listener is made before the old one is deleted; the leftover is taken up once, the old one goes."""
    text = """
network = octavia.local.Network("net")
first = octavia.LoadBalancer("first", vip_network_id=network.id)
second = octavia.LoadBalancer("second", vip_network_id=network.id)
listener = octavia.Listener("http", loadbalancer_id=first.id, protocol="HTTP", protocol_port=80)
pulumi.export("url", listener.url)
"""
    project.up_well(text)
    old = project.resources()["listener/http"]["id"]
    relay.instead("POST", CREATES["listener"], kill_plugins(project))
    text = text.replace("loadbalancer_id=first.id", "loadbalancer_id=second.id")
    done = project.up(text)
    assert not done.ok, done.text
    new = json.loads(relay.kept_back[0])["listener"]["id"]
    there = {item["id"] for item in project.objects()["listener"]}
    assert there == {old, new}

    converge(project)
    assert project.resources()["listener/http"]["id"] == new
    assert [item["id"] for item in project.objects()["listener"]] == [new]
    project.unchanged()
    project.assert_nothing_double()
    status, _ = ask(project.outputs()["url"])
    assert status == 503  # it listens, and has no pool


@pytest.mark.parametrize("engine", ["embedded"])
@pytest.mark.parametrize("kind", ["local_network", "listener", "member"])
def test_the_engine_is_killed_in_a_create__then_destroy_leaves_nothing(
    project: Project, relay: Relay, kind: str
) -> None:
    """What was made, and no state speaks of, is taken up and deleted."""
    project.program(PROGRAMS[0])
    started: list[subprocess.Popen[str]] = []
    relay.instead("POST", CREATES[kind], lambda _: kill(started[0]))
    started.append(project.begin_up())
    ended(started[0])
    made = next(iter(json.loads(relay.kept_back[0]).values()))["id"]
    assert made in {item["id"] for items in project.objects().values() for item in items}
    done = project.destroy()
    assert done.ok, done.text
    assert "an earlier run was interrupted while creating it" in done.text
    assert not any(project.objects().values()), done.text
    assert project.run("stack", "rm", "dev", "--yes", stack=False).ok
