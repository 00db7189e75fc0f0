# SPDX-License-Identifier: Apache-2.0
"""keepalived's notices (``vrrp_notify_fifo``): a line for each change of state, such as ``INSTANCE "NAME" MASTER 240``.

The FIFO keeps what nobody reads for as long as keepalived has it open: an agent that comes later reads what it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from octavia_amphora.wire.vrrp import STATES, VrrpState

ENDED = ("STOP", "DELETED")


def parse(text: str) -> list[VrrpState]:
    """The states that complete lines tell, in order; one that ends is at fault.

    Other words are no states: an owner that hears an advert of lower priority says ``MASTER_RX_LOWER_PRI``, and stays the owner.
    """
    found: list[VrrpState] = []
    for line in text.splitlines():
        words = line.rpartition('"')[2].split()
        if not line.startswith("INSTANCE ") or not words:
            continue
        if state := "FAULT" if words[0] in ENDED else STATES.get(words[0]):
            found.append(state)
    return found


class Notices:
    """Calls ``told`` with each state."""

    def __init__(self, path: Path, told: Callable[[VrrpState], None]) -> None:
        self._path = path
        self._on_state = told
        self._descriptor: int | None = None
        self._rest = ""

    def open(self) -> None:
        """Begin to read; what was written before counts."""
        if self._descriptor is not None:
            return
        if not (self._path.exists() and stat.S_ISFIFO(self._path.stat().st_mode)):
            self._path.unlink(missing_ok=True)
            os.mkfifo(self._path, 0o600)
        # for reading and writing: or it would be at its end whenever keepalived opens it anew
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._descriptor, self.read)

    def read(self) -> None:
        """All that there is now."""
        with contextlib.suppress(BlockingIOError):
            while self._descriptor is not None:
                lines, end, self._rest = (
                    self._rest + os.read(self._descriptor, 4096).decode(errors="replace")
                ).rpartition("\n")
                for state in parse(lines + end):
                    self._on_state(state)

    def forget(self) -> None:
        """What was said until now was said by a process that has ended."""
        with contextlib.suppress(BlockingIOError):
            while self._descriptor is not None:
                os.read(self._descriptor, 4096)
        self._rest = ""

    def close(self) -> None:
        """Stop reading."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
