# SPDX-License-Identifier: Apache-2.0
"""The storage of stacks: Pulumi's file backend layout, so that ``pulumi`` with ``file://<state dir>`` reads it.

    .pulumi/meta.yaml                               version: 1
    .pulumi/stacks/<project>/<stack>.json[.bak]     the checkpoint, and the previous one
    .pulumi/locks/organization/<project>/<stack>/   one JSON file per running process
    journal/<project>/<stack>.jsonl                 changes of a run since the checkpoint (:mod:`journal`)

Checkpoints are replaced whole (write, fsync, rename). One resource a line: fast to write, readable in a diff.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from octavia_engine import journal as journals
from octavia_engine import state
from octavia_provider.model.errors import Conflict, Invalid, NotFound, Violation

ORGANIZATION = "organization"
_ENGINE_MARK = "octavia"
_INTERRUPTED = "an update of it was interrupted"


@dataclass
class LoadedStack:
    """A stack's checkpoint as loaded, after an interrupted run was folded in."""

    deployment: dict[str, Any]
    digest: str
    exists: bool
    interrupted: list[dict[str, Any]] = field(default_factory=list)
    """Operations of an earlier run whose outcome is unknown."""

    @property
    def salt(self) -> str | None:
        """The passphrase salt, if the checkpoint has one."""
        provider = self.deployment.get("secrets_providers") or {}
        if provider and provider.get("type") != "passphrase":
            raise Invalid(
                [Violation((), f"its secrets provider is {provider.get('type')!r}; this engine knows passphrase")]
            )
        return (provider.get("state") or {}).get("salt")


class Backend:
    """The stacks of one state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pulumi = root / ".pulumi"

    def path(self, project: str, stack: str) -> Path:
        """The checkpoint's file."""
        return self._pulumi / "stacks" / project / f"{stack}.json"

    def journal_path(self, project: str, stack: str) -> Path:
        """The journal's file."""
        return self.root / "journal" / project / f"{stack}.jsonl"

    def stacks(self, project: str) -> list[str]:
        """The names of a project's stacks."""
        return sorted(path.stem for path in (self._pulumi / "stacks" / project).glob("*.json"))

    def open(self, project: str, stack: str) -> LoadedStack:
        """Load a stack; the journal of an interrupted run is folded in first. Call it with the lock held."""
        data, digest = self._read(project, stack)
        journal = journals.read(self.journal_path(project, stack))
        if journal is None:
            self.journal_path(project, stack).unlink(missing_ok=True)
        elif digest in journal.folded:
            self.journal_path(project, stack).unlink()
        elif digest != journal.base:
            raise Conflict(
                "a run was interrupted, and since then something else has changed the stack",
                subject=f"stack {stack}",
                hint=f"compare {self.journal_path(project, stack)} with the stack, then move the file away",
            )
        else:
            return self._recover(project, stack, journal, data)
        return LoadedStack(data, digest, bool(digest), list(data.get("pending_operations") or []))

    def peek(self, project: str, stack: str) -> LoadedStack:
        """Read a stack, including the journal of a running update; writes nothing and needs no lock."""
        data, digest = self._read(project, stack)
        journal = journals.read(self.journal_path(project, stack))
        if journal is not None and journal.base == digest:
            snapshot = journal.fold_into(data)
            provider = data.get("secrets_providers") or self._salt(journal)
            data = state.new_deployment(snapshot.resources(), snapshot.operations(), provider)
        return LoadedStack(data, digest, bool(digest) or bool(data))

    def _read(self, project: str, stack: str) -> tuple[dict[str, Any], str]:
        path = self.path(project, stack)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return {}, ""
        try:
            document = json.loads(raw)
            version, latest = document["version"], document["checkpoint"].get("latest") or {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            backup = path.with_name(f"{path.name}.bak")
            hint = (
                f"restore {backup.name}"
                if backup.exists()
                else f"octaviactl stack import what you have saved of {stack}"
            )
            raise Conflict(f"its checkpoint {path} is not readable: {error}", subject=stack, hint=hint) from error
        if version != 3:
            raise Invalid(
                [Violation(("version",), f"checkpoint version {version}; this engine knows 3")], subject=stack
            )
        state.check(latest, f"{stack}: its checkpoint {path}")
        return latest, hashlib.sha256(raw).hexdigest()

    def _recover(
        self, project: str, stack: str, journal: journals.JournalContents, data: dict[str, Any]
    ) -> LoadedStack:
        snapshot = journal.fold_into(data)
        operations = snapshot.operations()
        resources = snapshot.resources()
        updating = {op["resource"]["urn"] for op in operations if op["type"] == "updating"}
        for resource in resources:  # forces an Update in the next run, whatever the inputs are then
            if resource["urn"] in updating and not resource.get("delete"):
                resource["initErrors"] = [_INTERRUPTED]
        unknown_outcome = [op for op in operations if op["type"] in {"creating", "deleting"}]
        deployment = state.new_deployment(
            resources, unknown_outcome, data.get("secrets_providers") or self._salt(journal)
        )
        digest = self.write(project, stack, deployment)
        self.journal_path(project, stack).unlink()
        return LoadedStack(deployment, digest, exists=True, interrupted=operations)

    @staticmethod
    def _salt(journal: journals.JournalContents) -> dict[str, Any] | None:
        """The secrets provider of a first run, which is only in the journal so far."""
        return next((change["provider"] for change in journal.changes if change["do"] == "secrets"), None)

    def write(self, project: str, stack: str, deployment: dict[str, Any], run: journals.Journal | None = None) -> str:
        """Replace the checkpoint after recording its digest in the journal; return its SHA-256."""
        path = self.path(project, stack)
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = self._pulumi / "meta.yaml"
        if not meta.exists():
            meta.write_text("version: 1\n")
        data = _encode(f"{ORGANIZATION}/{project}/{stack}", deployment)
        digest = hashlib.sha256(data).hexdigest()
        if run is not None:
            run.fold(digest)
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():  # copied, not renamed: there is a checkpoint at every moment
            shutil.copyfile(path, path.with_suffix(".json.bak"))
        temporary.replace(path)
        _fsync_folder(path.parent)
        return digest

    def remove(self, project: str, stack: str) -> None:
        """Forget a stack: its checkpoint, the one before, and any journal."""
        path = self.path(project, stack)
        if not path.exists():
            raise NotFound("there is no such stack.", subject=f"stack {stack}", hint="octaviactl stack ls")
        for file in (path, path.with_suffix(".json.bak"), self.journal_path(project, stack)):
            file.unlink(missing_ok=True)

    @contextmanager
    def lock(self, project: str, stack: str) -> Iterator[None]:
        """Lock the stack. Raises Conflict, naming the holder."""
        folder = self._pulumi / "locks" / ORGANIZATION / project / stack
        folder.mkdir(parents=True, exist_ok=True)
        flock_path = self.root / "journal" / project / f"{stack}.lock"
        flock_path.parent.mkdir(parents=True, exist_ok=True)
        with flock_path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _locked(stack, folder) from error
            for other in folder.glob("*.json"):
                if _ENGINE_MARK not in json.loads(other.read_text()):
                    raise _locked(stack, folder)
                other.unlink()  # left by a dead process of this engine, which no longer holds the flock
            owner_path = folder / f"{uuid.uuid4()}.json"
            owner_path.write_text(json.dumps(_owner()))
            try:
                yield
            finally:
                owner_path.unlink(missing_ok=True)


def _owner() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "username": getpass.getuser(),
        "hostname": platform.node(),
        "timestamp": state.now(),
        _ENGINE_MARK: True,
    }


def _locked(stack: str, folder: Path) -> Conflict:
    owners = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    who = "; ".join(f"{o.get('username')}@{o.get('hostname')}, pid {o.get('pid')}" for o in owners) or "another run"
    return Conflict(
        f"it is in use by {who}",
        subject=f"stack {stack}",
        hint="wait for that run to end; if it is a `pulumi` that died, `pulumi cancel`",
    )


def _encode(name: str, deployment: dict[str, Any]) -> bytes:
    """The checkpoint's document, one resource a line."""
    resources = deployment.get("resources") or []
    rest = {key: value for key, value in deployment.items() if key != "resources"}
    head = json.dumps({"version": 3, "checkpoint": {"stack": name, "latest": rest}}, ensure_ascii=False)
    lines = ",\n".join(json.dumps(resource, ensure_ascii=False) for resource in resources)
    separator = ", " if rest else ""
    return f'{head[:-3]}{separator}"resources": [\n{lines}\n]}}}}}}\n'.encode()


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
