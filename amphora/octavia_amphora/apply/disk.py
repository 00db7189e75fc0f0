# SPDX-License-Identifier: Apache-2.0
"""What the agent has to know after a crash, on disk before it acts: the newest push it was told, the one in force.

``newest.json`` is written before anything is done; ``accepted.json`` is made of it, by a link, when it is in force.
So: both alike, nothing was going on; else the newest was being put in force (or was refused: then it holds its stamp
alone), and haproxy may have either.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from octavia_amphora.wire.config import Configuration, digest
from octavia_amphora.wire.messages import VersionStamp

log = logging.getLogger("octavia_amphora.apply")


class PushRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stamp with its configuration; without one for a push that was refused, or (``removed``) a tombstone."""

    stamp: VersionStamp
    configuration: Configuration | None = None
    removed: bool = False


class Disk:
    """The two records of one load balancer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._newest = directory / "newest.json"
        self._accepted = directory / "accepted.json"

    def newest(self) -> PushRecord | None:
        """The newest that the agent was told."""
        return _record(self._newest)

    def accepted(self) -> PushRecord | None:
        """What is in force, or was before a crash."""
        record = _record(self._accepted)
        if record is not None and record.configuration is None:
            quarantine(self._accepted, "it holds no configuration")
            return None
        return record

    def save_newest(self, record: PushRecord) -> None:
        """Keep it; it is on disk when this returns."""
        write(self._newest, msgspec.json.encode(record), durable=True)

    def accept_newest(self) -> None:
        """The newest is in force."""
        link = self._accepted.with_suffix(".tmp")
        remove(link)
        os.link(self._newest, link)
        link.replace(self._accepted)
        _sync_directory(self._directory)

    def write_tombstone(self, record: PushRecord) -> None:
        """Keep the tombstone and nothing else."""
        self.save_newest(record)
        for path in self._directory.iterdir():
            if path != self._newest:
                remove(path)


def write(path: Path, content: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Replace a file as a whole, for us alone unless ``mode`` lets haproxy's group read it; with ``durable``, it is on disk when this returns."""
    scratch = path.with_name(path.name + ".tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if path.is_dir() and not path.is_symlink():
            remove(path)
        scratch.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()  # a disk that is full needs the room
        raise
    if durable:
        _sync_directory(path.parent)


T = TypeVar("T")


def read(path: Path, kind: type[T]) -> T | None:
    """What a file of JSON holds; None where there is none. A damaged one is set aside, and told once: what it held can
    be had again, from the control plane or from haproxy."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        quarantine(path, error)
        return None


def quarantine(path: Path, reason: object) -> None:
    """Rename what cannot be used."""
    log.error("%s is damaged, and set aside: %s", path, reason)
    damaged = path.with_name(f"{path.name}.damaged")
    try:
        remove(damaged)
        path.rename(damaged)
    except OSError as error:
        log.warning("%s cannot be set aside: %s", path, error)


def remove(path: Path) -> None:
    """Remove what is there, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _record(path: Path) -> PushRecord | None:
    """A record that says what its stamp says."""
    record = read(path, PushRecord)
    if record is None or record.configuration is None or digest(record.configuration) == record.stamp.digest:
        return record
    quarantine(path, "its configuration is another than its stamp says")
    return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
