# SPDX-License-Identifier: Apache-2.0
"""A worker that a reload replaces, kept until its counters have been read for the last time.

A worker that is told to finish ends with its last connection, at any moment. A conversation on its socket is a
connection too: while ours lasts, the worker does, and what it counted can still be asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from octavia_amphora.wire.messages import ListenerState

from . import counters, runtime

SHOW_STAT = "show stat -1 1 -1"  # of every proxy its frontend
# How long a worker may go on to accept connections beside the new one before a push is answered nevertheless.
STOP_TIMEOUT = 5.0
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.005, 1.0


class OldWorker:
    """Keeps one worker from ending, until ``release``. Whatever asks it raises ``RuntimeApiError`` when it has gone."""

    def __init__(self, session: runtime.Session, pid: int) -> None:
        self.key = counters.worker_key(pid)
        self._session = session

    @classmethod
    async def keep(cls, stats_socket: Path) -> OldWorker:
        """The worker that answers now."""
        session = await runtime.Session.open(stats_socket)
        try:
            (info,) = await session.execute(["show info"])
            return cls(session, int(runtime.parse_info(info)["Pid"]))
        except (KeyError, ValueError, runtime.RuntimeApiError) as error:
            session.close()
            raise runtime.RuntimeApiError(f"{stats_socket.name} gave no process id") from error

    async def listeners(self) -> dict[str, ListenerState]:
        """Its listeners and their counters."""
        (stat,) = await self._session.execute([SHOW_STAT])
        return counters.parse(stat)

    async def wait_stopped(self) -> None:
        """Wait until it accepts no connections any more, has ended, or ``STOP_TIMEOUT`` is over.

        It shares its sockets with the new worker, and the signal to let go of them comes when that is ready.
        """
        with contextlib.suppress(TimeoutError, runtime.RuntimeApiError):
            async with asyncio.timeout(STOP_TIMEOUT):
                while True:
                    listeners = await self.listeners()
                    if all(listener.status == "stopped" for listener in listeners.values()):
                        return
                    await asyncio.sleep(MIN_POLL_SECONDS)

    async def is_idle(self) -> bool:
        """Whether it has no connections but ours (those to its own sockets are not in ``CurrConns``)."""
        (info,) = await self._session.execute(["show info"])
        return runtime.parse_info(info).get("CurrConns") == "0"

    async def wait_idle(self) -> None:
        """Wait until it has none."""
        pause = MIN_POLL_SECONDS
        while not await self.is_idle():
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_POLL_SECONDS)

    def release(self) -> None:
        """Let it end."""
        self._session.close()
