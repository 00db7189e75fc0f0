# SPDX-License-Identifier: Apache-2.0
"""A control plane on PostgreSQL over a simulated cloud that others use too.

``python -m distributed.control_plane_process URL KEY NAME WORLD API LEASE_SECONDS``: the last but one is the socket that it serves.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from octavia_provider.api import Server, serve_unix
from octavia_provider.control_plane import Facts, Parts, control_plane
from octavia_provider.controller.membership import Membership
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.kit import logfile
from octavia_provider.ports import ControlPlane
from octavia_provider.store import open_store
from simulation.agents import SimulationAuthority

from .remote import RemoteAgents, driver
from .world_process import TIMING

PROJECT = "5f4fa2b0-7d0b-4b7a-9c2c-2a4f6f6d9e01"


async def main(url: str, key: str, name: str, world: str, api: str, lease_seconds: str) -> None:
    logfile.configure()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    store = open_store(url, Path(key))
    await store.write(lambda tx: tx.secret(SimulationAuthority.SECRET, lambda: b"simulation"))
    parts = Parts(
        store=store, driver=driver(world), agents=RemoteAgents(world), authority=SimulationAuthority(), status_cache=StatusCache(),
        holder=name, membership=Membership(ControlPlane(name=name, pid=os.getpid())), lease_seconds=float(lease_seconds),
        timing=TIMING,
    )  # fmt: skip

    async def serve(application: Any) -> Server:
        return await serve_unix(application, Path(api))

    async with control_plane(parts, Facts(project_id=PROJECT), serve=serve, stop=stop.set):
        print("ready", flush=True)
        await stop.wait()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
