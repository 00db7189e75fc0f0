# SPDX-License-Identifier: Apache-2.0
"""The snapshot of a run and its journal.

Changes that are recorded together are atomic across a crash. A preview records nothing.
"""

from __future__ import annotations

from typing import Any

from octavia_engine.journal import Journal
from octavia_engine.secrets import Secrets
from octavia_engine.snapshot import Change, Snapshot
from octavia_engine.state import ResourceState
from octavia_provider.model.errors import Forbidden


class SnapshotManager:
    """States in, checkpoint out. ``journal`` is None in a preview."""

    def __init__(self, deployment: dict[str, Any], secrets: Secrets | None, journal: Journal | None) -> None:
        self.snapshot = Snapshot(deployment)
        self.journal = journal
        self._secrets = secrets
        self.states: dict[int, ResourceState] = {
            key: ResourceState.from_json(raw, self._decipher) for key, raw in self.snapshot.olds.items()
        }
        if journal is not None and secrets is not None and "secrets_providers" not in deployment:
            self.record({"do": "secrets", "provider": secrets.provider()})

    def _decipher(self, text: str) -> str:
        return self._key().decrypt(text)

    def _key(self) -> Secrets:
        if self._secrets is None:
            raise Forbidden("the stack has secrets and was opened without its passphrase")
        return self._secrets

    def record(self, *changes: Change) -> None:
        """Apply changes and append them to the journal atomically."""
        if self.journal is None:
            return
        for change in changes:
            self.snapshot.apply(change)
        self.journal.append(*changes)

    async def sync(self) -> None:
        """Wait until everything recorded is on disk."""
        if self.journal is not None:
            await self.journal.sync()

    def put(
        self, state: ResourceState, *, key: int | None = None, of: int | None = None, last: bool = False
    ) -> tuple[int, Change]:
        """The key of a state, and the change that stores it (in the place of ``of``, or after all others)."""
        if key is None:
            key = self.snapshot.take_key()
        change: Change = {"do": "put", "key": key, "state": self._to_raw(state, key if of is None else of)}
        if last:
            change["last"] = True
        if of is not None:
            change["of"] = of
            self.states.pop(of, None)
        self.states[key] = state
        return key, change

    @staticmethod
    def drop(key: int) -> Change:
        """The change that forgets a state."""
        return {"do": "drop", "key": key}

    def begin(self, kind: str, state: ResourceState) -> int:
        """Record a pending operation (creating, updating, deleting, reading, importing); return its key."""
        key = self.snapshot.take_key()
        self.record({"do": "begin", "key": key, "type": kind, "state": self._to_raw(state, None)})
        return key

    @staticmethod
    def end(key: int) -> Change:
        """The change that ends a pending operation."""
        return {"do": "settle", "key": key}

    def pending_creates(self, urn: str) -> list[int]:
        """Keys of creates of that URN whose outcome is unknown."""
        return [
            key
            for key, operation in self.snapshot.pending.items()
            if operation["type"] == "creating" and operation["resource"]["urn"] == urn
        ]

    def pending_deletes(self, state: ResourceState) -> list[int]:
        """Keys of deletes of that object whose outcome is unknown."""
        return [
            key
            for key, operation in self.snapshot.pending.items()
            if operation["type"] == "deleting"
            and operation["resource"]["type"] == state.type
            and operation["resource"].get("id", "") == state.id
        ]

    def unfinished_creates(self) -> dict[int, ResourceState]:
        """The last create of unknown outcome of each URN."""
        last = {
            operation["resource"]["urn"]: key
            for key, operation in self.snapshot.pending.items()
            if operation["type"] == "creating"
        }
        pending = self.snapshot.pending
        return {key: ResourceState.from_json(pending[key]["resource"], self._decipher) for key in last.values()}

    def _to_raw(self, state: ResourceState, old_key: int | None) -> dict[str, Any]:
        """The checkpoint's form; unchanged values keep their ciphertext, so an unchanged stack stays identical."""
        if self.journal is None:
            return {}
        before = self.states.get(old_key) if old_key is not None else None
        old_raw = self.snapshot.olds.get(old_key, self.snapshot.news.get(old_key)) if old_key is not None else None
        raw_state = state.to_json(self._key().encrypt)
        for name in ("inputs", "outputs"):
            if old_raw and before and name in old_raw and getattr(before, name) == getattr(state, name):
                raw_state[name] = old_raw[name]
        return raw_state
