# SPDX-License-Identifier: Apache-2.0
"""The journal of a run: JSON lines, appended and synced before and after each step that changes something.

The first line names the checkpoint it starts from by its SHA-256; each further line is one or more changes of the
:mod:`snapshot` that hold together. A line that a crash cut short was never waited for and is left out. When the run
ends, or the next one starts, the journal is folded into the checkpoint. A line ``folded`` with the new checkpoint's
SHA-256 is written first, to distinguish a crash before the journal's removal from a checkpoint that somebody else
changed.

Writers that wait at the same time share one fsync.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_engine.snapshot import Change, Snapshot

VERSION = 1


class Journal:
    """An open journal; :meth:`append` is cheap, :meth:`sync` returns when everything appended is on disk."""

    def __init__(self, path: Path, base: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lines: list[str] = [_line({"journal": VERSION, "base": base})]
        self._appended, self._synced = 1, 0
        self._lock = asyncio.Lock()

    def append(self, *changes: Change) -> None:
        """Append changes atomically: after a crash there are all of them or none."""
        self._lines.append(_line({"changes": changes}))
        self._appended += 1

    async def sync(self) -> None:
        """Wait until everything appended so far is on disk."""
        target = self._appended
        async with self._lock:
            if self._synced >= target:
                return
            lines, self._lines, reached = self._lines, [], self._appended
            await asyncio.to_thread(self._write, "".join(lines).encode())
            self._synced = reached

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    def fold(self, digest: str) -> None:
        """Record the digest of the checkpoint that is about to be written with all these changes."""
        self._lines.append(_line({"folded": digest}))
        self._write("".join(self._lines).encode())
        self._lines = []

    def close(self, *, remove: bool) -> None:
        """Close the file; ``remove`` deletes it after folding."""
        os.close(self._file)
        if remove:
            self.path.unlink(missing_ok=True)


def _line(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n"


@dataclass
class JournalContents:
    """The contents of a journal: base digest, changes, and digests of checkpoints it may already be folded into."""

    base: str
    changes: list[Change] = field(default_factory=list)
    folded: set[str] = field(default_factory=set)

    def fold_into(self, deployment: dict[str, Any]) -> Snapshot:
        """The snapshot after all changes."""
        snapshot = Snapshot(deployment)
        for change in self.changes:
            snapshot.apply(change)
        return snapshot


def read(path: Path) -> JournalContents | None:
    """Read a journal; None when there is none, or its first line is incomplete."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    contents: JournalContents | None = None
    for line in lines[:-1]:  # text after the last newline was never synced
        record = json.loads(line)
        if "journal" in record:
            contents = JournalContents(record["base"])
        elif contents is not None:
            contents.changes.extend(record.get("changes", ()))
            if "folded" in record:
                contents.folded.add(record["folded"])
    return contents
