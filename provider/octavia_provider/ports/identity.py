# SPDX-License-Identifier: Apache-2.0
"""Who asks the API, and what they may do: where users come from and who judges them is for an adapter to know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

LOCAL_PROJECT = "0" * 32
"""Whose objects are those of a caller that is no user: the one project of a control plane without users, spelled as Keystone would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A user as the identity service knows them. ``credentials``: as policies read them; ``project_id`` None: the token is of no project."""

    user_id: str
    project_id: str | None
    credentials: Mapping[str, Any] = field(repr=False)


class Identity(Protocol):
    """Tells from a request's token who asks."""

    challenge: str
    """``WWW-Authenticate`` of an answer to somebody unknown (RFC 9110, section 11.6.1)."""

    async def caller(self, method: str, path: str, headers: Mapping[str, str]) -> Caller:
        """``Unauthenticated`` where nothing valid is shown, ``Unreachable`` where nobody can tell."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...


class Policy(Protocol):
    """Which callers may do what to which project's objects."""

    def allows(self, rule: str, caller: Caller, project_id: str | None) -> bool:
        """``rule``: by Octavia's name (``os_load-balancer_api:listener:post``); ``project_id``: whose the object is."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """What a request names of Neutron: ``subnets``, ``networks``, ``ports``, ``security-groups``, ``policies`` (of QoS), and an id."""

    collection: str
    id: str


class Visibility(Protocol):
    """What of the cloud's networks a caller can see, and so may name."""

    async def hidden(self, token: str, named: Collection[Named]) -> frozenset[Named]:
        """What is not there for them. ``Unreachable`` where nobody can tell."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...
