# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of the agent's API (JSON over HTTPS with certificates on both sides).

GET    /v1/info                           → Info
PUT    /v1/load-balancers/{id}            Push → 200 Applied | 409 Refusal (stale, conflict, base) | 503 Refusal (transient) | 422 Refusal
GET    /v1/load-balancers/{id}            → LoadBalancerStatus | 404
GET    /v1/load-balancers/{id}/states     → States | 404
DELETE /v1/load-balancers/{id}            VersionStamp in the body → 204 | 409 Refusal
GET    /v1/load-balancers/{id}/configuration → InForce | 404
PUT    /v1/receivers                      Receivers → 204 | 400 Refusal | 409 Refusal (stale)
PUT    /v1/certificate                    ServerCertificate → 204 | 422 Refusal | 405 (its key and certificate are two files)
PUT    /v1/authorities                    TrustBundle → 204 | 422 Refusal | 405 (it cannot write its file)
PUT    /v1/options                        AgentOptions → 204 | 422 Refusal
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .config import Configuration, Delta
from .vrrp import VrrpState


class VersionStamp(msgspec.Struct, frozen=True):
    """Which configuration a push carries.

    The agent keeps the newest on disk before it acts; refuses a smaller (epoch, fence, revision); answers an equal one
    with the same digest as done and an equal one with another digest as an error.
    """

    epoch: int
    fence: int
    revision: int
    generation: int
    digest: str

    @property
    def order(self) -> tuple[int, int, int]:
        """What decides which of two stamps is the newer one."""
        return (self.epoch, self.fence, self.revision)


class Push(msgspec.Struct, frozen=True, omit_defaults=True):
    """A configuration, whole or as what changed. Exactly one of ``full`` and ``delta`` is given."""

    stamp: VersionStamp
    full: Configuration | None = None
    delta: Delta | None = None


Outcome = Literal["unchanged", "runtime", "reload", "start"]


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """The push is in force. ``workers`` are haproxy's process ids that serve now.

    ``heartbeat``: boot and sequence of the last heartbeat before this answer. An older one that comes later is a replay,
    also for a control plane that has just started and has heard none.
    """

    stamp: VersionStamp
    outcome: Outcome
    workers: tuple[int, ...] = ()
    seconds: float = 0.0
    heartbeat: tuple[int, int] = (0, 0)


class Complaint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that haproxy or the kernel said no to.

    ``line`` counts from 1 in ``compose(configuration)`` without the global section, None where no line is named; ``proxy`` is the
    frontend or backend, ``server`` the server, where known.
    """

    message: str
    line: int | None = None
    proxy: str = ""
    server: str = ""


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The push is not in force; what was before it is.

    stale: a newer stamp is known · conflict: same stamp, other digest · base: the delta's base is not what is in
    force, push the whole · refused: ``haproxy -c`` said no · bind: an address or port is taken · failed: the reload
    did not come up, rolled back · transient: the amphora is short of something (memory, processes, descriptors, disk,
    time): what is configured is not to blame, push again later.
    """

    kind: Literal["stale", "conflict", "base", "refused", "bind", "failed", "bad_request", "transient"]
    message: str
    complaints: tuple[Complaint, ...] = ()
    stamp: VersionStamp | None = None


class LoadBalancerStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in force for one load balancer, and the processes that serve it. ``vrrp``: empty where it is not one of a pair."""

    stamp: VersionStamp
    serving: bool
    master: int = 0
    workers: tuple[int, ...] = ()
    reloads: int = 0
    vrrp: VrrpState = ""


class Counters(msgspec.Struct, frozen=True, omit_defaults=True):
    """A listener's counters since its beginning (they survive reloads), in Octavia's five terms."""

    bytes_in: int = 0
    bytes_out: int = 0
    active_connections: int = 0
    total_connections: int = 0
    request_errors: int = 0


ServerState = Literal["up", "down", "drain", "maint", "no_check", "unknown"]


class States(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that the agent knows of one load balancer, by name: what a heartbeat says, at any size.

    ``listeners``: by frontend name, counters and whether it is open ("up") or full or stopped. ``servers``: by backend
    name, then server name.
    """

    load_balancer_id: str
    digest: str
    serving: bool
    listeners: dict[str, ListenerState] = {}
    servers: dict[str, dict[str, ServerState]] = {}
    vrrp: VrrpState = ""


class ListenerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One frontend."""

    status: Literal["open", "full", "stopped"] = "open"
    counters: Counters = Counters()


class Info(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who answers. ``image``: the versions of what its amphora's image is made of, by name; empty where there is no image."""

    amphora_id: str
    version: str
    haproxy: str
    boot: str
    load_balancers: tuple[str, ...] = ()
    image: dict[str, str] = {}


class ServerCertificate(msgspec.Struct, frozen=True):
    """What the agent is to show from the next connection on: its key and its certificate, PEM, one after the other."""

    pem: str


class TrustBundle(msgspec.Struct, frozen=True):
    """The certificates of the authorities that the agent believes from the next connection on, and no other: PEM."""

    pem: str


class Receivers(msgspec.Struct, frozen=True):
    """Where heartbeats go from now on, in place of the ``receivers`` of the settings. ``as_of``: what was so later comes later."""

    receivers: tuple[str, ...]
    as_of: float


class InForce(msgspec.Struct, frozen=True):
    """The configuration that is in force, without the contents of files, and its digest."""

    digest: str
    configuration: Configuration


LogLevel = Literal["debug", "info", "warning"]


class AgentOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changes of an agent's settings while it runs; UNSET: it stays. The agent keeps it over a restart of its own,
    until ``agent.json`` is written anew."""

    heartbeat_interval: float | msgspec.UnsetType = msgspec.UNSET
    log_level: LogLevel | msgspec.UnsetType = msgspec.UNSET


class AgentConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The agent's settings: ``/etc/octavia-amphora/agent.json``, written where the amphora is booted.

    ``certificate``, ``key`` and ``authority`` are paths of PEM files; a certificate that is in one file with its key can be
    renewed while the agent runs. ``controller`` is the identity (URI name) that a
    caller's certificate must carry. Heartbeats go to every one of ``receivers`` ("address:port") each
    ``heartbeat_interval`` seconds, and at once when a state changes, signed with ``heartbeat_key`` (hex). ``finish``: seconds that a push waits for requests which
    removed servers are still answering. ``haproxy_user``: who haproxy runs as, without capabilities; empty: as the agent.
    """

    amphora_id: str
    listen_address: str
    listen_port: int
    certificate: str
    key: str
    authority: str
    controller: str
    heartbeat_key: str
    receivers: tuple[str, ...] = ()
    heartbeat_interval: float = 1.0
    finish: float = 1.0
    state_directory: str = "/var/lib/octavia-amphora"
    run_directory: str = "/run/octavia-amphora"
    haproxy: str = "haproxy"
    haproxy_user: str = ""
    log_level: LogLevel = "info"
