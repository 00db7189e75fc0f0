# SPDX-License-Identifier: Apache-2.0
"""Tells when haproxy writes to its log: it writes a line whenever a check changes the state of a server.

So nobody has to poll ``show servers state``. inotify(7) by ctypes: what PyPI has for it starts ``ldconfig`` when it is
imported, which an agent without privileges may not do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable
from pathlib import Path

IN_MODIFY = 0x2
# One event is 16 bytes, as a file (and no folder) is watched; unread ones of the same kind are merged by the kernel.
_EVENTS_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class LogWatch:
    """Calls ``written`` after each write to the file. ``is_open`` is False where the kernel gives no (more) watches."""

    def __init__(self, path: Path, written: Callable[[], None]) -> None:
        self._path = path
        self._on_write = written
        self._descriptor: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether writes are told."""
        return self._descriptor is not None

    def open(self) -> None:
        """Begin to watch the file that is there now."""
        self.close()
        descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return
        if _libc.inotify_add_watch(descriptor, os.fsencode(self._path), IN_MODIFY) < 0:
            os.close(descriptor)
            return
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                os.read(self._descriptor, _EVENTS_BYTES)
        self._on_write()
