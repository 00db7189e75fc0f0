# SPDX-License-Identifier: Apache-2.0
"""The health monitor: how the members of a pool are watched (octavia-api v2, ``healthmonitors``)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from . import common
from .listener import RELOAD, no_sctp
from .metadata import Choice, Cost, OneOf, Reference, Replaces, Rule, Unique
from .scalars import ExpectedCodes, GrpcService, HostName, Id, UrlPath

TYPES = (
    Choice("HTTP", "a request whose status code is looked at"),
    Choice(
        "HTTPS",
        "as HTTP, over TLS; the member's certificate is verified only if the pool verifies members (tls_enabled with ca_tls_container_ref)",
    ),
    Choice("TCP", "a connection that is opened and closed"),
    Choice("PING", "an ICMP echo"),
    Choice("TLS-HELLO", "the beginning of a TLS handshake: a ClientHello that is answered with a ServerHello"),
    Choice("UDP-CONNECT", 'UDP pools: an empty datagram; "port unreachable" is a failure, silence is none'),
    Choice("SCTP", "not served"),
    Choice(
        "GRPC",
        "the call grpc.health.v1.Health/Check, by HTTP/2 as the pool's requests go: in the clear, or by TLS as it is said of the "
        "pool (HTTPS pools: without verifying); in the clear where a member is checked elsewhere. Beyond Octavia",
    ),
)
# octavia/common/config.py: udp_connect_min_interval_health_monitor
UDP_CONNECT_DELAY = 3
METHODS = tuple(
    Choice(method, f"{method} requests")
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH")
)
HTTP_ONLY = ("http_method", "url_path", "expected_codes")
"""Refused with other types, as in Octavia, which takes the version and the name of a host with every type."""
HTTP_DEFAULTS: Mapping[str, str] = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
WITH_HTTP = ("http_version", "domain_name")
HTTP_TYPES = ("HTTP", "HTTPS")
LONGEST = 24 * 24 * 3600  # seconds; haproxy counts milliseconds in 32 bits


def _timeout(monitor: "HealthMonitor") -> str | None:
    if monitor.timeout > monitor.delay:
        return f"is longer than delay ({monitor.delay} s): the next check begins when the one before it has ended"
    return None


def _idle(name: str) -> Rule:
    types = (*HTTP_TYPES, "GRPC") if name == "domain_name" else HTTP_TYPES

    def check(monitor: "HealthMonitor") -> str | None:
        if monitor.type not in types and getattr(monitor, name) is not None:
            return f"has no effect: it is said in requests, and a {monitor.type} monitor makes none"
        return None

    return Rule(
        on=("type", name), at=name, check=check, doc=f"{name} has an effect with {', '.join(types)} monitors only."
    )


def _http_only(name: str) -> Rule:
    def check(monitor: "HealthMonitor") -> str | None:
        if monitor.type not in HTTP_TYPES and getattr(monitor, name) is not None:
            return f"goes with HTTP and HTTPS monitors only, and this one is {monitor.type}"
        return None

    return Rule(on=("type", name), at=name, check=check, doc=f"{name} goes with HTTP and HTTPS monitors only.")


def _host_needs_11(monitor: "HealthMonitor") -> str | None:
    if monitor.domain_name and monitor.http_version != "1.1" and monitor.type in HTTP_TYPES:
        return "needs http_version 1.1, which has the Host header"
    return None


def _udp_delay(monitor: "HealthMonitor") -> str | None:
    if monitor.type == "UDP-CONNECT" and monitor.delay < UDP_CONNECT_DELAY:
        return f"must be at least {UDP_CONNECT_DELAY} with UDP-CONNECT: kernels limit how often they say 'unreachable'"
    return None


def _grpc_only(monitor: "HealthMonitor") -> str | None:
    if monitor.grpc_service is not None and monitor.type != "GRPC":
        return f"goes with GRPC monitors only, and this one is {monitor.type}"
    return None


class HealthMonitor(common.Resource):
    """A health monitor: how a pool's members are checked. A pool has one at most."""

    KIND: ClassVar[str] = "health_monitor"
    LABEL: ClassVar[str] = "health monitor"
    COLLECTION: ClassVar[str] = "healthmonitors"
    RULES: ClassVar[tuple[Rule, ...]] = (
        *(_http_only(name) for name in HTTP_ONLY),
        Rule(
            on=("domain_name", "http_version", "type"), at="domain_name", check=_host_needs_11,
            doc="domain_name needs http_version 1.1, but with GRPC.",
        ),
        Rule(on=("type", "delay"), at="delay", check=_udp_delay, doc="delay is at least 3 with UDP-CONNECT."),
        Rule(
            on=("type", "grpc_service"), at="grpc_service", check=_grpc_only,
            doc="grpc_service goes with GRPC monitors only.",
        ),
        no_sctp("type"),
    )  # fmt: skip

    NOTES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=("timeout", "delay"), at="timeout", check=_timeout, doc="A check that takes longer than delay puts the next one off."),
        *(_idle(name) for name in WITH_HTTP),
    )  # fmt: skip

    UNIQUE: ClassVar[Unique | None] = Unique(
        key=lambda v: v["pool_id"], at="pool_id",
        message=lambda v, other: f"the pool has a health monitor already: {other}",
        doc="A pool has one health monitor at most.",
    )  # fmt: skip

    pool_id: Annotated[
        Id,
        Reference("pool"),
        Replaces("it belongs to that pool: the health of one pool's members says nothing about another's"),
    ] = Field(description="The pool whose members it checks.")
    type: Annotated[str, OneOf(TYPES), Cost(RELOAD)] = Field(description="How members are checked.")
    delay: Annotated[int, Cost(RELOAD)] = Field(ge=1, le=LONGEST, description="Seconds between two checks of a member.")
    timeout: Annotated[int, Cost(RELOAD)] = Field(
        ge=1, le=LONGEST, description="Seconds after which a check has failed."
    )
    max_retries: Annotated[int, Cost(RELOAD)] = Field(
        ge=1, le=10, description="Checks in a row that must succeed before a member is up."
    )
    max_retries_down: Annotated[int, Cost(RELOAD)] = Field(
        3, ge=1, le=10, description="Checks in a row that must fail before a member is down."
    )
    http_method: Annotated[str | None, OneOf(METHODS), Cost(RELOAD)] = Field(
        None, description="The method of the request; GET when not given."
    )
    url_path: Annotated[UrlPath | None, Cost(RELOAD)] = Field(
        None, max_length=255, description="The path of the request; / when not given."
    )
    expected_codes: Annotated[ExpectedCodes | None, Cost(RELOAD)] = Field(
        None,
        max_length=64,
        description="Status codes of a healthy member: 200, 200,202 or 200-204; 200 when not given.",
    )
    http_version: Annotated[str | None, OneOf((Choice("1.0", "HTTP/1.0"), Choice("1.1", "HTTP/1.1"))), Cost(RELOAD)] = (
        Field(None, description="The version of the request; 1.0 when not given.")
    )
    domain_name: Annotated[HostName | None, Cost(RELOAD)] = Field(
        None,
        max_length=255,
        description="The Host header of the request (HTTP/1.1; with GRPC its authority), and by TLS the name that is asked for (SNI); "
        "the member's address when not given.",
    )
    grpc_service: Annotated[GrpcService | None, Cost(RELOAD)] = Field(
        None,
        max_length=255,
        description="GRPC: the service whose health is asked for; the server as a whole when not given.",
    )
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    operating_status: common.OperatingStatus = ""
