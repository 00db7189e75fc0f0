# SPDX-License-Identifier: Apache-2.0
"""What a store keeps: objects with their scopes, amphorae, control planes, and what becomes of a write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .clouds import Vip


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who made an object: the uuid of the Pulumi provider resource, and the URN of the resource."""

    provider: str
    urn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One desired object. ``spec``: its canonical inputs (``model.validation``), names as in the API.

    ``scope_id`` is the unit that is reconciled as one: the load balancer's id for all that belongs to it, an object's
    own id for networks and hosts. ``generation`` is the scope's at the object's last write. ``accepted`` is the last
    spec that was in force, None before the first time. ``error`` says why the present spec is not in force.
    """

    id: str
    kind: str
    scope_id: str
    project_id: str
    spec: Mapping[str, Any]
    generation: int
    accepted: Mapping[str, Any] | None = None
    deleting: bool = False
    error: str | None = None
    owner: Owner | None = None
    confirmed: bool = False
    created_at: str = ""
    updated_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is reconciled as one. ``kind`` is that of its root object.

    ``generation`` counts writes, ``applied`` is the newest generation whose outcome is settled, ``revision`` counts
    configurations, ``fence`` is the lease's number, ``epoch`` is raised by an operator's restore alone.
    """

    id: str
    kind: str
    generation: int = 0
    applied: int = 0
    revision: int = 0
    epoch: int = 0
    fence: int = 0


CERTIFICATE, AGENT, DRAIN = "certificate", "agent", "drain"
"""What operators ask of an amphora: another certificate, its agent started anew, that it has no VIP while another one can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amphora:
    """An amphora as the store knows it: made before it is booted, gone after it is deleted.

    ``retiring``: it is to be replaced. ``own``: its own addresses, one in each subnet of the VIPs' network, where it shares
    the VIPs with others. ``flavor``: what it was booted by (``model.flavor.BOOTED``). ``agent_version``: as its agent tells.
    ``requests``: what operators ask of it. ``issuer`` of its certificate, and the ``trusted`` authorities (``ports.Authority``);
    None: of before there could be several. ``host_id``: the amphora of a group that it is on, as a *seat*, whose
    agent it has; None: it has an instance of its own. ``image_id``: what it was booted from, in a cloud of images.
    ``compute_id``: what the cloud calls its instance; None: it has had none yet. An amphora of a group has the group's id as ``load_balancer_id``, and the role GROUP.
    """

    id: str
    load_balancer_id: str
    role: str = "STANDALONE"
    status: str = "BOOTING"
    heartbeat_key: bytes = b""
    certificate_expires: str | None = None
    management_address: str | None = None
    retiring: bool = False
    own: tuple[Vip, ...] = ()
    flavor: Mapping[str, Any] = field(default_factory=dict)
    agent_version: str | None = None
    requests: frozenset[str] = frozenset()
    issuer: str | None = None
    trusted: str | None = None
    host_id: str | None = None
    image_id: str | None = None
    compute_id: str | None = None
    created_at: str | None = field(default=None, compare=False)
    updated_at: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """A process that serves the database. ``name`` is the holder of its leases; ``heartbeat_receiver``: where it hears the
    amphorae ("address:port"), None while it has no socket for them. ``alive``: it has said so within its lease.
    ``load_balancers``: how many leases of such it has, as the store tells; it says nothing of them itself.
    """

    name: str
    machine: str = ""
    pid: int = 0
    version: str = ""
    started_at: str = ""
    heartbeat_receiver: str | None = None
    alive: bool = True
    load_balancers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The outcome of one apply: every object of ``scope_id`` up to ``generation`` is settled.

    ``accepted``: id → the spec that is in force now, None when no form of it is; its error is cleared unless ``errors``
    has one. ``errors``: id → why its spec is not in force. An object that was written again after ``generation`` keeps
    its pending state. Objects that were being deleted at or before ``generation`` are removed.
    """

    scope_id: str
    generation: int
    accepted: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
