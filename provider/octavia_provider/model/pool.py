# SPDX-License-Identifier: Apache-2.0
"""The pool: members that serve the same thing, and how one is picked (octavia-api v2, ``pools``)."""

from typing import Annotated, ClassVar

from pydantic import Field

from . import common, tls
from .base import Model
from .listener import RELOAD, SORTS, no_sctp
from .metadata import Always, Choice, Cost, Filled, OneOf, Reference, Replaces, Rule
from .scalars import CookieName, Id, Netmask

PROTOCOLS = (
    Choice("HTTP", "requests are sent to members as HTTP/1.1"),
    Choice("TCP", "bytes are passed on as they are"),
    Choice("HTTPS", "TLS is passed on as it is: the members have the certificates"),
    Choice(
        "PROXY",
        "what the listener speaks; each connection begins with the client's address (PROXY protocol version 1, text)",
    ),
    Choice(
        "PROXYV2", "the same in version 2 (binary), with facts of the client's TLS session if TLS ends at the listener"
    ),
    Choice("UDP", "datagrams are passed on unchanged, to members of the VIP's address family"),
    Choice("SCTP", "not served"),
)
PROXY_VERSIONS = {"PROXY": 1, "PROXYV2": 2}
"""Pools whose members are told the client's address: by which version of the PROXY protocol."""
SEES_REQUESTS = ("HTTP", *PROXY_VERSIONS)
"""Pools that can be behind a listener that sees requests: those that can keep clients by cookies."""
HTTP1, HTTP2 = "HTTP1", "HTTP2"
VERSIONS = (
    Choice(HTTP1, "HTTP/1.1, by TLS too"),
    Choice(HTTP2, "HTTP/2, without a question in the clear (prior knowledge), as gRPC servers want it"),
)
_TLS_TO_MEMBERS = ("the load balancer", "towards members, with tls_enabled")
ALGORITHMS = (
    Choice("ROUND_ROBIN", "members in turn, by weight"),
    Choice("LEAST_CONNECTIONS", "the member with the fewest connections, by weight"),
    Choice(
        "SOURCE_IP",
        "the same member for the same client address (consistent hash); UDP clients of the published address share one",
    ),
    Choice("SOURCE_IP_PORT", "the same member for the same client address and port (consistent hash)"),
)
PERSISTENCE = (
    Choice("SOURCE_IP", "by the client's address; UDP clients of the published address share one"),
    Choice("HTTP_COOKIE", "by a cookie that the load balancer sets"),
    Choice("APP_COOKIE", "by a cookie of the application"),
)
SAME_SITE = (
    Choice("STRICT", "from the same site alone, not when a link leads here"),
    Choice("LAX", "from the same site, and when a link leads here"),
    Choice("NONE", "from any site; the cookie is then Secure, or browsers do not take it"),
)


def _cookie(persistence: "SessionPersistence") -> str | None:
    if persistence.type == "APP_COOKIE" and not persistence.cookie_name:
        return "is required with APP_COOKIE"
    if persistence.type != "APP_COOKIE" and persistence.cookie_name:
        return f"goes with APP_COOKIE only, and the type is {persistence.type}"
    return None


def _own_cookie(name: str) -> Rule:
    def check(persistence: "SessionPersistence") -> str | None:
        if getattr(persistence, name) is None or persistence.type == "HTTP_COOKIE":
            return None
        return f"goes with HTTP_COOKIE only, the cookie that the load balancer sets, and the type is {persistence.type}"

    return Rule(on=("type", name), at=name, check=check, doc=f"{name} goes with HTTP_COOKIE.")


def _none_is_secure(persistence: "SessionPersistence") -> str | None:
    if persistence.cookie_same_site == "NONE" and persistence.cookie_secure is False:
        return "NONE needs Secure: browsers take no such cookie without it; leave cookie_secure away, or set it to true"
    return None


class SessionPersistence(Model):
    """How a client is kept at the member it was given first."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(on=("type", "cookie_name"), at="cookie_name", check=_cookie, doc="cookie_name goes with APP_COOKIE."),
        *(_own_cookie(name) for name in ("cookie_secure", "cookie_http_only", "cookie_same_site")),
        Rule(
            on=("cookie_same_site", "cookie_secure"),
            at="cookie_same_site",
            check=_none_is_secure,
            doc="cookie_same_site NONE does not go with cookie_secure false.",
        ),
    )

    type: Annotated[str, OneOf(PERSISTENCE)] = Field(description="How a client is recognised.")
    cookie_name: CookieName | None = Field(
        None, max_length=255, description="The application's cookie, with APP_COOKIE."
    )
    cookie_secure: bool | None = Field(
        None,
        description="HTTP_COOKIE: whether browsers send the cookie by TLS alone (Secure); when not given, where TLS ends at the listener. "
        "Beyond Octavia.",
    )
    cookie_http_only: bool | None = Field(
        None,
        description="HTTP_COOKIE: whether the page's scripts are kept from the cookie (HttpOnly); true when not given. Beyond Octavia.",
    )
    cookie_same_site: Annotated[str | None, OneOf(SAME_SITE)] = Field(
        None,
        description="HTTP_COOKIE: with requests from which sites browsers send the cookie (SameSite); as they like when not given. "
        "Beyond Octavia.",
    )
    persistence_timeout: int | None = Field(
        None,
        ge=1,
        le=30 * 24 * 3600,
        description="UDP: seconds after a client's last new flow until it is forgotten; 360 when not given.",
    )
    persistence_granularity: Netmask | None = Field(
        None, description="UDP: the netmask that groups clients; each address counts on its own when not given."
    )


def _one_parent(pool: "Pool") -> str | None:
    if pool.listener_id or pool.loadbalancer_id:
        return None
    return "is required, or listener_id: a pool belongs to a load balancer"


def _cookie_needs_http(pool: "Pool") -> str | None:
    persistence = pool.session_persistence
    if persistence and str(persistence.type).endswith("_COOKIE") and pool.protocol not in SEES_REQUESTS:
        return f"{persistence.type} needs a pool that speaks HTTP, and this one speaks {pool.protocol}"
    return None


def _udp_persistence(pool: "Pool") -> str | None:
    persistence = pool.session_persistence
    if not persistence or pool.protocol == "UDP":
        return None
    given = [n for n in ("persistence_timeout", "persistence_granularity") if getattr(persistence, n) is not None]
    if given:
        return f"{' and '.join(given)} are for UDP pools only, and this one speaks {pool.protocol}"
    return None


def _algorithm(pool: "Pool") -> str | None:
    if pool.protocol == "UDP" and pool.lb_algorithm == "LEAST_CONNECTIONS":
        return (
            "LEAST_CONNECTIONS is not for UDP, where nobody says that a flow has ended; ROUND_ROBIN spreads new flows"
        )
    return None


def _one_version(pool: "Pool") -> str | None:
    version, offered = pool.protocol_version, pool.alpn_protocols
    if version == HTTP2 and offered and set(offered) != {"h2"}:
        return "HTTP2 goes with alpn_protocols h2 alone; leave one of the two away"
    if version == HTTP1 and "h2" in (offered or ()):
        return "HTTP1 does not go with h2 in alpn_protocols; leave one of the two away"
    return None


class Pool(common.Resource):
    """A pool: the members that serve the same thing, and how one of them is picked."""

    KIND: ClassVar[str] = "pool"
    LABEL: ClassVar[str] = "pool"
    COLLECTION: ClassVar[str] = "pools"
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            on=("listener_id", "loadbalancer_id"), at="loadbalancer_id", check=_one_parent,
            doc="A listener or a load balancer is named.",
        ),
        Rule(
            on=("session_persistence", "protocol"), at="session_persistence", check=_cookie_needs_http,
            doc="Cookies need HTTP.",
        ),
        Rule(
            on=("session_persistence", "protocol"), at="session_persistence", check=_udp_persistence,
            doc="persistence_timeout and persistence_granularity are for UDP.",
        ),
        Rule(
            on=("lb_algorithm", "protocol"), at="lb_algorithm", check=_algorithm,
            doc="UDP has no LEAST_CONNECTIONS.",
        ),
        no_sctp("protocol"),
        *tls.rules(("tls_enabled",), lambda pool: bool(pool.tls_enabled)),
        tls.only_when(
            "protocol_version", "protocol", lambda protocol: protocol in SEES_REQUESTS,
            "goes with HTTP, PROXY and PROXYV2 pools only: in others bytes are passed on as they are",
            "protocol_version is for HTTP, PROXY and PROXYV2 pools.",
        ),
        Rule(
            on=("protocol_version", "alpn_protocols"), at="protocol_version", check=_one_version,
            doc="protocol_version and alpn_protocols say the same.",
        ),
        tls.needs("crl_container_ref", "ca_tls_container_ref", "lists are those of its authorities"),
        tls.only_when(
            "tls_enabled", "protocol", lambda protocol: protocol != "HTTPS",
            "does not go with HTTPS pools: what comes to them is TLS already", "tls_enabled is not for HTTPS pools.",
        ),
        tls.only_when(
            "tls_enabled", "protocol", lambda protocol: protocol != "UDP",
            "does not go with UDP pools: datagrams are passed on as they are", "tls_enabled is not for UDP pools.",
        ),
    )  # fmt: skip

    NOTES: ClassVar[tuple[Rule, ...]] = tls.without_effect(
        (*tls.TERMS, "tls_container_ref", "ca_tls_container_ref", "crl_container_ref"), ("tls_enabled",),
        lambda pool: not pool.tls_enabled, "has no effect: tls_enabled is false, members are spoken to without TLS",
    )  # fmt: skip

    loadbalancer_id: Annotated[
        Id | None,
        Reference("load_balancer"),
        Filled(),
        Always(),
        Replaces("its members are checked and served by the amphorae of that load balancer, which keep their state"),
    ] = Field(None, description="The load balancer it belongs to. Known from the listener when one is named.")
    listener_id: Annotated[
        Id | None,
        Reference("listener"),
        Replaces(
            "it names the listener that the pool was created for; to move a pool in place, set the listener's default_pool_id"
        ),
    ] = Field(None, description="The listener whose default pool it becomes.")
    protocol: Annotated[str, OneOf(PROTOCOLS), SORTS, Cost(RELOAD)] = Field(description="What the members speak.")
    protocol_version: Annotated[str | None, OneOf(VERSIONS), Cost(RELOAD)] = Field(
        None,
        description="The version of HTTP that members are spoken to in. When not given, HTTP/1.1 in the clear, and by TLS what they choose of "
        "`alpn_protocols`. For gRPC: HTTP2, or tls_enabled. Beyond Octavia.",
    )
    lb_algorithm: Annotated[str, OneOf(ALGORITHMS), Cost(RELOAD)] = Field(description="How a member is picked.")
    session_persistence: Annotated[
        SessionPersistence | None, Cost(RELOAD + "; clients may move to another member once")
    ] = Field(None, description="Keeps a client at its member.")
    tls_enabled: Annotated[bool, Cost(RELOAD)] = Field(False, description="Whether connections to members use TLS.")
    tls_container_ref: tls.Container = Field(
        None, description="The certificate that is shown to members, with tls_enabled." + tls.NAMED
    )
    ca_tls_container_ref: tls.Container = Field(
        None,
        description="The authorities by which members are verified, with tls_enabled; without it, any certificate is taken."
        + tls.NAMED,
    )
    crl_container_ref: tls.Container = Field(
        None, description="What these authorities have revoked; a list of each of them." + tls.NAMED
    )
    tls_ciphers: tls.Ciphers | None = Field(None, max_length=2048, description=tls.ciphers_of(*_TLS_TO_MEMBERS))
    tls_versions: tls.Versions | None = Field(None, description=tls.versions_of(*_TLS_TO_MEMBERS))
    alpn_protocols: tls.Alpn | None = Field(None, description=tls.alpn_of(*_TLS_TO_MEMBERS))
    description: common.Description = ""
    admin_state_up: common.AdminStateUp = True
    tags: common.Tags = ()
    operating_status: common.OperatingStatus = ""

    @property
    def offers(self) -> tuple[str, ...]:
        """What members are offered by ALPN."""
        by_version = {HTTP1: tls.DEFAULT_ALPN[1:], HTTP2: ("h2",)}
        return tuple(self.alpn_protocols or by_version.get(self.protocol_version or "", tls.DEFAULT_ALPN))

    @property
    def takes_http2(self) -> bool:
        """Whether requests can go to members by HTTP/2."""
        return self.protocol_version == HTTP2 or (self.tls_enabled and "h2" in self.offers)
