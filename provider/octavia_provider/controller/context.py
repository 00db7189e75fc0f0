# SPDX-License-Identifier: Apache-2.0
"""What reconcilers of load balancers work with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from octavia_amphora.wire.messages import LogLevel
from octavia_provider.ports import Agents, Authority, Compute, ListenerAccess, Networks, Store
from octavia_provider.render.environment import Templates, shipped

from .status_cache import StatusCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a reconciler works with. ``receivers``: of heartbeats. ``boots``: turns of amphorae that start."""

    store: Store
    compute: Compute
    agents: Agents
    authority: Authority
    status_cache: StatusCache
    access: ListenerAccess
    networks: Networks
    holder: str
    receivers: Callable[[], tuple[str, ...]]
    boots: asyncio.Semaphore
    heartbeat_interval: float = 1.0
    agent_log_level: LogLevel = "info"
    templates: Callable[[], Templates] = shipped
