# SPDX-License-Identifier: Apache-2.0
"""Operations on stacks: create, select, export, import, remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from octavia_engine import state, values
from octavia_engine.backend import Backend, LoadedStack
from octavia_engine.project import Project
from octavia_engine.run import Options, StackSession, stack_not_found
from octavia_engine.secrets import Secrets
from octavia_engine.urns import STACK_TYPE, name_of
from octavia_engine.values import Props
from octavia_provider.model.errors import Conflict, Invalid, NotFound, Violation

DEFAULT = "dev"
"""The stack that the first `up` of a project creates by default."""


class _NullDisplay:
    """A display without output."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kw: None


def session(project_dir: Path, stack: str) -> StackSession:
    """A stack's session without a display."""
    return StackSession(project_dir, stack, Options(display=_NullDisplay()))


def init(project_dir: Path, stack: str) -> None:
    """Create an empty stack. Raises Conflict when it exists."""
    stack_session = session(project_dir, stack)
    with stack_session.backend.lock(stack_session.names.project, stack):
        opened = stack_session.open(create=True)
        if opened.exists:
            raise Conflict("there is such a stack already", subject=f"stack {stack}")
        secrets = stack_session.secrets(opened, required=True)
        _write(stack_session, [], [], secrets)


def export(project_dir: Path, stack: str, *, show_secrets: bool = False) -> dict[str, Any]:
    """The document for ``pulumi stack import``; secrets stay encrypted without ``show_secrets``."""
    stack_session = session(project_dir, stack)
    deployment = stack_session.peek().deployment
    if show_secrets:
        secrets = stack_session.secrets(LoadedStack(deployment, "", exists=True), required=True)
        deployment = deployment | {"resources": _with_plaintext(deployment.get("resources") or [], secrets)}
    return {"version": 3, "deployment": deployment}


def import_(project_dir: Path, stack: str, document: Any) -> int:
    """Replace a stack's state by an export, re-encrypted with this stack's key; return the number of resources."""
    deployment = document.get("deployment") if isinstance(document, dict) else None
    if not isinstance(deployment, dict) or document.get("version") != 3:
        raise Invalid([Violation((), "it is not an export of version 3")], subject=f"stack {stack}")
    state.check(deployment, f"stack {stack}")
    stack_session = session(project_dir, stack)
    with stack_session.backend.lock(stack_session.names.project, stack):
        opened = stack_session.open(create=False)
        secrets = stack_session.secrets(opened, required=True)
        source_salt = LoadedStack(deployment, "", exists=True).salt
        resources, pending = deployment.get("resources") or [], deployment.get("pending_operations") or []
        if secrets and source_salt != secrets.salt:
            resources, pending = _reencrypt([resources, pending], source_salt, secrets, stack)
        _check_order(resources, stack)
        _write(stack_session, resources, pending, secrets)
    return len(resources)


def _reencrypt(resources: Any, salt: str | None, secrets: Secrets, stack: str) -> Any:
    """Decrypt with the source's key and encrypt with this stack's."""
    from octavia_engine.secrets import passphrase

    def decipher(text: str) -> str:
        if salt is None:
            raise Invalid([Violation((), "it has encrypted secrets but does not say how")], subject=f"stack {stack}")
        return Secrets.open(salt, passphrase(stack), stack).decrypt(text)

    return values.encrypt(values.decrypt(resources, decipher), secrets.encrypt)


def _check_order(resources: list[dict[str, Any]], stack: str) -> None:
    """Raise Invalid unless everything comes after what it refers to."""
    defined: set[str] = set()
    for resource in resources:
        missing = state.ResourceState.from_json(_without_properties(resource), str).required_urns() - defined
        if missing:
            problem = f"{resource['urn']} refers to {', '.join(sorted(missing))}, which does not come before it"
            raise Invalid([Violation(("resources",), problem)], subject=f"stack {stack}")
        defined.add(resource["urn"])


def _without_properties(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in ("inputs", "outputs")}


def _with_plaintext(resources: list[dict[str, Any]], secrets: Secrets | None) -> Any:
    def special(item: dict[str, Any]) -> Any:
        if item[values.SIGNATURE] != values.SECRET:
            return item
        return {values.SIGNATURE: values.SECRET, "plaintext": json.dumps(values.plain(item["value"]))}

    if secrets is None:
        return resources
    return values.rewrite(values.decrypt(resources, secrets.decrypt), special)


def _write(stack_session: StackSession, resources: Any, pending: Any, secrets: Secrets | None) -> None:
    provider = secrets.provider() if secrets else None
    stack_session.backend.write(
        stack_session.names.project, stack_session.stack, state.new_deployment(resources, pending, provider)
    )


def outputs(project_dir: Path, stack: str) -> Props:
    """The stack's outputs, secrets marked."""
    stack_session = session(project_dir, stack)
    opened = stack_session.peek()
    for resource in opened.deployment.get("resources") or []:
        if resource["type"] == STACK_TYPE:
            secrets = stack_session.secrets(opened, required=values.has_secret(resource.get("outputs")))
            decipher = secrets.decrypt if secrets else str
            opened_outputs: Props = values.decrypt(resource.get("outputs") or {}, decipher)
            return opened_outputs
    return {}


def remove(project_dir: Path, stack: str, *, force: bool = False) -> None:
    """Forget a stack. Raises Conflict while it has resources or half-made ones, unless forced (they stay, unmanaged)."""
    stack_session = session(project_dir, stack)
    with stack_session.backend.lock(stack_session.names.project, stack):
        deployment = stack_session.open(create=False).deployment
        resources, pending = deployment.get("resources") or [], deployment.get("pending_operations") or []
        if resources and not force:
            raise Conflict(
                f"it still has {len(resources)} resources",
                subject=f"stack {stack}",
                hint="octaviactl destroy, or stack rm --force to leave them behind",
            )
        if pending and not force:
            names = ", ".join(sorted({name_of(operation["resource"]["urn"]) for operation in pending}))
            raise Conflict(
                f"a run was interrupted while it made {names}, which may exist",
                subject=f"stack {stack}",
                hint="octaviactl destroy; or octaviactl stack forget NAME, or stack rm --force, to leave them behind",
            )
        stack_session.backend.remove(stack_session.names.project, stack)
        selection = _selection(stack_session.project)
        if selection.exists() and selection.read_text().strip() == stack:
            selection.unlink()


def find_urns(project_dir: Path, stack: str, names: list[str], *, everything: bool = False) -> list[str]:
    """The URNs that match these names or URNs: resources, and pending creates.

    Raises NotFound and, for an ambiguous name, Invalid.
    """
    deployment = session(project_dir, stack).peek().deployment
    urns = list(dict.fromkeys(resource["urn"] for resource in _all_of(deployment)))
    if everything:
        return urns
    found: list[str] = []
    for name in names:
        matching = [urn for urn in urns if name in (urn, name_of(urn))]
        if not matching:
            raise NotFound(f"it has no resource {name}", subject=f"stack {stack}", hint="octaviactl stack export")
        if len(matching) > 1:
            raise Invalid([Violation((), f"{name} may be any of {', '.join(matching)}; name the URN")], subject=stack)
        found += matching
    return found


def forget(project_dir: Path, stack: str, urns: list[str]) -> None:
    """Remove resources from the state only; the objects are left alone. The passphrase is not needed.

    Raises Conflict when remaining resources depend on them.
    """
    stack_session = session(project_dir, stack)
    with stack_session.backend.lock(stack_session.names.project, stack):
        deployment = stack_session.open(create=False).deployment
        forgotten = set(urns)
        resources = [resource for resource in deployment.get("resources") or [] if resource["urn"] not in forgotten]
        pending = [op for op in deployment.get("pending_operations") or [] if op["resource"]["urn"] not in forgotten]
        for resource in (*resources, *(op["resource"] for op in pending)):
            needed = state.ResourceState.from_json(_without_properties(resource), str).required_urns() & forgotten
            if needed:
                raise Conflict(
                    f"{resource['urn']} depends on {', '.join(sorted(needed))}",
                    subject=f"stack {stack}",
                    hint=f"octaviactl stack forget {name_of(resource['urn'])} first or too, or --all",
                )
        latest = state.new_deployment(resources, pending, deployment.get("secrets_providers"))
        stack_session.backend.write(stack_session.names.project, stack, latest)


def _all_of(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    pending = [operation["resource"] for operation in deployment.get("pending_operations") or []]
    return [*(deployment.get("resources") or []), *pending]


def _selection(project: Project) -> Path:
    return project.state_dir / "selected"


def exists(project_dir: Path, stack: str) -> bool:
    """Whether the stack exists, possibly only in the journal of an interrupted first run."""
    stack_session = session(project_dir, stack)
    return stack_session.backend.peek(stack_session.names.project, stack).exists


def default_stack(project_dir: Path, name: str | None = None) -> str:
    """The given stack, else the selected one, else the only one, else `dev`; it need not exist."""
    if name:
        return name
    project = Project.load(project_dir)
    selection = _selection(project)
    if selection.exists():
        return selection.read_text().strip()
    stacks = Backend(project.state_dir).stacks(project.name)
    return stacks[0] if len(stacks) == 1 else DEFAULT


def require_stack(project_dir: Path, name: str | None = None, *, first: bool = False, create: bool = False) -> str:
    """The name of an existing stack, by default as in :func:`default_stack`. Raises NotFound with a hint.

    ``first``: in a project without stacks the default `dev` need not exist. ``create``: no stack need exist.
    """
    stack = default_stack(project_dir, name)
    if create or exists(project_dir, stack):
        return stack
    project = Project.load(project_dir)
    stacks = Backend(project.state_dir).stacks(project.name)
    if first and not name and not stacks:
        return DEFAULT
    if name or _selection(project).exists() or not stacks:
        raise stack_not_found(stack, stacks)
    raise NotFound(
        f"no stack is selected, and there are {', '.join(stacks)}.",
        hint="name one with --stack, or octaviactl stack select NAME",
    )


def select(project_dir: Path, stack: str) -> None:
    """Select the default stack of later commands."""
    stack_session = session(project_dir, stack)
    stack_session.peek()
    selection = _selection(stack_session.project)
    selection.parent.mkdir(parents=True, exist_ok=True)
    selection.write_text(f"{stack}\n")
