# SPDX-License-Identifier: Apache-2.0
"""What a certificate manager outside keeps (Barbican), to which listeners and pools refer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCertificate:
    """What is under a reference. ``source``: its URL, by which it is asked for again. ``state``: as long as it is the same, so is the
    content. ``expires``: when the manager forgets the first part of it (UTC, ISO 8601). ``inputs``: those of a TLS container, not
    validated; None where it was not read, since ``state`` is the one that was known."""

    id: str
    source: str
    state: str
    expires: str | None = None
    inputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Consumer:
    """A listener or a pool that uses a certificate."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """What is asked for: an id, and where the reference was a URL, of which collection. ``token``: of the user who names it, where one does."""

    id: str
    collection: str | None = None
    token: str | None = field(default=None, repr=False)


class CertificateManager(Protocol):
    """Certificates by reference. Errors name the reference and say what to do: ``NotFound``, ``Forbidden``, ``Refused`` where it
    is of a wrong type or cannot be read; ``TransientError`` where the manager has no answer now."""

    async def read(self, wanted: Readable, known: str | None = None) -> StoredCertificate:
        """What is there. ``known``: the state that was seen before; where it is still the same the content is not read.

        A user who gives a token must be able to see it, and lets the control plane read it by that token where it may not yet.
        """
        ...

    async def register(self, source: str, consumers: Collection[Consumer]) -> None:
        """Have exactly these of ours registered as its consumers; nothing happens where it is gone, or the manager keeps none."""
        ...
