# SPDX-License-Identifier: Apache-2.0
"""What the agent has to know after a crash, on disk before it acts: the newest push it was told, the one in force.

``newest.json`` is written before anything is done; ``accepted.json`` is made of it, by a link, when it is in force.
So: both alike, nothing was going on; else the newest was being put in force (or was refused: then it holds its stamp
alone), and haproxy may have either.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from octavia_amphora.wire.config import Configuration
from octavia_amphora.wire.messages import Stamp


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stamp with its configuration; without one for a push that was refused, or (``removed``) a tombstone."""

    stamp: Stamp
    configuration: Configuration | None = None
    removed: bool = False


class Disk:
    """The two records of one load balancer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._newest = directory / "newest.json"
        self._accepted = directory / "accepted.json"

    def newest(self) -> Record | None:
        """The newest that the agent was told."""
        return _read(self._newest)

    def accepted(self) -> Record | None:
        """What is in force, or was before a crash."""
        return _read(self._accepted)

    def put_newest(self, record: Record) -> None:
        """Keep it; it is on disk when this returns."""
        write(self._newest, msgspec.json.encode(record), durable=True)

    def accept_newest(self) -> None:
        """The newest is in force."""
        link = self._accepted.with_suffix(".tmp")
        link.unlink(missing_ok=True)
        os.link(self._newest, link)
        link.replace(self._accepted)
        _sync_directory(self._directory)

    def bury(self, record: Record) -> None:
        """Keep the tombstone and nothing else."""
        self.put_newest(record)
        for path in self._directory.iterdir():
            if path != self._newest:
                path.unlink()


def write(path: Path, content: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace a file as a whole, for us alone unless ``mode`` lets haproxy's group read it; with ``durable``, it is on disk when this returns."""
    scratch = path.with_name(path.name + ".tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    scratch.replace(path)
    if durable:
        _sync_directory(path.parent)


def _read(path: Path) -> Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
