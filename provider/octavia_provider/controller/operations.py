# SPDX-License-Identifier: Apache-2.0
"""What operators ask of a control plane beside objects: how it is, settings of agents, the rotation of the authority."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from octavia_amphora.wire.messages import AgentOptions, LogLevel, Receivers
from octavia_provider.model.errors import Unreachable
from octavia_provider.ports import AgentRefused, Agents, Amphora, Compute

from .certificate_rotation import CertificateRotation
from .certificate_watch import CertificateWatch
from .heartbeats import Heartbeats
from .membership import Membership


class Operations:
    """Of one control plane."""

    def __init__(
        self, heartbeats: Heartbeats, rotation: CertificateRotation, compute: Compute, agents: Agents,
        *, options: AgentOptions, membership: Membership | None = None, certificates: CertificateWatch | None = None,
    ) -> None:  # fmt: skip
        self._heartbeats, self._rotation = heartbeats, rotation
        self._compute, self._agents = compute, agents
        self._options, self._membership = options, membership
        self._certificates = certificates

    def heartbeats(self) -> Mapping[str, Any]:
        """What came in, and whether the control plane suspects itself."""
        return self._heartbeats.facts()

    def authority(self) -> Mapping[str, Any]:
        """The certificate authority of agents and control planes, and how far its rotation is."""
        return self._rotation.facts()

    async def rotate_authority(self) -> None:
        """Begin a rotation of it; one that is under way goes on."""
        await self._rotation.rotate_authority()

    async def reread(self, id_: str) -> bool:
        """Read a copy of a certificate manager's again; whether it was another one."""
        return self._certificates is not None and await self._certificates.reread(id_)

    async def configure(self, amphora: Amphora) -> None:
        """Give an amphora's agent the settings of now, while it runs; haproxy sees nothing of it."""
        instances = await self._compute.instances(amphora.load_balancer_id)
        host = next((one for one in instances if one.amphora_id == amphora.id and one.alive), None)
        if host is None:
            raise Unreachable("it does not run", subject=f"amphora {amphora.id}", hint="wait until it is made again")
        await self._agents.configure(host, self._options)
        if self._membership is not None and self._membership.receivers:
            with contextlib.suppress(AgentRefused):  # stale: another control plane has told it since
                await self._agents.send_heartbeats_to(
                    host, Receivers(self._membership.receivers, self._membership.as_of)
                )


def agent_options(interval: float, log_level: LogLevel) -> AgentOptions:
    """The settings that an agent can be given while it runs."""
    return AgentOptions(heartbeat_interval=interval, log_level=log_level)
