# SPDX-License-Identifier: Apache-2.0
"""The listener: a port of the VIP and what is spoken there (octavia-api v2, ``listeners``)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from . import common, tls
from .base import Model
from .echo import quoted
from .metadata import Between, Choice, Cost, Filled, OneOf, Output, Reference, Replaces, Rule, Unique, Unordered
from .scalars import Cidr, ContainerRef, Id, Port

PROTOCOLS = (
    Choice("HTTP", "HTTP/1.1, balanced request by request"),
    Choice("TCP", "a stream of bytes, balanced connection by connection"),
    Choice("HTTPS", "TLS that is passed on as it is: the members have the certificates"),
    Choice("TERMINATED_HTTPS", "HTTP/1.1 and HTTP/2 over TLS, which ends here; balanced request by request"),
    Choice("UDP", "datagrams, balanced flow by flow (a client's address and port)"),
    Choice("PROMETHEUS", "no traffic: the load balancer's own metrics, at /metrics; over TLS if it has a certificate"),
    Choice("SCTP", "not served: the kernels that amphorae run on have no SCTP"),
)
NO_SCTP = "SCTP is not served: the kernels that amphorae run on have no SCTP; TCP and UDP are"
L7_PROTOCOLS = ("HTTP", "TERMINATED_HTTPS")
"""Listeners that see requests: those that can have L7 policies."""
METRICS = "PROMETHEUS"
TLS_PROTOCOLS = ("TERMINATED_HTTPS", METRICS)
"""Listeners at which TLS can end."""
CLIENT_HEADERS = ("X-Forwarded-IP", "X-Real-IP", "X-Client-IP")
"""Headers that hold the client's address alone, whatever a client says by the same name."""
HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", *CLIENT_HEADERS)
TLS_HEADERS = (
    "X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer",
    "X-SSL-Client-SHA1", "X-SSL-Client-Not-Before", "X-SSL-Client-Not-After",
)  # fmt: skip
CLIENT_AUTHENTICATION = (
    Choice("NONE", "no certificate is asked for"),
    Choice("OPTIONAL", "a client without a certificate is served; one with a certificate that does not verify is not"),
    Choice("MANDATORY", "only clients whose certificate verifies are served"),
)
TIMEOUT_MAX = 24 * 24 * 3600 * 1000
RELOAD = tls.RELOAD


def _headers(listener: "Listener") -> str | None:
    headers: Mapping[str, str] = listener.insert_headers
    if headers and listener.protocol not in L7_PROTOCOLS:
        return f"headers can be inserted by HTTP listeners only, and this one is {listener.protocol}"
    for name in headers:
        if name not in (*HEADERS, *TLS_HEADERS):
            return f"{quoted(name)} is not one of {', '.join((*HEADERS, *TLS_HEADERS))}"
        if name in TLS_HEADERS and listener.protocol != "TERMINATED_HTTPS":
            return f"{name} can be inserted by TERMINATED_HTTPS listeners only: others see no certificate"
    return None


def inserts(headers: Mapping[str, str], name: str) -> bool:
    """Whether a header is to be inserted: by the word true, in any case, as in Octavia."""
    return headers.get(name, "").lower() == "true"


def _other_words(listener: "Listener") -> str | None:
    words = [f"{n} ({quoted(v)})" for n, v in listener.insert_headers.items() if v.lower() not in ("true", "false")]
    return f"has no effect for {', '.join(words)}: a header is inserted where its value is 'true'" if words else None


def no_sctp(at: str) -> Rule:
    """SCTP is in Octavia's API, and refused here."""
    return Rule(
        on=(at,), at=at, check=lambda v: NO_SCTP if getattr(v, at) == "SCTP" else None, doc="SCTP is not served."
    )


def transport(protocol: str) -> str:
    """What a listener's port belongs to: TCP and UDP have ports of their own."""
    return "udp" if protocol == "UDP" else "tcp"


# A program sends the changes of a listener and of its pool one after the other, and neither can be first: no listener
# can send to a pool of the other sort, not even until the next change.
SORTS = Between(
    lambda old, new: transport(old) != transport(new),
    "between UDP and anything else",
    "a listener and its default pool would have to change to or from UDP together, and updates come one after the other",
)


class RateLimit(Model):
    """How many requests one client may make; what is beyond is answered with 429 and Retry-After.

    The period slides, and what came in the one before it is taken to be spread evenly: after a burst some of the next
    requests are refused early, and all are let through once the client was quiet for two periods (Retry-After).
    """

    requests: int = Field(ge=1, le=1_000_000_000, description="How many requests are let through.")
    period_seconds: int = Field(
        1,
        ge=1,
        le=86_400,
        description="The length of the sliding window, in seconds. After a burst, a client may send the full number of requests again once it has sent none for twice this long.",
    )
    by: Annotated[str, OneOf((Choice("SOURCE_IP", "those from one client address"),))] = Field(
        "SOURCE_IP", description="Whose requests are counted together."
    )


def _rate_limit(listener: "Listener") -> str | None:
    if listener.rate_limit and listener.protocol not in L7_PROTOCOLS:
        return f"requests can be counted by HTTP listeners only, and this one is {listener.protocol}"
    return None


def _limit(listener: "Listener") -> str | None:
    if listener.connection_limit == 0:
        return "must be at least 1, or -1 for as many as the amphora can take; admin_state_up false lets nobody in"
    return None


def _has_certificate(listener: "Listener") -> str | None:
    if listener.protocol != "TERMINATED_HTTPS":
        return None
    if not listener.default_tls_container_ref and not listener.sni_container_refs:
        return "is required for TERMINATED_HTTPS, or sni_container_refs: a listener that ends TLS has a certificate"
    return None


def ends_tls(protocol: str, default_ref: str | None, sni_refs: Sequence[str]) -> bool:
    """Whether TLS ends at such a listener; one for metrics speaks it where it has a certificate."""
    return protocol == "TERMINATED_HTTPS" or (protocol == METRICS and bool(default_ref or sni_refs))


def _no_certificate(name: str) -> Rule:
    """What says how TLS ends is refused where it does not: a PROMETHEUS listener that has no certificate."""

    def check(listener: "Listener") -> str | None:
        if (
            listener.protocol == METRICS
            and not _ends(listener)
            and getattr(listener, name) not in {None, False, "NONE"}
        ):
            return "needs default_tls_container_ref: without a certificate this PROMETHEUS listener speaks no TLS"
        return None

    doc = f"With PROMETHEUS, {name} needs a certificate."
    return Rule(on=(*_ENDS_ON, name), at=name, check=check, doc=doc)


def _ends(listener: "Listener") -> bool:
    return ends_tls(listener.protocol, listener.default_tls_container_ref, listener.sni_container_refs)


_ENDS_ON = ("protocol", "default_tls_container_ref", "sni_container_refs")
_NO_TLS = "has no effect: no TLS ends at this listener"


def _no_pool(listener: "Listener") -> str | None:
    if listener.protocol == METRICS and listener.default_pool_id:
        return "does not go with PROMETHEUS: the load balancer answers by itself"
    return None


def _authentication(listener: "Listener") -> str | None:
    how = listener.client_authentication
    if how != "NONE" and not listener.client_ca_tls_container_ref:
        return f"{how} needs client_ca_tls_container_ref: the authorities by which clients are verified"
    return None


def _tls_only(name: str, protocols: tuple[str, ...]) -> Rule:
    words = " and ".join(protocols)
    return tls.only_when(
        name, "protocol", lambda protocol: protocol in protocols,
        f"goes with {words} listeners only: others do not end TLS", f"{name} goes with {words} only.",
    )  # fmt: skip


WITHOUT_POOL = "without_pool"
CERTIFICATES = ("default_tls_container_ref", "sni_container_refs")
CLIENTS = ("client_authentication", "client_ca_tls_container_ref", "client_crl_container_ref")
"""What says how clients are verified; refused where no TLS ends: nobody would be verified."""
HSTS = ("hsts_max_age", "hsts_include_subdomains", "hsts_preload")
_TLS_ENDS = ("the listener", "where TLS ends")


Timeout = Annotated[int, Field(ge=0, le=TIMEOUT_MAX), Cost(RELOAD)]
_ENDLESS = ", in milliseconds; 0: without end."


class Listener(common.Resource):
    """A listener: the protocol and the port on which the load balancer accepts traffic."""

    KIND: ClassVar[str] = "listener"
    LABEL: ClassVar[str] = "listener"
    COLLECTION: ClassVar[str] = "listeners"
    RULES: ClassVar[tuple[Rule, ...]] = (
        no_sctp("protocol"),
        Rule(on=("connection_limit",), at="connection_limit", check=_limit, doc="connection_limit is not 0."),
        Rule(
            on=("insert_headers", "protocol"), at="insert_headers", check=_headers,
            doc="Headers are inserted by HTTP listeners only, and are those of the API.",
        ),
        Rule(
            on=("rate_limit", "protocol"), at="rate_limit", check=_rate_limit,
            doc="Requests are limited by HTTP listeners only.",
        ),
        Rule(
            on=("protocol", "default_tls_container_ref", "sni_container_refs"), at="default_tls_container_ref",
            check=_has_certificate, doc="TERMINATED_HTTPS has a certificate.",
        ),
        *(_tls_only(name, TLS_PROTOCOLS) for name in (*CERTIFICATES, *CLIENTS[1:])),
        *(_tls_only(name, TLS_PROTOCOLS[:1]) for name in HSTS),
        *(_no_certificate(name) for name in CLIENTS),
        Rule(
            on=("protocol", "default_pool_id"), at="default_pool_id", check=_no_pool, doc="PROMETHEUS has no pool.",
        ),
        *tls.rules(_ENDS_ON, _ends),
        Rule(
            on=("client_authentication", "client_ca_tls_container_ref"), at="client_authentication",
            check=_authentication, doc="client_authentication needs client_ca_tls_container_ref.",
        ),
        tls.needs("client_crl_container_ref", "client_ca_tls_container_ref", "lists are those of its authorities"),
        tls.needs("hsts_include_subdomains", "hsts_max_age", "without it there is no HSTS"),
        tls.needs("hsts_preload", "hsts_max_age", "without it there is no HSTS"),
    )  # fmt: skip

    NOTES: ClassVar[tuple[Rule, ...]] = (
        *tls.without_effect(tls.TERMS, _ENDS_ON, lambda listener: not _ends(listener), _NO_TLS),
        Rule(
            on=("insert_headers",), at="insert_headers", check=_other_words,
            doc="A header is inserted where its value is true.",
        ),
    )  # fmt: skip

    UNIQUE: ClassVar[Unique | None] = Unique(
        key=lambda v: f"{v['loadbalancer_id']}/{transport(v['protocol'])}/{v['protocol_port']}", at="protocol_port",
        message=lambda v, other: f"port {v['protocol_port']} is taken on this load balancer by listener {other}",
        doc="On one port, a load balancer has at most one UDP listener and one listener of another protocol.",
    )  # fmt: skip

    without_pool: bool = False
    """It was told to have no default pool, though a pool may name it: no input, kept with its values in the store."""

    loadbalancer_id: Annotated[
        Id,
        Reference("load_balancer"),
        Replaces("its port is one of that load balancer's VIP, and its connections end there"),
    ] = Field(description="The load balancer it belongs to.")
    protocol: Annotated[str, OneOf(PROTOCOLS), SORTS, Cost(RELOAD)] = Field(description="What is spoken there.")
    protocol_port: Annotated[Port, Cost("connections to the old port are finished, new ones are refused there")] = (
        Field(description="The port of the VIP. Unique within the load balancer.")
    )
    description: common.Description = ""
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    connection_limit: Annotated[int, Cost(RELOAD)] = Field(
        -1,
        ge=-1,
        le=2_147_483_647,
        description="How many connections (UDP: flows) at once; -1: as many as the amphora can take.",
    )
    allowed_cidrs: Annotated[
        tuple[Cidr, ...], Unordered(), Cost("in force at once, for open connections too; " + RELOAD)
    ] = Field(
        (),
        description="Networks whose clients may use it; everybody when not given. Enforced by the amphora's packet filter.",
    )
    default_pool_id: Annotated[Id | None, Reference("pool"), Filled(), Cost(RELOAD)] = Field(
        None, description="The pool that gets the traffic. Chosen when a pool names this listener."
    )
    insert_headers: Annotated[dict[str, str], Cost(RELOAD)] = Field(
        {},
        description="Headers to put into each request: X-Forwarded-For, X-Forwarded-Port, X-Forwarded-Proto → 'true' or 'false'; "
        "X-Forwarded-IP, X-Real-IP and X-Client-IP hold the client's address; "
        "with TERMINATED_HTTPS also X-SSL-Client-Verify, X-SSL-Client-Has-Cert, X-SSL-Client-DN, X-SSL-Client-CN, "
        "X-SSL-Issuer, X-SSL-Client-SHA1, X-SSL-Client-Not-Before, X-SSL-Client-Not-After.",
    )
    rate_limit: Annotated[RateLimit | None, Cost(RELOAD + "; the counts so far are lost")] = Field(
        None, description="How many requests a client may make. Beyond Octavia."
    )
    default_tls_container_ref: tls.Container = Field(
        None,
        description="With TERMINATED_HTTPS: the certificate for clients that ask for no name, or for one that no certificate has."
        + tls.NAMED,
    )
    sni_container_refs: Annotated[
        tuple[ContainerRef, ...],
        Reference("tls_container"),
        Cost(
            "none where one is added or taken away: haproxy is told at run time; a reload where the first one changes"
        ),
    ] = Field(
        (),
        description="With TERMINATED_HTTPS: more certificates, picked by the name that the client asks for (SNI). Ids of TLS "
        "containers, or URLs that end with them; on OpenStack references to Barbican too. Where there is no default, the first is it.",
    )
    client_authentication: Annotated[str, OneOf(CLIENT_AUTHENTICATION), Cost(RELOAD)] = Field(
        "NONE", description="With TERMINATED_HTTPS: whether clients show certificates."
    )
    client_ca_tls_container_ref: tls.Container = Field(
        None, description="With TERMINATED_HTTPS: the authorities by which clients are verified." + tls.NAMED
    )
    client_crl_container_ref: tls.Container = Field(
        None,
        description="With TERMINATED_HTTPS: what these authorities have revoked; a list of each of them." + tls.NAMED,
    )
    tls_ciphers: tls.Ciphers | None = Field(None, max_length=2048, description=tls.ciphers_of(*_TLS_ENDS))
    tls_versions: tls.Versions | None = Field(None, description=tls.versions_of(*_TLS_ENDS))
    alpn_protocols: tls.Alpn | None = Field(None, description=tls.alpn_of(*_TLS_ENDS))
    hsts_max_age: Annotated[int | None, Cost(RELOAD)] = Field(
        None,
        ge=0,
        le=2_147_483_647,
        description="With TERMINATED_HTTPS: for how many seconds browsers are to come by HTTPS only (RFC 6797).",
    )
    hsts_include_subdomains: Annotated[bool, Cost(RELOAD)] = Field(False, description="HSTS holds for subdomains too.")
    hsts_preload: Annotated[bool, Cost(RELOAD)] = Field(False, description="HSTS may be built into browsers (preload).")
    timeout_client_data: Timeout = Field(50_000, description="How long a client may be silent" + _ENDLESS)
    timeout_member_connect: Timeout = Field(5_000, description="How long connecting to a member may take" + _ENDLESS)
    timeout_member_data: Timeout = Field(50_000, description="How long a member may be silent" + _ENDLESS)
    timeout_tcp_inspect: Timeout = Field(
        0, description="How long to wait for more data of a TCP client before deciding" + _ENDLESS
    )
    operating_status: common.OperatingStatus = ""
    url: Annotated[str | None, Output()] = Field(
        None,
        description="Embedded cloud: where the listener is published on this machine, as a URL. Over UDP, only IPv4 members can be reached from there.",
    )
