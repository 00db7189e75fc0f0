# SPDX-License-Identifier: Apache-2.0
"""The simulation's world in a process of its own, as control planes in other processes reach it: one call, one connection.

Calls and answers are pickled. A call that is on its way when its control plane is paused has its effect late, as in a cloud.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from octavia_provider.model.errors import OctaviaError, Unreachable
from octavia_provider.ports import AgentRefused, AmphoraSpec, CloudDriver, Instance
from simulation.agents import SimulationAgents
from simulation.cloud import SimulationAccess, SimulationCloud, SimulationNetworks

UNSEEN = ("192.0.2.1", 9443)


@dataclass(frozen=True)
class Files:
    """What an amphora is booted with, made before its address is known: the simulation's agents do not look at it."""

    files: Mapping[str, tuple[int, bytes]]

    def __call__(self, _address: str, _port: int) -> Mapping[str, tuple[int, bytes]]:
        return self.files


def remote(cls: type[Any], name: str) -> type[Any]:
    """A class whose coroutines are called in the world's process, on its part of this name."""

    def forward(method: str) -> Callable[..., Awaitable[Any]]:
        async def call(self: Any, *arguments: Any, **options: Any) -> Any:
            return await ask(self.path, name, method, *arguments, **options)

        return call

    def begin(self: Any, path: str) -> None:
        self.path = path

    public = [one for one, what in vars(cls).items() if inspect.iscoroutinefunction(what) and not one.startswith("_")]
    return type(f"Remote{cls.__name__}", (cls,), {"__init__": begin, **{one: forward(one) for one in public}})


async def ask(path: str, part: str, method: str, *arguments: Any, **options: Any) -> Any:
    try:
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            await send(writer, (part, method, arguments, options))
            well, answer = await receive(reader)
        finally:
            writer.close()
    except (OSError, EOFError) as error:
        raise Unreachable(str(error)) from error
    if well:
        return answer
    raise answer[0](*answer[1])


def described(error: Exception) -> tuple[type[Exception], tuple[Any, ...]]:
    """How it can be raised again elsewhere."""
    if isinstance(error, AgentRefused):
        return AgentRefused, (error.refusal,)
    return (type(error), (error.message,)) if isinstance(error, OctaviaError) else (RuntimeError, (repr(error),))


async def send(writer: asyncio.StreamWriter, what: Any) -> None:
    data = pickle.dumps(what)
    writer.write(len(data).to_bytes(8, "big") + data)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Any:
    length = int.from_bytes(await reader.readexactly(8), "big")
    return pickle.loads(await reader.readexactly(length))


RemoteAgents = remote(SimulationAgents, "agents")
RemoteNetworks = remote(SimulationNetworks, "networks")
RemoteAccess = remote(SimulationAccess, "access")
_Cloud: Any = remote(SimulationCloud, "cloud")


class RemoteCloud(_Cloud):  # type: ignore[misc]
    """``ports.Cloud``: what concerns this process is done here."""

    _receiver = ""

    async def boot(self, order: AmphoraSpec) -> Instance:
        return cast("Instance", await super().boot(_sendable(order)))

    async def restart_agent(self, order: AmphoraSpec) -> None:
        await super().restart_agent(_sendable(order))

    def heartbeat_socket(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(("127.0.0.1", 0))
        self._receiver = "{}:{}".format(*opened.getsockname())
        return opened

    @property
    def heartbeat_receiver(self) -> str:
        return self._receiver or "127.0.0.1:9"

    async def start(self) -> None:
        """It is there."""

    async def stop(self, *, unless: Callable[[], Awaitable[bool]] | None = None) -> bool:
        return not (unless is not None and await unless())

    async def close(self) -> None:
        """It goes on."""

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def pushed(self) -> Mapping[str, Any]:
        return {}


def _sendable(order: AmphoraSpec) -> AmphoraSpec:
    return replace(order, files=Files(order.files(*UNSEEN)))


def driver(path: str) -> CloudDriver:
    """The world at this socket, as a control plane takes it."""
    return CloudDriver(
        name="simulation", cloud=RemoteCloud(path), networks=RemoteNetworks(path), access=RemoteAccess(path)
    )
