# SPDX-License-Identifier: Apache-2.0
"""The API and the store themselves, in a thread, where a provider with ``home`` finds an embedded control plane."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from unit.api import settling

T = TypeVar("T")


class RealPlane:
    """``with RealPlane() as plane: provider.configure(home=plane.home)``. ``certificates``: by reference."""

    url = ""

    def __init__(self, certificates: Any = None) -> None:
        self._certificates = certificates

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()  # pytest's folders are too long for a socket
        self.home = self._folder.name
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(45)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._folder.cleanup()

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with settling.plane(Path(self.home), certificates=self._certificates) as self.plane:
            (Path(self.home) / "api.sock").symlink_to(self.plane.path)
            self._ready.set()
            await self._end.wait()

    @property
    def id(self) -> str:
        return self.plane.store.control_plane_id

    @property
    def requests(self) -> list[Any]:
        return self.plane.activity

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the loop of the control plane."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(45)

    def make(self, name: str) -> dict[str, Any]:
        """A load balancer with this name, and all its parts: two listeners, policy, rule, pool, monitor, members."""

        async def whole() -> dict[str, Any]:
            balancer = await self.plane.balancer(name)
            listener = await self.plane.make(
                "listener", name=name, loadbalancer_id=balancer["id"], protocol="HTTP", protocol_port=80
            )
            await self.plane.make(
                "listener", name="tcp", loadbalancer_id=balancer["id"], protocol="TCP", protocol_port=81
            )
            pool = await self.plane.make(
                "pool", name=name, listener_id=listener["id"], protocol="HTTP", lb_algorithm="ROUND_ROBIN"
            )
            monitor = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2, "url_path": "/healthy"}
            await self.plane.make("health_monitor", name=name, pool_id=pool["id"], **monitor)
            for number in (1, 2):
                await self.plane.make(
                    "member",
                    name=f"m{number}",
                    pool_id=pool["id"],
                    address=f"10.9.9.{number}",
                    protocol_port=80,
                    weight=number,
                )
            policy = await self.plane.make(
                "l7_policy",
                name=name,
                listener_id=listener["id"],
                action="REDIRECT_TO_POOL",
                redirect_pool_id=pool["id"],
            )
            await self.plane.make(
                "l7_rule", l7policy_id=policy["id"], type="PATH", compare_type="STARTS_WITH", value="/api"
            )
            return balancer

        return self.run(whole())

    def objects(self) -> list[str]:
        async def found() -> list[str]:
            return [record.id for record in await self.plane.records()]

        return self.run(found())

    def has(self, id_: str) -> bool:
        return id_ in self.objects()
