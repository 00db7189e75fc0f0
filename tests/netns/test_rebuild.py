# SPDX-License-Identifier: Apache-2.0
"""What dies comes back, what lives is adopted, and what is no longer wanted leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octavia_provider.client import events
from octavia_provider.client.deadline import Deadline

from .installation import Installation, Load, Stack, answers, make_stack, shares, until

MONITOR = {"type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
LONG = 60.0


def kill(pid: int) -> None:
    """SIGKILL a process of the cloud; return when it is gone."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        until(lambda: _ended(process), what=f"process {pid} to end")
    finally:
        os.close(process)


def _ended(process: int) -> bool:
    try:
        signal.pidfd_send_signal(process, 0)
    except ProcessLookupError:
        return True
    pid = next(
        line for line in Path(f"/proc/self/fdinfo/{process}").read_text().splitlines() if line.startswith("Pid:")
    )
    return not _lives(int(pid.split()[1]))


def well(stack: Stack) -> bool:
    """Whether everything is ACTIVE and ONLINE."""
    site = stack.site
    seen = [
        site.get("load_balancer", stack.load_balancer["id"]), site.get("listener", stack.listener["id"]),
        site.get("pool", stack.pool["id"]), *(stack.member(member["name"]) for member in stack.members),
    ]  # fmt: skip
    return all((one["provisioning_status"], one["operating_status"]) == ("ACTIVE", "ONLINE") for one in seen)


def serves(stack: Stack) -> bool:
    """Whether every member answers at the published URL."""
    return answers(stack) == {member["name"] for member in stack.members}


def changes_apply(stack: Stack) -> None:
    """The next changes go as if nothing had been: one at run time, one by a reload."""
    stack.change_member("m1", weight=2)
    stack.change("listener", stack.listener["id"], timeout_client_data=39_000)
    assert sum(shares(stack.url, 20).values()) == 20


def test_kill_9_of_the_control_plane__traffic_flows__its_successor_adopts_everything(site: Installation) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)
    until(lambda: well(stack), what="everything to be ONLINE")
    agent, masters, workers = site.agent(), site.masters(), site.workers()
    with Load(stack.url) as load:
        site.kill()
        load.more(200)
        site.start()
        until(lambda: well(stack), what="everything to be ONLINE again")
        stack.change_member("m1", weight=2)
        load.more(100)
    assert not load.failures
    assert (site.agent(), site.masters(), site.workers()) == (agent, masters, workers)
    changes_apply(stack)


def test_kill_9_of_the_agent__haproxy_is_adopted__no_request_fails(site: Installation) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)
    until(lambda: well(stack), what="everything to be ONLINE")
    agent, workers = site.agent(), site.workers()
    with Load(stack.url) as load:
        kill(agent)
        changed = stack.change_member("m1", weight=2)
        load.more(100)
    assert not load.failures
    assert changed["provisioning_status"] == "ACTIVE"
    assert site.agent() != agent
    assert site.workers() == workers
    changes_apply(stack)
    until(lambda: well(stack), what="everything to be ONLINE again")


@pytest.mark.parametrize("whose", ["masters", "workers"])
def test_kill_9_of_haproxy__it_comes_back(site: Installation, whose: str) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)
    before: list[int] = getattr(site, whose)()
    for pid in before:
        kill(pid)
    until(lambda: serves(stack) and getattr(site, whose)() not in ([], before), what="haproxy to serve again")
    changes_apply(stack)
    until(lambda: well(stack), what="everything to be ONLINE again")


def kill_holder(site: Installation) -> None:
    kill(site.holder)


def kill_holder_while_the_control_plane_is_away(site: Installation) -> None:
    site.kill()
    kill(site.holder)
    site.start()


@pytest.mark.parametrize("disaster", [kill_holder, kill_holder_while_the_control_plane_is_away])
def test_the_whole_cloud_goes__all_is_rebuilt__at_the_same_url(
    site: Installation, disaster: Callable[[Installation], None]
) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)
    disaster(site)
    until(lambda: serves(stack), seconds=LONG, what="every member to answer again")
    until(lambda: well(stack), seconds=LONG, what="everything to be ONLINE again")
    assert stack.site.get("listener", stack.listener["id"])["url"] == stack.url
    changes_apply(stack)


def delete_namespace(stack: Stack) -> None:
    """As an operator does by mistake: the name goes, and the amphora's first process with it."""
    names = stack.site.inside("ip", "netns", "list").stdout.split()
    amphora = next(name for name in names if name.startswith("amphora-"))
    done = stack.site.inside("ip", "netns", "delete", amphora)
    assert done.returncode == 0, done.stderr


def kill_amphora(stack: Stack) -> None:
    kill(_first_process(stack.site, stack.site.agent()))


def kill_a_host(stack: Stack) -> None:
    kill(stack.host_process("m1"))


def _first_process(site: Installation, pid: int) -> int:
    """The init of the PID namespace that a process is in."""
    inside = Path(f"/proc/{pid}/ns/pid").readlink()
    return min(one for one in site.processes() if Path(f"/proc/{one}/ns/pid").readlink() == inside)


@pytest.mark.parametrize("disaster", [delete_namespace, kill_amphora, kill_a_host])
def test_one_namespace_goes__it_is_rebuilt(site: Installation, disaster: Callable[[Stack], None]) -> None:
    stack = make_stack(site, members=2, monitor=MONITOR)
    agent = site.agent()
    disaster(stack)
    if disaster is not kill_a_host:
        until(lambda: _other_agent(site, agent), seconds=LONG, what="another agent")
    until(lambda: serves(stack), seconds=LONG, what="every member to answer again")
    until(lambda: well(stack), seconds=LONG, what="everything to be ONLINE again")
    changes_apply(stack)
    told = [event["reason"] for event in events.latest(site.client, [("severity", "info")], 100)]
    lost = disaster is not kill_a_host  # a host's command is started again by the cloud itself
    assert told[:3] == ["ControlPlaneStarted", "LoadBalancerCreated", "AmphoraBooted"]
    assert ("AmphoraLost" in told, told.count("AmphoraBooted")) == (lost, 2 if lost else 1)
    assert "ConfigurationApplied" in told


def _other_agent(site: Installation, before: int) -> bool:
    try:
        return site.agent() != before
    except StopIteration:
        return False


def test_everything_is_deleted__the_cloud_goes__then_the_control_plane(short_home: Path) -> None:
    site = Installation(short_home, options=("--idle-seconds", "5"))  # more than a busy machine takes to ask first
    site.start()
    try:
        stack = make_stack(site, members=2)
        holder, inside = site.holder, site.processes()
        site.client.request(
            "DELETE", f"/v2/lbaas/loadbalancers/{stack.load_balancer['id']}?cascade=true", deadline=Deadline(30.0)
        )
        site.delete("load_balancer", stack.load_balancer["id"])
        for host in stack.hosts:
            site.delete("local_host", host["id"])
        site.delete("local_network", stack.network["id"])
        assert site.process
        process: Any = site.process
        until(lambda: process.poll() is not None, what="the control plane to end by itself")
        assert process.returncode == 0
        until(lambda: not any(_lives(pid) for pid in (holder, *inside)), what="the last process of the cloud to end")
        assert str(short_home) not in Path("/proc/mounts").read_text()
        assert not (short_home / "cloud").exists()
        assert not [path for path in short_home.rglob("*") if path.is_socket()]
    finally:
        site.purge()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
