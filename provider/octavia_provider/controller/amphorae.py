# SPDX-License-Identifier: Apache-2.0
"""What an amphora is given when it is booted: identity, keys, where its heartbeats go."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping

import msgspec

from octavia_amphora.wire.messages import AgentConfig, LogLevel
from octavia_provider.ports import Amphora, Authority

DIRECTORY = "/etc/octavia-amphora"
CERTIFICATE = "/run/octavia-amphora/agent.pem"
"""With its key: in a directory that is the agent's own, since it replaces the file when its certificate is renewed."""
AUTHORITIES = "/run/octavia-amphora/authorities.pem"
"""Those that it trusts; it replaces them when the authority is rotated."""
HAPROXY_USER = "haproxy"
"""The user that every amphora has for haproxy, with no capability and without the agent's files."""


def new(load_balancer_id: str, role: str) -> Amphora:
    """A fresh amphora, not yet booted, with a heartbeat key of its own."""
    return Amphora(
        id=str(uuid.uuid4()), load_balancer_id=load_balancer_id, role=role, heartbeat_key=secrets.token_bytes(32)
    )


def files(
    amphora: Amphora,
    authority: Authority,
    receivers: Callable[[], tuple[str, ...]],
    address: str,
    port: int,
    *,
    issued: Callable[[str], None],
    heartbeat_interval: float = 1.0,
    log_level: LogLevel = "info",
) -> Mapping[str, tuple[int, bytes]]:
    """The files of the agent: settings, key with certificate, the authority; keys are readable by root alone.

    ``issued`` is told until when the certificate is good.
    """
    credential = authority.issue_amphora(amphora.id, address)
    issued(credential.expires)
    settings = AgentConfig(
        amphora_id=amphora.id,
        listen_address=address,
        listen_port=port,
        certificate=CERTIFICATE,
        key=CERTIFICATE,
        authority=AUTHORITIES,
        controller=authority.controller_name,
        heartbeat_key=amphora.heartbeat_key.hex(),
        receivers=receivers(),
        heartbeat_interval=heartbeat_interval,
        log_level=log_level,
        haproxy_user=HAPROXY_USER,
    )
    return {
        f"{DIRECTORY}/agent.json": (0o600, msgspec.json.format(msgspec.json.encode(settings))),
        CERTIFICATE: (0o600, credential.key + credential.certificate),
        settings.authority: (0o644, credential.authority),
    }
