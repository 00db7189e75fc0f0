# SPDX-License-Identifier: Apache-2.0
"""The world of the simulation in real time: ``python -m distributed.world_process SOCKET``. It prints ``ready``."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Mapping
from typing import Any

from octavia_amphora.wire.heartbeat import Heartbeat, encode
from octavia_provider.controller.silence import HeartbeatTiming
from simulation.agents import SimulationAgents, SimulationAuthority
from simulation.cloud import SimulationAccess, SimulationCloud, SimulationNetworks
from simulation.world import Lifeline, Server, World

from .remote import described, receive, send

TIMES = {"boot": 0.05, "ready": 0.01}
TIMING = HeartbeatTiming(interval=3.0, timeout=12.0)
"""As Octavia's: with hundreds of amphorae in one process of Python, one a second would be all that it does."""


class RealTimeWorld(World):
    """Heartbeats go over UDP, to where each agent was told."""

    def __init__(self) -> None:
        super().__init__(latency=0.002, times=TIMES)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.heartbeat_seconds = TIMING.interval
        self._keys: dict[str, bytes] = {}

    def _send(self, server: Server, sequence: int) -> None:
        id_ = server.instance.amphora_id
        receivers = server.receivers.receivers if server.receivers else server.settings.receivers
        key = self._keys.setdefault(id_, bytes.fromhex(server.settings.heartbeat_key))
        beat = Heartbeat(id_, server.boot, sequence, 1.0, tuple(self._balancers(server)))
        server.said = (server.boot, sequence)
        for part, receiver in itertools.product(encode(beat, key), receivers):
            host, _, port = receiver.rpartition(":")
            try:
                self._socket.sendto(part, (host, int(port)))
            except OSError:  # nobody listens there any more
                continue

    def facts(self) -> Mapping[str, Any]:
        """What a test asks: by load balancer the amphorae that run, and what their agents have put in force, in order."""
        running: dict[str, list[str]] = {}
        history: dict[str, list[tuple[int, int, int]]] = {}
        for id_, server in self.servers.items():
            running.setdefault(server.instance.load_balancer_id, []).append(id_)
            history[id_] = [stamp.order for stamp in server.history]
        return {"running": running, "history": history, "ports": len(self.ports), "rules": len(self.rules)}


async def main(path: str) -> None:
    world = RealTimeWorld()
    lifeline = Lifeline(world)
    parts = {
        "cloud": SimulationCloud(lifeline), "networks": SimulationNetworks(lifeline), "access": SimulationAccess(lifeline),
        "agents": SimulationAgents(lifeline, SimulationAuthority()),
    }  # fmt: skip

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            part, method, arguments, options = await receive(reader)
            try:
                done = world.facts() if part == "world" else await getattr(parts[part], method)(*arguments, **options)
                said: Any = (True, done)
            except Exception as error:  # noqa: BLE001 - it is the caller's
                said = (False, described(error))
            lifeline.effects.clear()
            await send(writer, said)
        except (OSError, EOFError):
            pass  # the caller was killed
        finally:
            writer.close()

    server = await asyncio.start_unix_server(answer, path, backlog=1000)
    print("ready", flush=True)
    async with server:
        await world.beat()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
