# SPDX-License-Identifier: Apache-2.0
"""What every handler works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web

from octavia_provider.ports import (
    Amphora,
    CertificateManager,
    Identity,
    Networks,
    Policy,
    StatusCache,
    Store,
    Visibility,
)

from .event_feed import EventFeed
from .pause import Pauses
from .prefer_wait import GenerationWaits
from .unique_swap import UniqueSwaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Facts that the API tells about itself. ``started_at`` is UTC, ISO 8601; ``schema`` is the store's.
    ``shared``: other control planes share it. ``public_url``: where clients reach a TCP port behind a proxy.
    """

    project_id: str
    home: str = ""
    cloud: str = ""
    schema: str = ""
    shared: bool = False
    started_at: str = ""
    public_url: str = ""


class Configurations(Protocol):
    """What haproxy is told for a load balancer."""

    async def in_force(self, load_balancer_id: str) -> str:
        """What an amphora has put in force."""
        ...

    async def rendered(self, load_balancer_id: str) -> Mapping[str, str]:
        """``next``: by the templates as they are now; ``shipped``: by those of this package alone."""
        ...

    async def render(self, load_balancer_id: str) -> None:
        """Render anew and put in force what differs."""
        ...


class Operations(Protocol):
    """What operators ask of a control plane beside objects."""

    def heartbeats(self) -> Mapping[str, Any]:
        """What came in, and whether the control plane suspects itself."""
        ...

    def authority(self) -> Mapping[str, Any]:
        """The certificate authority of agents and control planes, and how far its rotation is."""
        ...

    async def rotate_authority(self) -> None:
        """Begin a rotation of it; one that is under way goes on."""
        ...

    async def reread(self, id_: str) -> bool:
        """Read a TLS container again that is a copy of a certificate manager's; whether it was another one."""
        ...

    async def configure(self, amphora: Amphora) -> None:
        """Give an amphora's agent the settings of now, while it runs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What the control plane around the API does.

    ``stop`` ends the process (soon, after the answer). ``activity`` hears +1 when a request begins and −1 when it ends.
    """

    stop: Callable[[], None]
    activity: Callable[[int], None]
    configurations: Configurations
    operations: Operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Whose requests are answered, beside those on the Unix socket, whose caller may do everything. ``visibility``: of networks,
    where they are not the control plane's own."""

    identity: Identity
    policy: Policy
    visibility: Visibility | None = None

    async def close(self) -> None:
        """Let go of what they hold."""
        await self.identity.close()
        if self.visibility is not None:
            await self.visibility.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The ports, and what is known of the process. ``users`` None: nobody is asked who they are. ``certificates`` None: TLS
    containers are our own alone."""

    store: Store
    status_cache: StatusCache
    networks: Networks
    settings: Settings
    callbacks: Callbacks
    generation_waits: GenerationWaits
    unique_swaps: UniqueSwaps
    event_feed: EventFeed
    pauses: Pauses | None = None
    users: Users | None = None
    certificates: CertificateManager | None = None


CONTROL_PLANE_HEADER = "X-Octavia-Control-Plane"
CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
