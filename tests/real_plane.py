# SPDX-License-Identifier: Apache-2.0
"""The API and the store themselves, in a thread, where a provider with ``home`` finds an embedded control plane."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from unit.api import settling


class RealPlane:
    """``with RealPlane() as plane: provider.configure(home=plane.home)``."""

    url = ""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()  # pytest's folders are too long for a socket
        self.home = self._folder.name
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._folder.cleanup()

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with settling.plane(Path(self.home)) as self.plane:
            (Path(self.home) / "api.sock").symlink_to(self.plane.path)
            self._ready.set()
            await self._end.wait()

    @property
    def id(self) -> str:
        return self.plane.store.control_plane_id

    @property
    def requests(self) -> list[Any]:
        return self.plane.activity

    def objects(self) -> list[str]:
        async def found() -> list[str]:
            return [record.id for record in await self.plane.records()]

        return asyncio.run_coroutine_threadsafe(found(), self._loop).result(10)

    def has(self, id_: str) -> bool:
        return id_ in self.objects()
