# SPDX-License-Identifier: Apache-2.0
"""What a program asks for: RegisterResource and ReadResource requests as plain data."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from octavia_engine import urns, values
from octavia_engine.values import Props
from octavia_provider.model.errors import Invalid, Violation

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|h|m|s)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Alias:
    """A former identity: a whole URN, or what of type, name, parent, stack and project was different."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str | None = None
    """None: the same parent as now; empty: none."""


@dataclass
class Goal:
    """A resource as the program wants it. ``custom_timeouts`` are in seconds."""

    type: str
    name: str
    custom: bool
    inputs: Props = field(default_factory=dict)
    parent: str = ""
    provider: str = ""
    version: str = ""
    id: str = ""
    """Of ReadResource: what to read."""
    import_id: str = ""
    protect: bool = False
    retain_on_delete: bool = False
    deleted_with: str = ""
    delete_before_replace: bool | None = None
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)

    def former_urns(self, stack: str, project: str, parent: str, old_parents: list[str]) -> list[str]:
        """The URNs under which the resource may be known: by its aliases, and by those of its parent."""
        found: list[str] = []
        for alias in self.aliases:
            under = parent if alias.parent is None else alias.parent
            found.append(
                alias.urn
                or urns.urn(
                    alias.stack or stack,
                    alias.project or project,
                    under,
                    alias.type or self.type,
                    alias.name or self.name,
                )
            )
        found += [urns.urn(stack, project, former, self.type, self.name) for former in old_parents]
        return found


def goal_from_register(request: Any) -> Goal:
    """The goal of a RegisterResourceRequest. Raises Invalid."""
    property_dependencies = {key: sorted(entry.urns) for key, entry in sorted(request.propertyDependencies.items())}
    aliases = [Alias(urn=urn) for urn in request.aliasURNs]
    aliases += [_alias(alias) for alias in request.aliases]
    inputs = values.without_outputs(values.from_struct(request.object))
    if not property_dependencies and request.dependencies:
        # as Pulumi: a client that does not say which property depends on what means all of them
        property_dependencies = {key: list(request.dependencies) for key in inputs}
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        inputs=inputs,
        parent=request.parent,
        provider=request.provider or request.providers.get(urns.package_of(request.type), ""),
        version=request.version,
        import_id=request.importId,
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        deleted_with=request.deletedWith,
        delete_before_replace=request.deleteBeforeReplace if _has_delete_before_replace(request) else None,
        dependencies=list(request.dependencies),
        property_dependencies=property_dependencies,
        ignore_changes=list(request.ignoreChanges),
        replace_on_changes=list(request.replaceOnChanges),
        additional_secret_outputs=list(request.additionalSecretOutputs),
        aliases=aliases,
        custom_timeouts=_timeouts(request),
    )


def goal_from_read(request: Any) -> Goal:
    """The goal of a ReadResourceRequest: an object that others own."""
    return Goal(
        type=request.type,
        name=request.name,
        custom=True,
        inputs=values.without_outputs(values.from_struct(request.properties)),
        parent=request.parent,
        provider=request.provider,
        version=request.version,
        id=request.id,
        dependencies=list(request.dependencies),
        additional_secret_outputs=list(request.additionalSecretOutputs),
    )


def _has_delete_before_replace(request: Any) -> bool:
    return bool(request.deleteBeforeReplaceDefined or request.deleteBeforeReplace)


def _alias(alias: Any) -> Alias:
    if alias.WhichOneof("alias") == "urn":
        return Alias(urn=alias.urn)
    spec = alias.spec
    parent = {"parentUrn": spec.parentUrn, "noParent": ""}.get(spec.WhichOneof("parent") or "")
    return Alias(name=spec.name, type=spec.type, stack=spec.stack, project=spec.project, parent=parent)


def _timeouts(request: Any) -> dict[str, float]:
    timeouts = request.customTimeouts
    named = {name: getattr(timeouts, name) for name in ("create", "update", "delete", "read")}
    return {name: parse_duration(text, f"customTimeouts.{name}") for name, text in named.items() if text}


def parse_duration(text: str, where: str = "duration") -> float:
    """A Go duration such as ``1h30m`` or ``90s`` in seconds. Raises Invalid."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Invalid([Violation((where,), f"{text!r} is not a duration such as 5m or 1h30m")])
    total: float = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return int(total) if total == int(total) else total
