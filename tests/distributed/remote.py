# SPDX-License-Identifier: Apache-2.0
"""The simulation's world in a process of its own, as control planes in other processes reach it: one call, one connection.

Calls and answers are pickled. A call that is on its way when its control plane is paused has its effect late, as in a cloud.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from octavia_provider.model.errors import OctaviaError, Unreachable
from octavia_provider.ports import AgentRefused, AmphoraSpec, CloudDriver, Instance, Inventory, Record
from simulation.cloud import SimulationAccess

UNSEEN = ("192.0.2.1", 9443)


@dataclass(frozen=True)
class Files:
    """What an amphora is booted with, made before its address is known: the simulation's agents do not look at it."""

    files: Mapping[str, tuple[int, bytes]]

    def __call__(self, _address: str, _port: int) -> Mapping[str, tuple[int, bytes]]:
        return self.files


class Part:
    """One part of the world: each method of it that is called is called there."""

    def __init__(self, path: str, name: str) -> None:
        self._path, self._name = path, name

    def __getattr__(self, method: str) -> Callable[..., Awaitable[Any]]:
        if method.startswith("_"):
            raise AttributeError(method)

        async def call(*arguments: Any, **options: Any) -> Any:
            return await ask(self._path, self._name, method, *arguments, **options)

        return call


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


class RemoteCloud:
    """``ports.Cloud``."""

    def __init__(self, path: str) -> None:
        self._there = Part(path, "cloud")
        self._receiver = ""

    async def boot(self, order: AmphoraSpec) -> Instance:
        return cast("Instance", await self._there.boot(_sendable(order)))

    async def restart_agent(self, order: AmphoraSpec) -> None:
        await self._there.restart_agent(_sendable(order))

    async def instances(self, load_balancer_id: str) -> Sequence[Instance]:
        return cast("Sequence[Instance]", await self._there.instances(load_balancer_id))

    async def inventory(self) -> Inventory:
        return cast("Inventory", await self._there.inventory())

    async def delete(self, amphora_id: str) -> None:
        await self._there.delete(amphora_id)

    def __getattr__(self, method: str) -> Any:
        return getattr(self._there, method)

    def connect_socket(self, family: int) -> socket.socket:
        raise NotImplementedError

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

    async def ended(self) -> AsyncIterator[None]:
        """It does not tell."""
        return
        yield

    async def lost(self) -> None:
        await asyncio.Event().wait()

    async def pushed(self) -> Mapping[str, Any]:
        return {}


def _sendable(order: AmphoraSpec) -> AmphoraSpec:
    return replace(order, files=Files(order.files(*UNSEEN)))


class RemoteNetworks:
    """``ports.RemoteAllocation``."""

    unsupported: Mapping[str, str] = {}

    def __init__(self, path: str) -> None:
        self._there = Part(path, "networks")

    async def allocate(self, load_balancer: Record) -> Any:
        return await self._there.allocate(load_balancer)

    async def release(self, load_balancer_id: str, keep: Any) -> None:
        await self._there.release(load_balancer_id, list(keep))


class RemoteAccess(SimulationAccess):
    """``ports.ListenerAccess``: what is pure is decided here."""

    def __init__(self, path: str) -> None:
        super().__init__(cast("Any", SimpleNamespace(world=None)))
        self._there = Part(path, "access")

    async def observe(self, load_balancer_id: str) -> Sequence[tuple[str, int]]:
        return cast("Sequence[tuple[str, int]]", await self._there.observe(load_balancer_id))

    async def carry_out(self, step: Any) -> None:
        await self._there.carry_out(step)


def driver(path: str) -> CloudDriver:
    """The world at this socket, as a control plane takes it."""
    return CloudDriver(
        name="simulation", cloud=cast("Any", RemoteCloud(path)), networks=cast("Any", RemoteNetworks(path)),
        access=RemoteAccess(path),
    )  # fmt: skip
