# SPDX-License-Identifier: Apache-2.0
"""A whole control plane on a simulated cloud in real time, with Keystone's users on TCP, in a process of its own.

``python -m clients.served FOLDER``: it prints the URL of the stand-in for Keystone, whose catalogue names the API.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from octavia_provider.api import Server, TcpPort, serve_unix
from octavia_provider.control_plane import Facts, Parts, control_plane
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.keystone.policy import OsloPolicy
from octavia_provider.keystone.tokens import KeystoneIdentity
from octavia_provider.kit import logfile
from octavia_provider.ports import Allocation, Record
from octavia_provider.store import open_store
from simulation.agents import SimulationAgents, SimulationAuthority
from simulation.cloud import SimulationNetworks, driver
from simulation.world import Lifeline, World

from .keystone import PASSWORD, PROJECT, Keystone

SECONDS = {"boot": 0.3, "ready": 0.1}
"""What a cloud takes longer for. It is enough for a client to see PENDING_CREATE."""


class Networks(SimulationNetworks):
    """A VIP has a port, as in OpenStack."""

    async def allocate(self, load_balancer: Record) -> Allocation:
        found = await super().allocate(load_balancer)
        return replace(found, values={**found.values, "vip_port_id": load_balancer.id})


async def main(folder: Path) -> None:
    logfile.configure()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with Keystone() as keystone:
        world = World(latency=0.005, times=SECONDS)
        lifeline = Lifeline(world, name="one")
        store = open_store(f"sqlite:///{folder}/octavia.db", folder / "key")
        authority = SimulationAuthority()
        await store.write(lambda tx: tx.secret(SimulationAuthority.SECRET, lambda: b"simulation"))
        parts = Parts(
            store=store, driver=replace(driver(lifeline), networks=Networks(lifeline)), agents=SimulationAgents(lifeline, authority), authority=authority,
            status_cache=StatusCache(), holder="one",
        )  # fmt: skip
        service = {
            "auth_type": "password", "auth_url": keystone.url, "username": "octavia", "password": PASSWORD, "project_id": PROJECT,
            "user_domain_name": "Default",
        }  # fmt: skip
        facts = Facts(project_id=PROJECT, identity=KeystoneIdentity(service), policy=OsloPolicy(None))

        async def serve(application: Any) -> Server:
            server = await serve_unix(application, folder / "api.sock", tcp=TcpPort(host="127.0.0.1", port=0))
            host, port = server.address
            keystone.load_balancer = f"http://{host}:{port}"
            return server

        beating = asyncio.create_task(world.beat())
        async with control_plane(parts, facts, serve=serve, stop=stop.set):
            print(keystone.url, flush=True)
            await stop.wait()
        beating.cancel()
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
