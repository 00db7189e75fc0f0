# SPDX-License-Identifier: Apache-2.0
"""The pool: members that serve the same thing, and how one is picked (octavia-api v2, ``pools``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import common, formats, tls
from .attributes import Choice, Rule, attribute
from .listener import RELOAD, SORTS, SORTS_APART, no_sctp

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
_CIPHERS, _VERSIONS, _ALPN = tls.attributes_of("the load balancer", "towards members, with tls_enabled")
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


def _cookie(values: Mapping[str, Any]) -> str | None:
    if values["type"] == "APP_COOKIE" and not values["cookie_name"]:
        return "is required with APP_COOKIE"
    if values["type"] != "APP_COOKIE" and values["cookie_name"]:
        return f"goes with APP_COOKIE only, and the type is {values['type']}"
    return None


def _own_cookie(name: str) -> Rule:
    def check(values: Mapping[str, Any]) -> str | None:
        if values[name] is None or values["type"] == "HTTP_COOKIE":
            return None
        return f"goes with HTTP_COOKIE only, the cookie that the load balancer sets, and the type is {values['type']}"

    return Rule(on=("type", name), at=name, check=check, doc=f"{name} goes with HTTP_COOKIE.")


def _none_is_secure(values: Mapping[str, Any]) -> str | None:
    if values["cookie_same_site"] == "NONE" and values["cookie_secure"] is False:
        return "NONE needs Secure: browsers take no such cookie without it; leave cookie_secure away, or set it to true"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPersistence:
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

    type: str = attribute("How a client is recognised.", required=True, choices=PERSISTENCE)
    cookie_name: str | None = attribute(
        "The application's cookie, with APP_COOKIE.", max_length=255, format=formats.cookie_name
    )
    cookie_secure: bool | None = attribute(
        "HTTP_COOKIE: whether browsers send the cookie by TLS alone (Secure); when not given, where TLS ends at the listener. "
        "Beyond Octavia."
    )
    cookie_http_only: bool | None = attribute(
        "HTTP_COOKIE: whether the page's scripts are kept from the cookie (HttpOnly); true when not given. Beyond Octavia."
    )
    cookie_same_site: str | None = attribute(
        "HTTP_COOKIE: with requests from which sites browsers send the cookie (SameSite); as they like when not given. "
        "Beyond Octavia.",
        choices=SAME_SITE,
    )  # fmt: skip
    persistence_timeout: int | None = attribute(
        "UDP: seconds after a client's last new flow until it is forgotten; 360 when not given.",
        minimum=1, maximum=30 * 24 * 3600,
    )  # fmt: skip
    persistence_granularity: str | None = attribute(
        "UDP: the netmask that groups clients; each address counts on its own when not given.",
        format=formats.netmask,
    )


def _one_parent(values: Mapping[str, Any]) -> str | None:
    if values["listener_id"] or values["loadbalancer_id"]:
        return None
    return "is required, or listener_id: a pool belongs to a load balancer"


def _cookie_needs_http(values: Mapping[str, Any]) -> str | None:
    persistence = values["session_persistence"]
    if persistence and str(persistence["type"]).endswith("_COOKIE") and values["protocol"] not in SEES_REQUESTS:
        return f"{persistence['type']} needs a pool that speaks HTTP, and this one speaks {values['protocol']}"
    return None


def _udp_persistence(values: Mapping[str, Any]) -> str | None:
    persistence = values["session_persistence"]
    if not persistence or values["protocol"] == "UDP":
        return None
    given = [n for n in ("persistence_timeout", "persistence_granularity") if persistence[n] is not None]
    if given:
        return f"{' and '.join(given)} are for UDP pools only, and this one speaks {values['protocol']}"
    return None


def _algorithm(values: Mapping[str, Any]) -> str | None:
    if values["protocol"] == "UDP" and values["lb_algorithm"] == "LEAST_CONNECTIONS":
        return (
            "LEAST_CONNECTIONS is not for UDP, where nobody says that a flow has ended; ROUND_ROBIN spreads new flows"
        )
    return None


def _one_version(values: Mapping[str, Any]) -> str | None:
    version, offered = values["protocol_version"], values["alpn_protocols"]
    if version == HTTP2 and offered and set(offered) != {"h2"}:
        return "HTTP2 goes with alpn_protocols h2 alone; leave one of the two away"
    if version == HTTP1 and "h2" in (offered or ()):
        return "HTTP1 does not go with h2 in alpn_protocols; leave one of the two away"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
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
        *tls.rules(("tls_enabled",), lambda values: bool(values["tls_enabled"])),
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
        lambda values: not values["tls_enabled"], "has no effect: tls_enabled is false, members are spoken to without TLS",
    )  # fmt: skip

    loadbalancer_id: str | None = attribute(
        "The load balancer it belongs to. Known from the listener when one is named.",
        format=formats.uuid_string, replaces=True, reference="load_balancer", filled=True, always=True,
        why="its members are checked and served by the amphorae of that load balancer, which keep their state",
    )  # fmt: skip
    listener_id: str | None = attribute(
        "The listener whose default pool it becomes.",
        format=formats.uuid_string, replaces=True, reference="listener",
        why="it names the listener that the pool was created for; to move a pool in place, set the listener's default_pool_id",
    )  # fmt: skip
    protocol: str = attribute(
        "What the members speak.",
        required=True,
        choices=PROTOCOLS,
        cost=RELOAD,
        replaces_between=SORTS,
        why=SORTS_APART,
    )
    protocol_version: str | None = attribute(
        "The version of HTTP that members are spoken to in. When not given, HTTP/1.1 in the clear, and by TLS what they choose of "
        "`alpn_protocols`. For gRPC: HTTP2, or tls_enabled. Beyond Octavia.",
        choices=VERSIONS, cost=RELOAD,
    )  # fmt: skip
    lb_algorithm: str = attribute("How a member is picked.", required=True, choices=ALGORITHMS, cost=RELOAD)
    session_persistence: SessionPersistence | None = attribute(
        "Keeps a client at its member.", cost=RELOAD + "; clients may move to another member once"
    )
    tls_enabled: bool = attribute("Whether connections to members use TLS.", default=False, cost=RELOAD)
    tls_container_ref: str | None = tls.container("The certificate that is shown to members, with tls_enabled.")
    ca_tls_container_ref: str | None = tls.container(
        "The authorities by which members are verified, with tls_enabled; without it, any certificate is taken."
    )
    crl_container_ref: str | None = tls.container("What these authorities have revoked; a list of each of them.")
    tls_ciphers: str | None = _CIPHERS
    tls_versions: tuple[str, ...] | None = _VERSIONS
    alpn_protocols: tuple[str, ...] | None = _ALPN
    description: str = common.description()
    admin_state_up: bool = common.admin_state_up()
    tags: tuple[str, ...] = common.tags()
    operating_status: str = common.operating_status()

    @property
    def offers(self) -> tuple[str, ...]:
        """What members are offered by ALPN."""
        by_version = {HTTP1: tls.DEFAULT_ALPN[1:], HTTP2: ("h2",)}
        return tuple(self.alpn_protocols or by_version.get(self.protocol_version or "", tls.DEFAULT_ALPN))

    @property
    def takes_http2(self) -> bool:
        """Whether requests can go to members by HTTP/2."""
        return self.protocol_version == HTTP2 or (self.tls_enabled and "h2" in self.offers)
