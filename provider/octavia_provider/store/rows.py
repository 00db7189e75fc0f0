# SPDX-License-Identifier: Apache-2.0
"""Rows to what the ports speak of, and back."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.ports import Amphora, ControlPlane, Owner, Record, Scope, Vip

from .cipher import Cipher


def now() -> str:
    """The time as Octavia writes it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def plain(value: Any) -> Any:
    """What reading the JSON back would give: tuples become lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def record(row: Any, cipher: Cipher) -> Record:
    """A row of ``objects``."""
    owner = Owner(provider=row.owner_provider, urn=row.owner_urn) if row.owner_provider is not None else None
    return Record(
        id=row.id,
        kind=row.kind,
        scope_id=row.scope_id,
        project_id=row.project_id,
        spec=_opened(row.kind, row.id, row.spec, cipher),
        generation=row.generation,
        accepted=_opened(row.kind, row.id, row.accepted, cipher) if row.accepted is not None else None,
        deleting=row.deleting,
        error=row.error,
        owner=owner,
        confirmed=row.confirmed,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def columns(given: Record, cipher: Cipher) -> dict[str, Any]:
    """A row of ``objects`` for a record."""
    return {
        "id": given.id,
        "kind": given.kind,
        "scope_id": given.scope_id,
        "project_id": given.project_id,
        "name": given.spec.get("name", ""),
        "spec": sealed(given.kind, given.id, given.spec, cipher),
        "accepted": sealed(given.kind, given.id, given.accepted, cipher) if given.accepted is not None else None,
        "generation": given.generation,
        "deleting": given.deleting,
        "error": given.error,
        "unique_key": unique_key(given.kind, given.spec),
        "owner_provider": given.owner.provider if given.owner else None,
        "owner_urn": given.owner.urn if given.owner else None,
        "confirmed": given.confirmed,
        "created_at": given.created_at,
        "updated_at": given.updated_at,
    }


def _secrets(kind: str) -> tuple[str, ...]:
    """The attributes of a kind that are encrypted."""
    return _SECRETS.get(kind, ())


_SECRETS = {
    kind: names for kind, cls in KINDS.items() if (names := tuple(n for n, a in inputs(cls).items() if a.hidden))
}
SECRET_KINDS = tuple(_SECRETS)
HIDDEN_MAPS = frozenset(n for cls in KINDS.values() for n, a in inputs(cls).items() if a.hidden and a.is_map)


def sealed(kind: str, object_id: str, spec: Mapping[str, Any], cipher: Cipher) -> Mapping[str, Any]:
    """The spec as it is written: secrets encrypted, each bound to its object and attribute."""
    found = {
        name: b64encode(cipher.encrypt(_text(spec[name]).encode(), _context(kind, object_id, name))).decode()
        for name in _secrets(kind)
        if spec.get(name)
    }
    return {**spec, **found} if found else spec


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value))


def _opened(kind: str, object_id: str, spec: Mapping[str, Any], cipher: Cipher) -> Mapping[str, Any]:
    known = inputs(KINDS[kind])
    found: dict[str, Any] = {}
    for name in _secrets(kind):
        if spec.get(name) and isinstance(spec[name], str):  # a map that older code wrote is not encrypted
            opened = cipher.decrypt(b64decode(spec[name]), _context(kind, object_id, name)).decode()
            found[name] = json.loads(opened) if known[name].is_map else opened
    return {**spec, **found} if found else spec


def _context(kind: str, object_id: str, name: str) -> str:
    return f"{name} of {kind} {object_id}"


def unique_key(kind: str, spec: Mapping[str, Any]) -> str | None:
    """What no other object of the kind may have."""
    unique = KINDS[kind].UNIQUE
    return unique.key(spec) if unique else None


def references(kind: str, object_id: str, spec: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Rows of ``object_references`` for an object."""
    for name, attribute in _REFERRING[kind].items():
        given = spec.get(name)
        targets = (
            {f"{name}.{place}": one for place, one in enumerate(given or ())} if attribute.is_list else {name: given}
        )
        for place, target in targets.items():
            if target:
                yield {
                    "object_id": object_id, "attribute": place, "target_kind": attribute.reference, "target_id": target,
                }  # fmt: skip


_REFERRING = {kind: {n: a for n, a in inputs(cls).items() if a.reference} for kind, cls in KINDS.items()}


def scope(row: Any) -> Scope:
    """A row of ``scopes``."""
    return Scope(
        id=row.id,
        kind=row.kind,
        generation=row.generation,
        applied=row.applied,
        revision=row.revision,
        epoch=row.epoch,
        fence=row.fence,
    )


def amphora(row: Any, cipher: Cipher) -> Amphora:
    """A row of ``amphorae``."""
    return Amphora(
        id=row.id,
        load_balancer_id=row.load_balancer_id,
        role=row.role,
        status=row.status,
        heartbeat_key=b"" if row.host_id else cipher.decrypt(row.heartbeat_key, heartbeat_context(row.id)),
        certificate_expires=row.certificate_expires,
        management_address=row.management_address,
        retiring=row.retiring,
        own=tuple(Vip(**vip) for vip in row.own),
        flavor=row.flavor,
        agent_version=row.agent_version,
        requests=frozenset(row.requests),
        issuer=row.issuer,
        trusted=row.trusted,
        host_id=row.host_id,
        image_id=row.image_id,
        compute_id=row.compute_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def control_plane(row: Any, *, alive: bool, load_balancers: int) -> ControlPlane:
    """A row of ``control_planes``."""
    return ControlPlane(
        name=row.name,
        machine=row.machine,
        pid=row.pid,
        version=row.version,
        started_at=row.started_at,
        heartbeat_receiver=row.heartbeat_receiver,
        alive=alive,
        load_balancers=load_balancers,
    )


def heartbeat_context(amphora_id: str) -> str:
    """What the ciphertext of a heartbeat key is bound to."""
    return f"heartbeat key of amphora {amphora_id}"
