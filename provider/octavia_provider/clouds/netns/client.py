# SPDX-License-Identifier: Apache-2.0
"""The control plane's side of the holder's socket: find the holder, start it, ask it, end it. Blocking calls."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavia_provider.kit.paths import SOCKET_LENGTH
from octavia_provider.model.errors import LeaseLost, NotFound, OctaviaError, Refused, TransientError, Unreachable
from octavia_provider.ports import LEASE

from .holder import limits, wire

ANSWER_PATIENCE = 60.0
"""Seconds for an answer: others may be asking for much before us."""
START_PATIENCE = 30.0
STOP_PATIENCE = 30.0


HANDED_ON = ("PATH", "LANG", "PYTHONPATH", "PYTHONHOME")
"""The environment that the holder gets: it lives on, and what else is in ours (a passphrase) is not its business."""


class NoHolder(Exception):
    """No holder serves this home."""


class HolderEnded(Unreachable):
    """The holder ended after it was asked and before it answered."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A holder that answered. ``process`` (pidfd, pidfd_open(2)) and ``network`` (its namespace) are ours to close."""

    pid: int
    process: int
    network: int
    gateway: str
    home: str
    protocol: int

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return not select.select([self.process], [], [], 0)[0]

    def close(self) -> None:
        """Let go of both descriptors."""
        os.close(self.process)
        os.close(self.network)


class Client:
    """The holder of one home. ``fenced``: others command it too, and it is to refuse who has lost a lease."""

    def __init__(self, home: Path, management: str, agent: Sequence[str], *, fenced: bool = False) -> None:
        self._fenced = fenced
        self.home = home
        self._management = management
        self._agent = tuple(agent)
        self._folder = home / "cloud"
        self._path = self._folder / "holder.sock"

    def ask(self, do: str, *, pass_descriptor: int | None = None, **message: Any) -> dict[str, Any]:
        """One question. NoHolder when none serves; otherwise what the holder says, errors as the model's."""
        lease = LEASE.get()
        fenced = {"fence": [lease.id, lease.epoch, lease.fence]} if lease and self._fenced else {}
        with self._connect() as connection:
            return self._exchange(connection, {"do": do, **fenced, **message}, pass_descriptor)[0]

    def watch(self) -> socket.socket:
        """A connection on which the holder tells what ended by itself, a line each; it is ours to close. NoHolder when
        none serves, HolderEnded when it ends meanwhile, Refused by an older one."""
        connection = self._connect()
        try:
            self._exchange(connection, {"do": "watch"}, None)
        except BaseException:
            connection.close()
            raise
        connection.setblocking(False)
        return connection

    def hello(self) -> Hello:
        """Find the holder. NoHolder when there is none."""
        with self._connect() as connection:
            pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid not in (0, os.geteuid()):
                raise Refused(
                    f"{self._path} is served by user {uid}", subject="embedded cloud", hint="remove that file"
                )
            process = os.pidfd_open(pid)
            try:  # what answers now was alive when the descriptor was opened, so the descriptor is that process's
                answer, descriptors = self._exchange(connection, {"do": "hello"}, None)
            except BaseException:
                os.close(process)
                raise
        return Hello(pid, process, descriptors[0], answer["gateway"], answer["home"], answer["protocol"])

    def start(self) -> Hello:
        """Find the holder, or start one. Two processes that do this at once end up with the same."""
        with self._locked():
            with contextlib.suppress(NoHolder):
                return self._usable(self.hello())
            for path in (self._folder / "amphorae", self.home / "log"):
                path.mkdir(exist_ok=True, mode=0o700)
            self._path.unlink(missing_ok=True)
            self._spawn()
            return self.hello()

    def stop(self, *, only_empty: bool = False) -> bool:
        """End the holder, wait until it and all in its namespaces are gone, and remove ``<home>/cloud``.

        ``only_empty``: False where anything is in it. The holder decides that itself, so that nothing which another control
        plane makes at this moment is lost.
        """
        if not self._folder.exists():
            return True
        with self._locked():
            with contextlib.suppress(NoHolder):
                found = self.hello()
                if only_empty and not self._retired():
                    found.close()
                    return False
                self._end(found)
            limits.remove(str(self.home))
            shutil.rmtree(self._folder, ignore_errors=True)
        return True

    def _retired(self) -> bool:
        with contextlib.suppress(Refused, HolderEnded):  # one of an earlier version, which has one control plane
            return bool(self.ask("retire")["retired"])
        return True

    def forget(self, amphora_id: str) -> None:
        """Remove what an amphora kept on disk, where no holder is there to do it."""
        shutil.rmtree(self._folder / "amphorae" / amphora_id, ignore_errors=True)

    def _usable(self, found: Hello) -> Hello:
        """The holder that was found; one that serves a home that is not ours any more (moved, copied) is ended."""
        if found.protocol != wire.PROTOCOL:
            found.close()
            raise Refused(
                f"the one that runs (process {found.pid}) speaks version {found.protocol}, we speak {wire.PROTOCOL}",
                subject="embedded cloud", hint="`octaviactl purge`, which ends it, and `up` again",
            )  # fmt: skip
        with contextlib.suppress(OSError):
            if Path(found.home).samefile(self.home):
                return found
        self._end(found)
        raise NoHolder

    def _end(self, found: Hello) -> None:
        # The kernel reports the end of a PID namespace's first process when all others in it are gone.
        try:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(found.process, signal.SIGKILL)
            if not select.select([found.process], [], [], STOP_PATIENCE)[0]:
                raise Unreachable(
                    f"its first process {found.pid} does not end within {STOP_PATIENCE:g} s", subject="embedded cloud"
                )
        finally:
            found.close()

    def _spawn(self) -> None:
        reader, writer = os.pipe()
        command = [
            sys.executable, "-P", "-m", f"{__package__}.holder", "--home", str(self.home), "--management", self._management,
            "--agent", json.dumps(self._agent), "--ready", str(writer),
        ]  # fmt: skip
        with os.fdopen(reader, encoding="utf-8") as ready, (self.home / "log" / "cloud.log").open("ab") as log:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                    env={name: os.environ[name] for name in HANDED_ON if name in os.environ},
                    start_new_session=True, pass_fds=[writer],
                )  # fmt: skip
            finally:
                os.close(writer)
            deadline = time.monotonic() + START_PATIENCE
            said = ready.read() if select.select([ready], [], [], START_PATIENCE)[0] else ""
            process.wait(max(1.0, deadline - time.monotonic()))  # it ends when its child has gone behind the walls
        if not said:
            raise Refused(
                "its first process ended, or did not answer, before it was ready", subject="embedded cloud",
                hint=f"read {self.home}/log/cloud.log, and run `octaviactl doctor`",
            )  # fmt: skip
        _raise(json.loads(said))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time starts or stops the cloud. The lock is on the folder, so that no file remains."""
        while True:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.mkdir(exist_ok=True, mode=0o700)
            lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(lock), self._folder.stat()):
                        yield
                        return
            finally:
                os.close(lock)

    def _connect(self) -> socket.socket:
        if len(os.fsencode(self._path)) > SOCKET_LENGTH:  # told by whoever looks first, before anything is asked for
            raise Refused(
                f"the path {self._path} is longer than {SOCKET_LENGTH} bytes", subject="embedded cloud",
                hint="choose a shorter OCTAVIA_HOME",
            )  # fmt: skip
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_PATIENCE)
        try:
            connection.connect(str(self._path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            raise NoHolder from error
        except PermissionError as error:
            connection.close()
            raise Refused(
                f"user {os.geteuid()} may not use {self._path}", subject="embedded cloud", hint="be its owner or root"
            ) from error
        except OSError as error:
            connection.close()
            raise Unreachable(f"{self._path}: {error}", subject="embedded cloud") from error
        return connection

    def _exchange(
        self, connection: socket.socket, message: dict[str, Any], descriptor: int | None
    ) -> tuple[dict[str, Any], list[int]]:
        try:
            wire.send(connection, message, [] if descriptor is None else [descriptor])
            answer, descriptors = wire.receive(connection)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {ANSWER_PATIENCE:g} s", subject="embedded cloud") from error
        except (OSError, EOFError) as error:
            raise HolderEnded("it ended while it was asked", subject="embedded cloud") from error
        try:
            _raise(answer)
        except OctaviaError:
            wire.close(descriptors)
            raise
        return answer, descriptors


_ERRORS: dict[str, type[OctaviaError]] = {
    "refused": Refused,
    "transient": TransientError,
    "not_found": NotFound,
    "lease_lost": LeaseLost,
}


def _raise(answer: dict[str, Any]) -> None:
    if error := answer.get("error"):
        raise _ERRORS[error["kind"]](error["message"], subject=error["subject"] or "embedded cloud", hint=error["hint"])
