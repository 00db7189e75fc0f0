# SPDX-License-Identifier: Apache-2.0
"""The resources of a stack while a run changes them, as a list of small changes.

The same changes are applied live and, after a crash, when the journal is read again. Resources are in the checkpoint's
JSON form here (secrets encrypted), so folding a journal needs no passphrase.

Resources of the checkpoint have the keys 0, 1, …; new ones get higher keys. The result lists the resources of this run in
the order of their completion, then those that the run has not reached: everything comes after its dependencies.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Change: TypeAlias = dict[str, Any]
_REFERENCES = ("urn", "parent", "deletedWith")


class Snapshot:
    """The state of a stack, changed only by :meth:`apply`."""

    def __init__(self, deployment: dict[str, Any]) -> None:
        self.olds: dict[int, dict[str, Any]] = dict(enumerate(deployment.get("resources") or []))
        self.news: dict[int, dict[str, Any]] = {}
        self.pending: dict[int, dict[str, Any]] = {}
        self.renamed: dict[str, str] = {}
        self.next_key = len(self.olds)
        for operation in deployment.get("pending_operations") or []:
            self.pending[self.take_key()] = operation

    def take_key(self) -> int:
        """A key that is new in this snapshot."""
        self.next_key += 1
        return self.next_key - 1

    def apply(self, change: Change) -> None:
        """One change. ``do`` is put, drop, begin, settle, rename or secrets; the rest depends on it.

        put: ``key``, ``state``, and ``of``: the key whose place it takes; with ``last`` it comes after all others.
        drop: ``key``. begin: ``key``, ``type`` and ``state`` of a pending operation. settle: ``key``. rename: ``urn`` →
        ``to``.
        """
        key = int(change.get("key", -1))
        self.next_key = max(self.next_key, key + 1)
        match change["do"]:
            case "put":
                self._put(key, change["state"], change.get("of"), last=change.get("last", False))
            case "drop":
                self.olds.pop(key, None)
                self.news.pop(key, None)
            case "begin":
                self.pending[key] = {"resource": change["state"], "type": change["type"]}
            case "settle":
                self.pending.pop(key, None)
            case "secrets":
                pass  # the secrets provider of a first run; read by the backend
            case "rename":
                self.renamed[change["urn"]] = change["to"]
            case other:
                raise ValueError(f"the journal speaks of {other!r}, which this version does not know")

    def _put(self, key: int, state: dict[str, Any], of: int | None, *, last: bool) -> None:
        if of is not None:
            self.olds.pop(of, None)
            self.news.pop(of, None)
        if last or key in self.olds:
            self.olds[key] = state
        else:
            self.news[key] = state

    def resources(self) -> list[dict[str, Any]]:
        """Every resource, dependencies first."""
        olds = list(self.olds.values())
        if self.renamed:
            olds = [self._with_renames(state) for state in olds]
        return [*self.news.values(), *olds]

    def _with_renames(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state that the run has not reached, with references to renamed resources updated."""
        renamed = self.renamed
        updated = dict(state)
        for name in _REFERENCES:
            if updated.get(name) in renamed:
                updated[name] = renamed[updated[name]]
        if "dependencies" in updated:
            updated["dependencies"] = [renamed.get(urn, urn) for urn in updated["dependencies"]]
        if "propertyDependencies" in updated:
            updated["propertyDependencies"] = {
                name: [renamed.get(urn, urn) for urn in urns] for name, urns in updated["propertyDependencies"].items()
            }
        provider, _, ident = str(updated.get("provider", "")).rpartition("::")
        if provider in renamed:
            updated["provider"] = f"{renamed[provider]}::{ident}"
        return updated

    def operations(self) -> list[dict[str, Any]]:
        """The pending operations."""
        return list(self.pending.values())
