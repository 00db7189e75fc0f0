# SPDX-License-Identifier: Apache-2.0
"""A running control plane over any cloud, store, agents and authority: what is started, in which order it ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from octavia_amphora.wire.messages import LogLevel
from octavia_provider.controller.amphora_group import AmphoraGroupReconciler
from octavia_provider.controller.certificate_rotation import CertificateRotation
from octavia_provider.controller.certificate_watch import INTERVAL, CertificateWatch
from octavia_provider.controller.configurations import Configurations
from octavia_provider.controller.context import Ports
from octavia_provider.controller.controller import LEASE_SECONDS, Controller
from octavia_provider.controller.desired_state import DesiredState
from octavia_provider.controller.event_retention import EventRetention
from octavia_provider.controller.heartbeats import Heartbeats
from octavia_provider.controller.housekeeping import Housekeeper
from octavia_provider.controller.load_balancer import BalancerReconciler
from octavia_provider.controller.membership import Membership
from octavia_provider.controller.operations import Operations, agent_options
from octavia_provider.controller.outage import FIRST_PAUSE, LONGEST_PAUSE
from octavia_provider.controller.receivers import HeartbeatReceivers
from octavia_provider.controller.shared_resources import SharedResourceReconciler
from octavia_provider.controller.silence import HeartbeatTiming
from octavia_provider.controller.status_cache import StatusCache
from octavia_provider.model.kinds import SHARED_KINDS
from octavia_provider.ports import (
    Agents,
    Authority,
    CloudDriver,
    Identity,
    Policy,
    Reconciler,
    RemoteAllocation,
    Scope,
    Store,
    Visibility,
)
from octavia_provider.render.overlay import Overlay

if TYPE_CHECKING:
    from octavia_provider.api import Server

Serve = Callable[[Any], Awaitable["Server"]]
"""Serves the application of the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a control plane is made of. ``holder`` names it in leases; ``templates``: an operator's own over ours.

    ``membership``: where several share the store. ``timing``: of heartbeats. ``certificate_interval``: seconds between two looks at
    one that a certificate manager has.
    """

    store: Store
    driver: CloudDriver
    agents: Agents
    authority: Authority
    status_cache: StatusCache
    holder: str
    membership: Membership | None = None
    lease_seconds: float = LEASE_SECONDS
    templates: Overlay = field(default_factory=Overlay)
    timing: HeartbeatTiming = field(default_factory=HeartbeatTiming)
    agent_log_level: LogLevel = "info"
    certificate_interval: float = INTERVAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is particular to this process. ``idle_seconds`` None: it stays when nothing is left to serve. ``identity``, ``policy``
    and ``visibility``: of the users who are served on TCP, where there are any; ``public_url``: where these reach it."""

    project_id: str
    home: str = ""
    idle_seconds: float | None = None
    identity: Identity | None = None
    policy: Policy | None = None
    visibility: Visibility | None = None
    public_url: str = ""


@asynccontextmanager
async def control_plane(
    parts: Parts, facts: Facts, *, serve: Serve | None, stop: Callable[[], None]
) -> AsyncIterator[Controller]:
    """Everything, running. What it started is ended in reverse; the cloud goes on. ``stop`` is called when it wants to end.

    ``serve`` None: without an API.
    """
    async with AsyncExitStack() as stack:
        controller = Controller(
            parts.store, _makers(parts), holder=parts.holder, troubled=parts.status_cache.troubled,
            lease_seconds=parts.lease_seconds, membership=parts.membership,
        )  # fmt: skip
        clock = asyncio.get_running_loop().time
        heartbeats = Heartbeats(
            parts.store, parts.status_cache, controller, parts.agents, parts.driver.cloud, clock=clock,
            membership=parts.membership, timing=parts.timing,
        )  # fmt: skip
        housekeeper = Housekeeper(
            parts.store, parts.driver.cloud, controller, heartbeats, parts.status_cache, networks=parts.driver.networks,
            idle_seconds=facts.idle_seconds, when_idle=stop,
            longest_pause=LONGEST_PAUSE if isinstance(parts.driver.networks, RemoteAllocation) else FIRST_PAUSE,
        )  # fmt: skip
        stack.push_async_callback(controller.stop)
        await controller.start()
        stack.push_async_callback(heartbeats.stop)
        await heartbeats.start()
        housekeeper.start()
        stack.push_async_callback(housekeeper.stop)
        rotation = CertificateRotation(parts.store, parts.authority, controller)
        rotation.start()
        if parts.membership is not None:
            receivers = HeartbeatReceivers(controller, parts.agents, parts.membership)
            receivers.start()
            stack.push_async_callback(receivers.stop)
        stack.push_async_callback(rotation.stop)
        retention = EventRetention(parts.store)
        retention.start()
        stack.push_async_callback(retention.stop)
        certificates = _certificates(parts, controller)
        if certificates is not None:
            certificates.start()
            stack.push_async_callback(certificates.stop)
        if serve is not None:
            await asyncio.to_thread(importlib.import_module, "octavia_provider.api")  # the cloud is built meanwhile
            operations = Operations(
                heartbeats, rotation, parts.driver.cloud, parts.agents,
                options=agent_options(parts.timing.interval, parts.agent_log_level), membership=parts.membership,
                certificates=certificates,
            )  # fmt: skip
            server = await serve(_application(parts, facts, controller, operations, stop))
            stack.push_async_callback(server.close)
        yield controller


def _certificates(parts: Parts, controller: Controller) -> CertificateWatch | None:
    manager = parts.driver.certificates
    if manager is None:
        return None
    return CertificateWatch(parts.store, manager, controller, interval=parts.certificate_interval)


def _makers(parts: Parts) -> Mapping[str, Callable[[Scope], Reconciler]]:
    """What brings each kind of scope about."""
    driver = parts.driver
    ports = Ports(
        store=parts.store,
        compute=driver.cloud,
        agents=parts.agents,
        authority=parts.authority,
        status_cache=parts.status_cache,
        access=driver.access,
        networks=driver.networks,
        holder=parts.holder,
        templates=parts.templates.current,
        receivers=partial(_receivers, parts),
        heartbeat_interval=parts.timing.interval,
        agent_log_level=parts.agent_log_level,
        boots=asyncio.Semaphore(driver.boots_at_once),
    )
    shared = dict.fromkeys(SHARED_KINDS, partial(_shared_resource, parts.store))
    own: dict[str, Callable[[Scope], Reconciler]] = {
        "load_balancer": partial(_load_balancer, ports),
        "amphora_group": partial(_amphora_group, ports),
    }
    return {**shared, **own, **driver.reconcilers}


def _load_balancer(ports: Ports, scope: Scope) -> Reconciler:
    return BalancerReconciler(ports, DesiredState(scope))


def _amphora_group(ports: Ports, scope: Scope) -> Reconciler:
    return AmphoraGroupReconciler(ports, scope)


def _receivers(parts: Parts) -> tuple[str, ...]:
    """Where a new agent sends its heartbeats."""
    found = parts.membership.receivers if parts.membership else ()
    return found or (parts.driver.cloud.heartbeat_receiver,)


def _shared_resource(store: Store, scope: Scope) -> Reconciler:
    return SharedResourceReconciler(store, scope)


def _application(
    parts: Parts, facts: Facts, controller: Controller, operations: Operations, stop: Callable[[], None]
) -> Any:
    from octavia_provider import api

    settings = api.Settings(
        project_id=facts.project_id,
        home=facts.home,
        cloud=parts.driver.name,
        shared=parts.membership is not None,
        started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        public_url=facts.public_url,
    )
    users = None
    if facts.identity is not None and facts.policy is not None:
        users = api.Users(identity=facts.identity, policy=facts.policy, visibility=facts.visibility)
    configurations = Configurations(controller, parts.templates, parts.driver.cloud, parts.agents)
    callbacks = api.Callbacks(stop=stop, activity=lambda _: None, configurations=configurations, operations=operations)
    return api.create_app(
        parts.store, parts.status_cache, parts.driver.networks, settings=settings, callbacks=callbacks,
        local_kinds=tuple(parts.driver.reconcilers), directory=parts.driver.directory, users=users,
        certificate_manager=parts.driver.certificates,
    )  # fmt: skip
