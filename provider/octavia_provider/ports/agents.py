# SPDX-License-Identifier: Apache-2.0
"""What is said to agents, and the certificates that both sides show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from octavia_amphora.wire.messages import (
    AgentOptions,
    Applied,
    InForce,
    LoadBalancerStatus,
    Push,
    Receivers,
    States,
    VersionStamp,
)
from octavia_provider.model.errors import Unreachable

from .clouds import Instance


class AgentRefused(Exception):
    """The agent answered with a ``Refusal``."""

    def __init__(self, refusal: Any) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class CertificateExpired(Unreachable):
    """The agent's certificate has expired: no TLS connection to it until the cloud has given it another one."""


class Agents(Protocol):
    """What is said to agents. ``model.errors.Unreachable`` when one does not answer in time."""

    async def push(self, host: Instance, load_balancer_id: str, push: Push) -> Applied:
        """Put a configuration in force; ``AgentRefused`` when the agent says no."""
        ...

    async def remove(self, host: Instance, load_balancer_id: str, stamp: VersionStamp) -> None:
        """Stop serving a load balancer."""
        ...

    async def standing(self, host: Instance, load_balancer_id: str) -> LoadBalancerStatus | None:
        """What is in force, None when the agent has nothing of this load balancer."""
        ...

    async def states(self, host: Instance, load_balancer_id: str) -> States | None:
        """Statistics and states in full."""
        ...

    async def in_force(self, host: Instance, load_balancer_id: str) -> InForce | None:
        """The configuration that is in force, None when the agent has none: for who has not pushed it."""
        ...

    async def send_heartbeats_to(self, host: Instance, receivers: Receivers) -> bool:
        """From the next one on; False: this agent cannot change it. ``AgentRefused`` (stale): it knows of a later change."""
        ...

    async def configure(self, host: Instance, options: AgentOptions) -> None:
        """Change settings of an agent while it runs; ``PermanentError`` where its version cannot."""
        ...

    async def renew_certificate(self, host: Instance, credential: Credential) -> bool:
        """Give the agent another certificate, which it shows from the next connection on; False: this agent cannot."""
        ...

    async def trust(self, host: Instance, bundle: bytes) -> bool:
        """The agent believes the certificates of these authorities (PEM) and no other, from the next connection on; False: this
        agent cannot change that."""
        ...

    async def ready(self, host: Instance, timeout: float) -> str | None:
        """Return its version when the agent answers, as soon as it does; ``Unreachable`` after ``timeout`` seconds."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A certificate with its key and the authority's certificate, all PEM."""

    certificate: bytes
    key: bytes
    authority: bytes
    expires: str


class Authority(Protocol):
    """The CA of the amphorae."""

    SECRET: str
    """The name of what the store keeps of it."""

    @property
    def expires(self) -> str:
        """Until when its own certificate is good."""
        ...

    @property
    def issuer(self) -> str:
        """Which authority signs now."""
        ...

    @property
    def trusted(self) -> str:
        """Which are believed now: more than one while it is rotated."""
        ...

    @property
    def bundle(self) -> bytes:
        """The certificates of those, PEM."""
        ...

    @property
    def phase(self) -> str:
        """How far a rotation has come: ``trust``, ``issue``; empty where there is none."""
        ...

    @property
    def phase_age(self) -> float:
        """Seconds since the phase began."""
        ...

    @property
    def ending(self) -> bool:
        """Whether a rotation is due."""
        ...

    def follow(self, kept: bytes) -> bool:
        """Take in what the store keeps now; True where that is something new."""
        ...

    def begun(self) -> bytes:
        """What is to be kept so that a rotation begins."""
        ...

    def advanced(self) -> bytes:
        """What is to be kept so that the next phase begins."""
        ...

    def due(self, expires: str | None) -> bool:
        """Whether a certificate that expires then (None: unknown) has to be renewed: two thirds of its life are over."""
        ...

    @property
    def controller_name(self) -> str:
        """The URI name in the controllers' certificates, which agents ask for."""
        ...

    def issue_amphora(self, amphora_id: str, address: str) -> Credential:
        """For an agent: names are the amphora's id (DNS) and its address; for servers only."""
        ...

    def issue_controller(self) -> Credential:
        """For a control plane: the URI name; for clients only."""
        ...
