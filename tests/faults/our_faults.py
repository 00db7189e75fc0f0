# SPDX-License-Identifier: Apache-2.0
"""What can happen to a pair of this provider's beyond what can to any pair: to its agents, its disk, its certificates, its
control plane; and what is done on purpose, of which no client may notice anything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from netns.expiry import let_expire
from netns.traffic import until
from octavia_provider.client.deadline import Deadline

from .faults import full
from .measure import Act, wait
from .our_pair import OctaviaPair, octaviactl
from .pair import Pair, send

Do = Callable[[OctaviaPair, str], None]


def _act(do: Do) -> Act:
    def act(pair: Pair, name: str) -> None:
        assert isinstance(pair, OctaviaPair)
        do(pair, name)

    return act


# ── faults that cost nothing ─────────────────────────────────────────────────────────────────────────────────────────
def kill_agent(pair: OctaviaPair, name: str) -> None:
    send([pair.agents()[name]], signal.SIGKILL)


def stop_agent(pair: OctaviaPair, name: str) -> None:
    send([pair.agents()[name]], signal.SIGSTOP)


def fill_disk(pair: OctaviaPair, name: str) -> None:
    """The disk of the database and of the agents' records; the active agent is killed meanwhile, and comes back."""
    with full(pair.site.home):
        old = pair.agents()[name]
        kill_agent(pair, name)
        until(lambda: pair.agents().get(name, old) != old, what="the agent to be there again", seconds=60)


def expire(pair: OctaviaPair, name: str) -> None:
    """The active amphora's agent has a certificate of long ago, as after a long sleep of the control plane."""
    del name
    pair.site.kill()
    asyncio.run(let_expire(pair.site))
    pair.site.start()


def kill_control_plane(pair: OctaviaPair, name: str) -> None:
    """And start it."""
    del name
    pair.site.kill()
    pair.site.start()


# ── on purpose ───────────────────────────────────────────────────────────────────────────────────────────────────────
def change_flavor(pair: OctaviaPair, name: str) -> None:
    """Other adverts, and back."""
    del name
    for flavor in ("slower", "pair"):
        take_flavor(pair, flavor)


def take_flavor(pair: OctaviaPair, flavor: str) -> None:
    changed = pair.site.update("load_balancer", pair.id, flavor_id=pair.flavors[flavor])
    assert changed["provisioning_status"] == "ACTIVE", changed


def change_topology(pair: OctaviaPair, name: str) -> None:
    """One amphora alone, and two again."""
    del name
    take_flavor(pair, "single")
    wait(lambda: len(pair.listed()) == len(pair.agents()) == 1, what="one amphora alone", seconds=60)
    take_flavor(pair, "pair")
    wait(pair.restored, what="two amphorae", seconds=60)


def fail_over(pair: OctaviaPair, name: str) -> None:
    """Octavia's failover of a load balancer: both amphorae are replaced."""
    del name
    before = set(pair.agents())
    put(pair, f"/v2/lbaas/loadbalancers/{pair.id}/failover")
    wait(lambda: not before & set(pair.agents()) and pair.restored(), what="two other amphorae", seconds=60)


def fail_over_amphora(pair: OctaviaPair, name: str) -> None:
    """Octavia's failover of the active amphora."""
    put(pair, f"/v2/octavia/amphorae/{name}/failover")
    wait(lambda: name not in pair.agents() and pair.restored(), what="another amphora", seconds=60)


def drain(pair: OctaviaPair, name: str) -> None:
    """The active amphora gives its VIPs up, and may have them again."""
    succeed(pair, "drain", name)
    wait(lambda: name not in pair.recorder.owners(), what="another owner", seconds=30)
    succeed(pair, "drain", name, "--undo")


def rotate(pair: OctaviaPair, name: str) -> None:
    """All certificates of agents."""
    del name
    succeed(pair, "rotate", "--all")


def upgrade(pair: OctaviaPair, name: str) -> None:
    """The agents run the control plane's code."""
    del name
    succeed(pair, "upgrade", "--force")


def push_nonsense(pair: OctaviaPair, name: str) -> None:
    """An operator's template that haproxy refuses, then what was."""
    del name
    pair.template("frobnicate")
    refused = octaviactl(pair.site, "config", "--apply")
    assert refused.returncode != 0, refused.stdout
    pair.template("")
    succeed(pair, "config", "--apply")


def put(pair: OctaviaPair, path: str) -> None:
    pair.site.client.request("PUT", path, deadline=Deadline(30.0))


def succeed(pair: OctaviaPair, *words: str) -> None:
    done = octaviactl(pair.site, *words)
    assert done.returncode == 0, done.stderr


HARMLESS: dict[str, Act] = {
    "agent killed": _act(kill_agent),
    "agent hung": _act(stop_agent),
    "disk full, agent killed": _act(fill_disk),
    "certificates expired": _act(expire),
    "control plane killed": _act(kill_control_plane),
}
"""Faults that clients do not notice."""
DELIBERATE: dict[str, Act] = {
    "bad configuration": _act(push_nonsense),
    "flavor changed": _act(change_flavor),
    "topology changed": _act(change_topology),
    "failover by hand": _act(fail_over),
    "amphora failover by hand": _act(fail_over_amphora),
    "drained": _act(drain),
    "certificates rotated": _act(rotate),
    "agents upgraded": _act(upgrade),
}
"""What is done on purpose."""
