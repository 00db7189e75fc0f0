# SPDX-License-Identifier: Apache-2.0
"""A network, mount and PID namespace of its own, in which a test runs agents, haproxy and members on 127.0.0.0/8.

The test stays outside: it opens sockets inside (a pathname Unix socket and a file are the same on both sides) and
sees the processes with the machine's process ids. When the sandbox goes, everything in it goes.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from octavia_provider.model.errors import TransientError

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds to wait for a condition: long for what is never so, for a busy machine can be slow in everything."""
CLONE_NEWNET = 0x40000000
_INIT = (
    "import signal,subprocess,os;"
    "subprocess.run(['ip','link','set','lo','up'],check=True);"
    "signal.signal(signal.SIGCHLD,signal.SIG_IGN);"  # who is orphaned in here is reaped
    "os.write(1,b'up');os.close(1);signal.pause()"
)


class Sandbox:
    """Call ``close`` at the end."""

    def __init__(self) -> None:
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(
            [*command, sys.executable, "-c", _INIT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._holder.stdout
        assert self._holder.stdout.read(2) == b"up"
        self._holder.stdout.close()
        self.init = children(self._holder.pid)[0]
        self._inside = os.open(f"/proc/{self.init}/ns/net", os.O_RDONLY)
        self._outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a command inside; the handle is nsenter's, ``inner`` gives the command's own process id."""
        enter = ["nsenter", "--target", str(self.init), "--net", "--mount", "--pid"]
        process = subprocess.Popen([*enter, *command], **options)  # type: ignore[call-overload]
        self._started.append(process)
        return process  # type: ignore[no-any-return]

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A socket of the inside."""
        self._enter(self._inside)
        try:
            return socket.socket(family, kind, protocol)
        finally:
            self._enter(self._outside)

    def connect_socket(self, family: int) -> socket.socket:
        """``ports.Dialer``."""
        return self.socket(family)

    def _enter(self, namespace: int) -> None:
        if self._libc.setns(namespace, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def close(self) -> None:
        os.close(self._inside)
        os.close(self._outside)
        os.kill(self.init, signal.SIGKILL)
        self._holder.wait(20)
        for process in self._started:
            process.wait(20)
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()


def children(pid: int) -> list[int]:
    """Process ids of the children, as soon as there is one."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return wait_for(lambda: [int(word) for word in path.read_text().split()])


def inner(process: subprocess.Popen[bytes]) -> int:
    """The process behind an nsenter."""
    return children(process.pid)[0]


def wait_for(condition: Callable[[], T], *, seconds: float = PATIENCE) -> T:
    """The first true value of a condition."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)
    return value


async def until(condition: Callable[[], Awaitable[T]], *, seconds: float = PATIENCE) -> T:
    """The first true value of an asynchronous condition. An agent that does not answer in time is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if value := await condition():
                return value
        except TransientError:
            if time.monotonic() >= deadline:
                raise
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


def sandbox() -> Iterator[Sandbox]:
    """For a fixture."""
    made = Sandbox()
    try:
        yield made
    finally:
        made.close()
