# SPDX-License-Identifier: Apache-2.0
"""The state of a resource: Pulumi's ``apitype.ResourceV3``, and the deployment document.

:class:`ResourceState` is the in-memory form, with decrypted secrets. Its JSON form is that of the checkpoint;
:meth:`ResourceState.to_json` omits empty values, as Pulumi does.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from octavia_engine import values
from octavia_engine.values import Props
from octavia_provider.model.errors import Invalid, Violation

_ALWAYS = ("urn", "custom", "type")
_KEYS = {  # attribute → key, in the order in which Pulumi writes them
    "urn": "urn",
    "custom": "custom",
    "delete": "delete",
    "id": "id",
    "type": "type",
    "inputs": "inputs",
    "outputs": "outputs",
    "parent": "parent",
    "protect": "protect",
    "external": "external",
    "dependencies": "dependencies",
    "init_errors": "initErrors",
    "provider": "provider",
    "property_dependencies": "propertyDependencies",
    "pending_replacement": "pendingReplacement",
    "additional_secret_outputs": "additionalSecretOutputs",
    "custom_timeouts": "customTimeouts",
    "import_id": "importID",
    "retain_on_delete": "retainOnDelete",
    "deleted_with": "deletedWith",
    "created": "created",
    "modified": "modified",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
}
_NAMES = {key: name for name, key in _KEYS.items()}


@dataclass(slots=True)
class ResourceState:
    """One resource. ``custom_timeouts`` are seconds by operation; ``created`` and ``modified`` are RFC 3339."""

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Props = field(default_factory=dict)
    outputs: Props = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    protect: bool = False
    external: bool = False
    delete: bool = False
    pending_replacement: bool = False
    retain_on_delete: bool = False
    deleted_with: str = ""
    import_id: str = ""
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    init_errors: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    created: str = ""
    modified: str = ""
    unknown_keys: dict[str, Any] = field(default_factory=dict)
    """Keys of the checkpoint that this engine does not use; they are preserved."""

    def to_json(self, cipher: Callable[[str], str]) -> dict[str, Any]:
        """The checkpoint's form, secrets encrypted."""
        document: dict[str, Any] = {}
        for name, key in _KEYS.items():
            value = getattr(self, name)
            if value or name in _ALWAYS:
                document[key] = values.encrypt(value, cipher) if name in ("inputs", "outputs") else value
        return document | self.unknown_keys

    @classmethod
    def from_json(cls, data: dict[str, Any], decipher: Callable[[str], str]) -> ResourceState:
        """The reverse of :meth:`to_json`."""
        known = {_NAMES[key]: value for key, value in data.items() if key in _NAMES and value is not None}
        for name in ("inputs", "outputs"):
            if name in known:
                known[name] = values.decrypt(known[name], decipher)
        more = {key: value for key, value in data.items() if key not in _NAMES}
        return cls(**known, unknown_keys=more)

    def copy(self, **changes: Any) -> ResourceState:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def required_urns(self) -> set[str]:
        """The URNs this one requires: parent, provider, dependencies and ``deletedWith``."""
        found = {*self.dependencies, self.parent, self.deleted_with}
        found.update(urn for urns in self.property_dependencies.values() for urn in urns)
        if self.provider:
            found.add(self.provider.rpartition("::")[0])
        return found - {""}


def check(deployment: Any, subject: str) -> None:
    """Whether it has the shape of a deployment; ``Invalid`` names the first place that has not."""
    if not isinstance(deployment, dict):
        raise Invalid([Violation((), "is not a mapping")], subject=subject)
    for name in ("resources", "pending_operations"):
        entries = deployment.get(name) or []
        if not isinstance(entries, list):
            raise Invalid([Violation((name,), "is not a list")], subject=subject)
        for place, entry in enumerate(entries):
            resource = entry.get("resource") if name == "pending_operations" and isinstance(entry, dict) else entry
            if missing := _invalid_shape(resource):
                raise Invalid([Violation((name, place), missing)], subject=subject)


def _invalid_shape(resource: Any) -> str:
    """What is missing or malformed in a resource of a checkpoint; "" when nothing is."""
    if not isinstance(resource, dict):
        return "is not a mapping"
    without = [name for name in ("urn", "type") if not isinstance(resource.get(name), str)]
    without += [] if isinstance(resource.get("custom"), bool) else ["custom"]
    if without:
        return f"has no {' and no '.join(without)}"
    shapes = {"inputs": dict, "outputs": dict, "dependencies": list, "propertyDependencies": dict, "provider": str}
    wrong = [name for name, shape in shapes.items() if not isinstance(resource.get(name) or shape(), shape)]
    return f"has {', '.join(wrong)} of another shape" if wrong else ""


def now() -> str:
    """The time in RFC 3339, UTC, as checkpoints have it."""
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")


def new_deployment(
    resources: list[dict[str, Any]], pending: list[dict[str, Any]], secrets_provider: dict[str, Any] | None
) -> dict[str, Any]:
    """``deployment`` of an export, ``latest`` of a checkpoint (version 3)."""
    document: dict[str, Any] = {"manifest": {"time": now(), "magic": "", "version": ""}}
    if secrets_provider is not None:
        document["secrets_providers"] = secrets_provider
    document["resources"] = resources
    if pending:
        document["pending_operations"] = pending
    document["metadata"] = {}
    return document
