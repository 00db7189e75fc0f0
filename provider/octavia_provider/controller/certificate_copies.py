# SPDX-License-Identifier: Apache-2.0
"""Copies of what a certificate manager keeps: TLS containers under the ids that it has there, in use like our own.

A copy is made before anything refers to it, so amphorae are made and repaired while the manager does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from octavia_provider.model.errors import Refused
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.metadata import inputs
from octavia_provider.model.tls_container import TlsContainer
from octavia_provider.model.validation import validate
from octavia_provider.ports import Consumer, Record, StoredCertificate, Transaction

KIND = "tls_container"
SOURCE, STATE, EXPIRES = "source", "source_state", "source_expires"
"""What the spec of a copy says beside the inputs: where it is from, the state that was read, when the manager forgets it."""
CONTENT = ("certificate", "private_key", "passphrase", "intermediates", "ca_certificates", "crl")
USERS = ("listener", "pool")
NAMED_BY: Mapping[str, tuple[str, ...]] = {
    kind: tuple(name for name, attribute in inputs(KINDS[kind]).items() if attribute.reference == KIND)
    for kind in USERS
}
"""The attributes that refer to TLS containers."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One that is kept: where it is from."""

    id: str
    source: str


def is_copy(record: Record) -> bool:
    """Whether a TLS container is a copy."""
    return bool(record.spec.get(SOURCE))


def spec_of(found: StoredCertificate) -> dict[str, Any]:
    """By the rules of TLS containers (``model.tls_container``); ``Refused`` says all that is wrong."""
    given = dict(found.inputs or {})
    result = validate(TlsContainer, given)
    if any(violation.path[:1] == ("name",) for violation in result.violations):
        result = validate(TlsContainer, {**given, "name": ""})  # no name that we take, which hurts nobody
    if result.violations:
        hint = "store it anew, and refer to that: what Barbican has cannot be changed"
        raise Refused("; ".join(map(str, result.violations)), subject=found.source, hint=hint)
    return {**result.values, SOURCE: found.source, STATE: found.state, EXPIRES: found.expires}


def copies(tx: Transaction) -> list[Copy]:
    """All of them, without their content."""
    return [Copy(id_, source) for id_, source in tx.values(KIND, {SOURCE: str}) if source]


def consumers(tx: Transaction, id_: str) -> frozenset[Consumer]:
    """The listeners and pools that refer to it."""
    users = tx.find(references=(KIND, id_))
    return frozenset(Consumer(kind=user.kind, id=user.id) for user in users if not user.deleting)


def needed(tx: Transaction, id_: str) -> bool:
    """Whether something refers to it, or goes back to a form that does where its present one is refused."""
    if consumers(tx, id_):
        return True
    return any(id_ in _named(record.kind, record.accepted or {}) for kind in USERS for record in tx.find(kind))


def write(tx: Transaction, record: Record, spec: Mapping[str, Any]) -> bool:
    """Bring a copy up to date; whether it is another one now."""
    if differs(record, spec):
        tx.update(record.id, spec)
        touch_users(tx, record.id)
        return True
    if any(record.spec.get(name) != spec[name] for name in (SOURCE, STATE, EXPIRES)):
        tx.fill(record.id, spec)
    return False


def touch_users(tx: Transaction, id_: str) -> None:
    """A container has changed: what is in force changes wherever it is used."""
    for scope_id in {user.scope_id for user in tx.find(references=(KIND, id_)) if not user.deleting}:
        tx.touch(scope_id)


def differs(record: Record, spec: Mapping[str, Any]) -> bool:
    """Whether what is served of it is another one."""
    return any(record.spec.get(name) != spec.get(name) for name in CONTENT)


def _named(kind: str, spec: Mapping[str, Any]) -> Iterator[str]:
    for name in NAMED_BY[kind]:
        given = spec.get(name)
        yield from [given] if isinstance(given, str) else given or ()
