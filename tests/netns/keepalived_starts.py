# SPDX-License-Identifier: Apache-2.0
"""In a network namespace of its own: keepalived is started, and told of another file some milliseconds later; each with another delay.
Prints the delays, in milliseconds, after which it did not have the addresses of the second one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from octavia_amphora.haproxy.paths import Paths
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.vrrp import addresses
from octavia_amphora.vrrp.redundancy import Redundancy
from octavia_amphora.wire.heartbeat import Repairs
from octavia_amphora.wire.vrrp import Vrrp

OWN = "10.9.0.1"
INTERVAL, ROUNDS = 0.1, 100
DELAYS = (0, 10, 18, 25, 5, 15, 17, 20)
"""Milliseconds. keepalived 2.2 takes some 25 to start; between 15 and 20 it has read the file, and misses the signal."""
AT_ONCE = 4
TEXT = """vrrp_instance lb_{number} {{
    state BACKUP
    interface $INTERFACE_1
    virtual_router_id {number}
    priority 100
    advert_int 0.1
    unicast_src_ip 10.9.0.1
    unicast_peer {{
        10.9.0.2
    }}
    virtual_ipaddress {{
        {vip}/32 dev $INTERFACE_1 no_track
    }}
}}
"""


def vrrp(number: int, which: int) -> Vrrp:
    vip = f"10.9.{which}.{number}"
    return Vrrp(TEXT.format(number=number, vip=vip), number, {"INTERFACE_1": OWN}, ("10.9.0.2",), (f"{vip}/32",))


async def after(milliseconds: int, folder: Path) -> int | None:
    number = milliseconds + 1
    paths = Paths(folder / str(number), folder / str(number))
    paths.run.mkdir()
    one = Redundancy("a", f"lb{number}", paths, Claims(), lambda: None, repairs=Repairs())
    one.set_serving(serving=True)
    await one.apply(vrrp(number, 1))
    await asyncio.sleep(milliseconds / 1000)
    await one.apply(vrrp(number, 2))
    pair = {f"10.9.{which}.{number}" for which in (1, 2)}
    for _ in range(ROUNDS):
        there = {held.address for held in await addresses.held()} & pair
        if there == {f"10.9.2.{number}"}:
            break
        await asyncio.sleep(INTERVAL)
    await one.stop()
    return None if there == {f"10.9.2.{number}"} else milliseconds


async def main(folder: Path) -> None:
    for command in (
        "link set lo up", "link add eth1 type veth peer name peer", f"address add {OWN}/24 dev eth1", "link set eth1 up", "link set peer up",
    ):  # fmt: skip
        subprocess.run(["ip", *command.split()], check=True)  # noqa: ASYNC221
    found = [
        one
        for n in range(0, len(DELAYS), AT_ONCE)
        for one in await asyncio.gather(*(after(delay, folder) for delay in DELAYS[n : n + AT_ONCE]))
    ]
    print(json.dumps([one for one in found if one is not None]))


asyncio.run(main(Path(sys.argv[1])))
