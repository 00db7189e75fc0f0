# SPDX-License-Identifier: Apache-2.0
"""UDP listeners and pools → data: the agent makes nftables rules of them, as it alone knows which members are alive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octavia_amphora.wire.config import Backend, Bind, Datagrams, Frontend, Server, Spreading
from octavia_provider.model import formats
from octavia_provider.model.health_monitor import HealthMonitor
from octavia_provider.model.listener import Listener
from octavia_provider.model.member import Member
from octavia_provider.model.pool import Pool

from .health_monitor import probe

SPREADING: Mapping[str, Spreading] = {
    "ROUND_ROBIN": "round_robin", "SOURCE_IP": "source_ip", "SOURCE_IP_PORT": "source_ip_port",
}  # fmt: skip
# keepalived's default, which Octavia leaves in force
PERSISTENCE_SECONDS = 360


def frontend(
    listener: Listener, pool: Pool | None, backend: str, binds: tuple[Bind, ...], sources: tuple[str, ...] = ()
) -> Frontend:
    """A UDP listener; ``pool`` None: nobody answers."""
    persistence = pool.session_persistence if pool else None
    mask = persistence.persistence_granularity if persistence else None
    datagrams = Datagrams(
        backend=backend if pool else "",
        spreading=SPREADING[pool.lb_algorithm] if pool else "round_robin",
        persistence=(persistence.persistence_timeout or PERSISTENCE_SECONDS) if persistence else 0,
        prefix4=formats.prefix_length(mask) if mask and ":" not in mask else 32,
        prefix6=formats.prefix_length(mask) if mask and ":" in mask else 128,
        limit=listener.connection_limit,
        sources=sources,
    )
    return Frontend(listener.id, "", binds, allowed=listener.allowed_cidrs, datagrams=datagrams)


def backend(
    name: str, listener: Listener, pool: Pool, monitor: HealthMonitor | None, members: Iterable[Member]
) -> Backend:
    """A UDP pool."""
    servers = (
        Server(
            name=member.id,
            address=member.address,
            port=member.protocol_port,
            weight=member.weight,
            admin="ready" if member.admin_state_up else "maint",
            check_address=member.monitor_address or "",
            check_port=member.monitor_port or 0,
            backup=member.backup,
        )
        for member in members
    )
    return Backend(
        name=name,
        pool_id=pool.id,
        text="",
        servers={server.name: server for server in servers},
        probe=probe(monitor, listener, pool),
        datagrams=True,
    )
