# SPDX-License-Identifier: Apache-2.0
"""50 pairs, made by a program: how long until they stand, what they cost when nobody uses them, and the outage of each when the
amphorae that have the VIPs die all at once (SIGKILL of the first process of each: the host is gone).

The client is open-loop: ``RATE`` requests a second in all, each on a connection of its own, each VIP in turn.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from faults.our_pair import agents
from netns.installation import Installation
from netns.processes import parent
from netns.traffic import until

from .engines import Project
from .many import idle
from .rows import Row, median
from .site import folder
from .topics import NotHere, Say

PAIRS = 50
RATE, TIMEOUT = 1000.0, 1.0
BEFORE_SECONDS, AFTER_SECONDS = 5.0, 20.0
RESTORED_SECONDS = 300.0
PROGRAM = """
import json, pulumi, pulumi_octavia as octavia
data = json.dumps({"loadbalancer_topology": "ACTIVE_STANDBY"})
profile = octavia.FlavorProfile("pair", provider_name="amphora", flavor_data=data)
flavor = octavia.Flavor("pair", flavor_profile_id=profile.id)
network = octavia.local.Network("net")
server = "import http.server as h; h.ThreadingHTTPServer(('', 80), h.SimpleHTTPRequestHandler).serve_forever()"
host = octavia.local.Host("host", network_id=network.id, command=["python3", "-c", server])
for n in range(pulumi.Config().require_int("count")):
    balancer = octavia.LoadBalancer(f"lb{n}", vip_network_id=network.id, flavor_id=flavor.id)
    listener = octavia.Listener(f"web{n}", loadbalancer_id=balancer.id, protocol="HTTP", protocol_port=80)
    pool = octavia.Pool(f"pool{n}", listener_id=listener.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    octavia.Member(f"m{n}", pool_id=pool.id, address=host.address, protocol_port=80)
"""


def measure(say: Say) -> Iterator[Row]:
    """Standing up, idling, and the loss of one side."""
    if os.geteuid() != 0 or shutil.which("haproxy") is None or shutil.which("keepalived") is None:
        raise NotHere("needs root, haproxy and keepalived: run make bench as root, after make setup")
    with folder() as base:
        project = Project(base, "embedded", empty=False)
        project.make(PAIRS, program=PROGRAM)
        try:
            say(f"{PAIRS} pairs: up")
            yield Row(
                "pairs.up", project.up(), "s", None, 1, f"{PAIRS} pairs, with a listener, a pool and a member each"
            )
            site = Installation(base / "home")
            say(f"{PAIRS} pairs that nobody uses")
            yield from _idle(base / "home")
            say("all amphorae that have a VIP die at once")
            yield from _loss(site)
        finally:
            project.close()


def _idle(home: Path) -> Iterator[Row]:
    busy, memory = idle(home)
    note = f"{PAIRS} pairs; all processes, the control plane's too"
    yield Row("pairs.processor", 100 * busy, "% of a core", None, 1, note)
    yield Row("pairs.memory_per_pair", memory / PAIRS, "MiB", None, 1, f"PSS, {note}")


def _loss(site: Installation) -> Iterator[Row]:
    amphorae = {id_: parent(agent) for id_, agent in agents(site.holder).items()}
    vips = sorted(one["vip_address"] for one in site.get_json("/v2/lbaas/loadbalancers")["loadbalancers"])
    owners = _owners(site, amphorae, vips)
    command = [sys.executable, str(Path(__file__).with_name("spread.py")), str(RATE), str(TIMEOUT), *vips]
    client = subprocess.Popen(
        ["nsenter", "--target", str(site.holder), "--net", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert client.stdout
    assert client.stdout.readline() == "begun\n"
    time.sleep(BEFORE_SECONDS)
    began = time.monotonic()
    for owner in sorted(set(owners.values())):
        os.kill(amphorae[owner], signal.SIGKILL)
    until(lambda: _restored(site, set(owners.values())), what="all pairs to be whole again", seconds=RESTORED_SECONDS)
    restored = time.monotonic() - began
    time.sleep(max(0.0, began + AFTER_SECONDS - time.monotonic()))
    said, _ = client.communicate(timeout=120)
    found = [json.loads(line) for line in said.splitlines()]
    gaps = sorted(1000 * one["gap"] for one in found)
    step = 1000 * len(vips) / RATE
    note = f"{PAIRS} VIPs, each asked every {step:g} ms: longest time between two requests that were answered"
    yield Row("pairs.outage_of_all_hosts_of_one_side", median(gaps), "ms", None, len(gaps), note)
    yield Row(
        "pairs.outage_of_all_hosts_of_one_side_worst", gaps[-1], "ms", None, len(gaps), "the same, of the worst VIP"
    )
    yield Row("pairs.restored_after_that", restored, "s", None, 1, f"until all {PAIRS} are pairs again")


def _owners(site: Installation, amphorae: dict[str, int], vips: list[str]) -> dict[str, str]:
    """VIP → the amphora that tells the network of it."""
    found = {}
    for id_, first in amphorae.items():
        shown = subprocess.run(
            ["nsenter", "--target", str(first), "--net", "ip", "-br", "address", "show", "dev", "eth1"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        found.update({word.partition("/")[0]: id_ for word in shown.split() if word.partition("/")[0] in vips})
    assert sorted(found) == vips, "each has an owner"
    return found


def _restored(site: Installation, gone: set[str]) -> bool:
    time.sleep(0.5)  # asking costs what the repair needs
    there = site.get_json("/v2/octavia/amphorae")["amphorae"]
    well = [one for one in there if one["id"] not in gone and one["status"] == "ALLOCATED"]
    return len(well) == len(there) == 2 * PAIRS
