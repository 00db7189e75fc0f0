# SPDX-License-Identifier: Apache-2.0
"""Load balancers with a pair of amphorae, as their flavor says: made, changed, replaced and lost under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from command_line import octaviactl
from octavia_provider.client import events
from octavia_provider.client.deadline import Deadline

from .installation import Installation, Load, Stack, ask, make_stack, shares, until
from .processes import parent
from .stacks import REPOSITORY, Project

PAIR = '{"loadbalancer_topology": "ACTIVE_STANDBY", "vrrp_advertisement_interval": 0.1}'


def flavor(site: Installation) -> str:
    profile = site.create("flavor_profile", name="pair", provider_name="amphora", flavor_data=PAIR)
    return str(site.create("flavor", name="pair", flavor_profile_id=profile["id"])["id"])


def roles(site: Installation) -> dict[str, str]:
    """Amphora id → role, of those that run."""
    found = site.get_json("/v2/octavia/amphorae")["amphorae"]
    return {one["id"]: one["role"] for one in found if one["status"] == "ALLOCATED"}


def owner(site: Installation, vip: str) -> list[int]:
    """The agents of the amphorae whose interface has the VIP."""
    return [pid for pid in site.agents() if f" {vip}/" in addresses(pid)]


def addresses(agent: int) -> str:
    enter = ["nsenter", "--target", str(agent), "--net", "ip", "-o", "addr", "show", "dev", "eth1"]
    return subprocess.run(enter, capture_output=True, text=True, check=False).stdout


def pair(site: Installation, vip: str) -> set[str]:
    """The ids of the pair, once it is whole and one has the VIP; nothing before."""
    found = roles(site)
    return set(found) if sorted(found.values()) == ["BACKUP", "MASTER"] and len(owner(site, vip)) == 1 else set()


def alone(stack: Stack) -> set[str]:
    """The id of the one amphora, once it is alone; nothing before."""
    found = roles(stack.site)
    return set(found) if list(found.values()) == ["STANDALONE"] else set()


def change_flavor(stack: Stack, flavor_id: str | None) -> None:
    stack.load_balancer = stack.change("load_balancer", stack.load_balancer["id"], flavor_id=flavor_id)


@pytest.mark.covers(
    "flavor_profile.flavor_data.loadbalancer_topology=ACTIVE_STANDBY", "flavor_profile.flavor_data.vrrp_advertisement_interval",
)  # fmt: skip
def test_one_amphora_becomes_a_pair_and_one_again_and_all_are_replaced__and_no_request_fails(
    site: Installation,
) -> None:
    stack = make_stack(site, members=2)
    (first,), vip = roles(site), stack.load_balancer["vip_address"]
    with Load(stack.url) as load:
        fail_over(stack)
        (second,) = until(lambda: alone(stack) - {first}, what="another amphora")
        load.more(100)
        change_flavor(stack, flavor(site))
        before = until(lambda: pair(site, vip), what="a pair")
        assert second in before
        load.more(100)
        fail_over(stack)
        after = until(lambda: (now := pair(site, vip)) and not now & before and now, what="two others")
        load.more(100)
        change_flavor(stack, None)
        assert alone(stack) < after
        load.more(100)
    assert not load.failures
    assert len(owner(site, vip)) == 1


def fail_over(stack: Stack) -> None:
    path = f"/v2/lbaas/loadbalancers/{stack.load_balancer['id']}/failover"
    stack.site.client.request("PUT", path, deadline=Deadline(30.0))


def test_a_pair_is_drained_and_its_agents_are_started_anew__and_no_request_fails(site: Installation) -> None:
    stack = make_stack(site, members=2, flavor_id=flavor(site))
    vip = stack.load_balancer["vip_address"]
    until(lambda: pair(site, vip), what="a pair")
    with Load(stack.url) as load:
        (drained,) = until(lambda: with_vips(stack), what="a heartbeat of the one that has the VIPs")
        told = operate(site, "drain", drained)
        assert {one["id"]: one["vrrp_state"] for one in told["amphorae"]}[drained] == "BACKUP"
        load.more(100)
        assert not load.failures
        operate(site, "drain", "--undo", drained)
        assert [one["how"] for one in operate(site, "upgrade", "--force")["upgraded"]] == ["restart"] * 2
        load.more(100)
    assert not load.failures
    until(lambda: (now := with_vips(stack)) and now == pair(site, vip) - {drained}, what="nobody to preempt")


def with_vips(stack: Stack) -> set[str]:
    found = stack.site.get_json("/v2/octavia/amphorae")["amphorae"]
    return {one["id"] for one in found if one["vrrp_state"] == "MASTER"}


def operate(site: Installation, *words: str) -> Any:
    done = octaviactl(*words, "--json", "--home", str(site.home))
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("engine", ["embedded"])
def test_the_example__a_lost_amphora_is_replaced_and_clients_are_served_meanwhile(project: Project) -> None:
    project.source((REPOSITORY / "examples/active-standby/__main__.py").read_text())
    project.up_well()
    outputs, site = project.outputs(), project.site
    before = until(lambda: pair(site, outputs["vip"]), what="a pair")
    status = until(lambda: status_with_owner(project.home), what="a heartbeat of the one that has the VIPs")
    assert all(f"amphora {id_}  " in status for id_ in before)
    (lost,) = owner(site, outputs["vip"])
    kill_amphora(lost)
    until(lambda: answered(outputs["url"]), what="the other one to serve")
    after = until(lambda: pair(site, outputs["vip"]) - before and pair(site, outputs["vip"]), what="another one")
    assert len(after & before) == 1
    assert set(shares(outputs["url"], 20)) == {"server-1\n", "server-2\n"}
    (stayed,), (gone,) = after & before, before - after
    until(lambda: told(site, "RoleChanged")[-1:] == [stayed], what="the event of the takeover")
    assert told(site, "AmphoraLost") == [gone]
    project.up_well(None, "-c", "topology=SINGLE")  # as the example's README says
    assert [one["role"] for one in site.get_json("/v2/octavia/amphorae")["amphorae"]] == ["STANDALONE"]
    assert set(shares(outputs["url"], 20)) == {"server-1\n", "server-2\n"}
    assert project.destroy().ok


def status_with_owner(home: Path) -> str:
    """What ``octaviactl status`` says, once it says of one amphora that it has the VIPs; nothing before."""
    status = octaviactl("status", "--home", str(home)).stdout
    return status if status.count("has the VIPs") == 1 else ""


def answered(url: str) -> bool:
    try:
        return ask(url)[0] == 200
    except OSError:
        return False


def told(site: Installation, reason: str) -> list[str]:
    """The amphorae of the events for this reason."""
    return [event["amphora_id"] for event in events.latest(site.client, [("reason", reason)], 100)]


def kill_amphora(agent: int) -> None:
    """All that runs in it, by its first process."""
    init = agent
    while namespace(parent(init)) == namespace(agent):
        init = parent(init)
    os.kill(init, signal.SIGKILL)


def namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())
