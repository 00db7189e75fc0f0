# SPDX-License-Identifier: Apache-2.0
"""One bad input for each rule within an object: what Check and the API must both refuse, at the same place.

``GOOD`` holds valid inputs of every kind, in the API's spelling; a row changes them. What the declaration of an
attribute says (required, shape, range, length, choices) gives rows by itself; formats and rules over several
attributes have theirs written down, with words of the message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pem
from octavia_provider.model.errors import Path
from octavia_provider.model.kinds import KINDS
from octavia_provider.model.l7_policy import HeaderChange
from octavia_provider.model.metadata import Attribute, inputs
from octavia_provider.model.pool import SessionPersistence
from unit.model import bad_l7_inputs
from unit.model.bad_l7_inputs import ID, Row
from unit.model.bad_operator_inputs import FLAVOR_DATA, NAMED, ZONE_DATA

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()  # in ``change``: it is not given at all

CA, OTHER_CA = pem.authority(), pem.authority("other")
MIDDLE = pem.authority("middle", CA)
NARROW = pem.make("narrow.test", curve=pem.ec.SECP192R1())
PAIR, STRANGER, SHORT = pem.make("a.test", MIDDLE), pem.make("b.test", CA), pem.make("short.test", rsa_bits=1024)
NOTHING = {"certificate": ABSENT, "private_key": ABSENT}
TLS = {"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": ID}
GOOD: Mapping[str, Mapping[str, Any]] = {
    "load_balancer": {"vip_network_id": ID},
    "listener": {"loadbalancer_id": ID, "protocol": "HTTP", "protocol_port": 80},
    "pool": {"loadbalancer_id": ID, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"},
    "member": {"pool_id": ID, "address": "10.0.0.9", "protocol_port": 80},
    "health_monitor": {"pool_id": ID, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2},
    "l7_policy": {"listener_id": ID, "action": "REJECT"},
    "l7_rule": {"l7policy_id": ID, "type": "PATH", "compare_type": "STARTS_WITH", "value": "/api"},
    "tls_container": PAIR.container(intermediates=MIDDLE.pem),
    "amphora_group": {"name": "web", "size": 2, "capacity": 10},
    "flavor_profile": {"name": "one", "provider_name": "amphora", "flavor_data": '{"loadbalancer_topology": "SINGLE"}'},
    "flavor": {"name": "small", "flavor_profile_id": ID},
    "availability_zone_profile": {"name": "one", "provider_name": "amphora", "availability_zone_data": "{}"},
    "availability_zone": {"name": "nova", "availability_zone_profile_id": ID},
    "quota": {"project_id": "demo", "listener": 5},
    "local_network": {"cidr": "10.7.0.0/24"},
    "local_host": {"network_id": ID, "command": ["true"]},
}


@dataclass(frozen=True, slots=True)
class BadInput:
    """``change`` on top of ``GOOD[kind]`` breaks a rule; the violation is at ``at`` and its message contains ``says``."""

    kind: str
    rule: str
    change: Mapping[str, Any] = field(hash=False)
    at: Path
    says: str

    @property
    def values(self) -> dict[str, Any]:
        """The inputs as a user would give them."""
        merged = {**GOOD[self.kind], **self.change}
        return {name: value for name, value in merged.items() if value is not ABSENT}

    def __str__(self) -> str:
        return f"{self.kind}-{'.'.join(map(str, self.at))}-{self.rule}"


# kind, attribute, bad value, words of the message
FORMATS: tuple[tuple[str, str, Any, str], ...] = (
    *((kind, "name", "two\nlines", "control characters") for kind in KINDS if "name" in inputs(KINDS[kind])),
    *((kind, "tags", ["ok", "\x00"], "control characters") for kind in KINDS if "tags" in inputs(KINDS[kind])),
    *(
        (kind, "description", "tab\there", "control characters")
        for kind in KINDS
        if "description" in inputs(KINDS[kind])
    ),
    *(
        (kind, name, ["not-a-uuid"] if attribute.is_list else "not-a-uuid", "is not a UUID")
        for kind, cls in KINDS.items()
        for name, attribute in inputs(cls).items()
        if attribute.reference
        or name in ("vip_port_id", "vip_subnet_id", "vip_qos_policy_id", "vip_sg_ids", "subnet_id")
    ),
    ("load_balancer", "availability_zone", "a\nb", "control characters"),
    ("availability_zone", "name", "a/b", "must not contain '/'"),
    ("quota", "project_id", "a/b", "must be an id"),
    ("load_balancer", "vip_address", "10.0.0.256", "is not an IP address"),
    ("member", "address", "10.0.0", "is not an IP address"),
    ("member", "address", "127.0.0.1", "loopback"),
    ("member", "address", "::ffff:127.0.0.1", "loopback"),
    ("member", "address", "fd00::8%x]:80\n    http-request deny\n    server x [fd00::b", "has a zone"),
    ("member", "address", "fd00::7%x;disable frontend web;", "has a zone"),
    ("member", "monitor_address", "fd00::c%x disabled #", "has a zone"),
    ("load_balancer", "vip_address", "fd00::9%eth0", "has a zone"),
    ("listener", "allowed_cidrs", ["fe80::1%eth0/128"], "has a zone"),
    ("member", "address", "224.0.0.1", "multicast"),
    ("member", "address", "::ffff:224.0.0.1", "multicast"),
    ("member", "address", "ff02::1", "multicast"),
    ("member", "address", "::", "unspecified"),
    ("member", "address", "255.255.255.255", "broadcast"),
    ("member", "monitor_address", "::ffff:255.255.255.255", "broadcast"),
    ("member", "address", "0.0.0.0", "unspecified"),
    ("member", "address", "169.254.1.1", "link-local"),
    ("member", "monitor_address", "::1", "loopback"),
    ("health_monitor", "url_path", "healthz", "absolute URL path"),
    ("health_monitor", "url_path", "/a b", "absolute URL path"),
    ("health_monitor", "url_path", '/"; server evil', "absolute URL path"),
    ("health_monitor", "expected_codes", "200;204", "one range"),
    ("health_monitor", "expected_codes", "204-200", "upwards"),
    ("health_monitor", "expected_codes", "700", "between 100 and 599"),
    ("health_monitor", "grpc_service", "a b", "full name of a gRPC service"),
    ("health_monitor", "grpc_service", "a.", "full name of a gRPC service"),
    ("listener", "allowed_cidrs", ["10.0.0.0/8", "10.0.0.0/33"], "CIDR"),
    ("listener", "allowed_cidrs", ["10.0.0.0/8 } drop"], "CIDR"),
    *(
        ("l7_policy", name, value, "http:// or https:// URL")
        for name in ("redirect_url", "redirect_prefix")
        for value in ("ftp://a.example", "/path", "http://a b", 'http://a"\n', "http://grün.example", "http://")
    ),
    ("l7_policy", "redirect_prefix", "https://a.example?b=c", "must not have a query"),
    ("l7_policy", "redirect_prefix", "https://a.example/b#c", "must not have a query"),
    ("l7_rule", "key", "a\nb", "control characters"),
    ("l7_rule", "value", "a\rb", "control characters"),
    ("tls_container", "certificate", "-----BEGIN CERTIFICATE-----", "holds no certificate in PEM"),
    ("tls_container", "certificate", PAIR.pem.replace("M", "N"), "holds no certificate in PEM"),
    ("tls_container", "private_key", "secret", "holds no private key in PEM"),
    ("tls_container", "private_key", PAIR.key_pem.replace("\n", "\nbind :80 \n", 2), "is damaged"),
    ("tls_container", "passphrase", "a\nb", "control characters"),
    ("tls_container", "intermediates", CA.key_pem, "holds a private key"),
    ("tls_container", "ca_certificates", pem.crl(CA), "holds no certificate in PEM"),
    ("tls_container", "crl", CA.pem, "holds no revocation list in PEM"),
    *(
        (kind, "tls_ciphers", value, says)
        for kind in ("listener", "pool")
        for value, says in (
            ("AES128 bind", "may hold"),
            ("TLS_NULL", "is no cipher suite of TLS 1.3"),
            ("NONESUCH", "OpenSSL knows"),
            (":", "names no cipher"),
        )
    ),
    ("local_network", "cidr", "10.0.0.0/33", "CIDR"),
    ("local_host", "address", "host", "is not an IP address"),
    ("local_host", "ipv6_address", "fd00::g", "is not an IP address"),
    ("local_network", "ipv6_cidr", "fd00::/129", "CIDR"),
    ("local_host", "command", ["sh", "a\0b"], "NUL"),
    ("local_host", "environment", {"A": "a\0b"}, "NUL"),
    ("local_host", "user", "no such user", "is not the name of a user"),
)

# kind, what is changed, where the violation is, words of the message
RULES: tuple[Row, ...] = (
    ("listener", {"connection_limit": 0}, ("connection_limit",), "must be at least 1, or -1"),
    ("load_balancer", {"vip_network_id": ABSENT}, ("vip_network_id",), "is required: say where the VIP lives"),
    ("load_balancer", {"additional_vips": [{"subnet_id": "x"}]}, ("additional_vips", 0, "subnet_id"), "is not a UUID"),
    ("load_balancer", {"additional_vips": [{}]}, ("additional_vips", 0, "subnet_id"), "is required"),
    (
        "load_balancer", {"additional_vips": [{"subnet_id": ID, "ip_address": "fd00::/64"}]},
        ("additional_vips", 0, "ip_address"), "is not an IP address",
    ),
    (
        "load_balancer", {"additional_vips": [{"subnet_id": ID, "port_id": "x"}]},
        ("additional_vips", 0, "port_id"), "is not a UUID",
    ),
    (
        "load_balancer", {"additional_vips": [{"subnet_id": ID}, {"subnet_id": ID.upper()}]},
        ("additional_vips",), "twice",
    ),
    ("load_balancer", {"vip_subnet_id": ID, "additional_vips": [{"subnet_id": ID}]}, ("additional_vips",), "twice"),
    ("listener", {"protocol": "TCP", "insert_headers": {"X-Forwarded-For": "true"}}, ("insert_headers",), "HTTP listeners"),
    ("listener", {"insert_headers": {"X-Evil": "true"}}, ("insert_headers",), "'X-Evil' is not one of"),
    ("listener", {"protocol": "TCP", "rate_limit": {"requests": 5}}, ("rate_limit",), "HTTP listeners only"),
    ("listener", {"rate_limit": {"requests": 0}}, ("rate_limit", "requests"), "must be at least 1"),
    ("listener", {"rate_limit": {"requests": 1, "by": "COOKIE"}}, ("rate_limit", "by"), "is not one of"),
    *bad_l7_inputs.policies(),
    *bad_l7_inputs.rules(),
    ("listener", {"insert_headers": {"X-SSL-Issuer": "true"}}, ("insert_headers",), "TERMINATED_HTTPS listeners only"),
    (
        "listener", {"protocol": "TERMINATED_HTTPS"},
        ("default_tls_container_ref",), "is required for TERMINATED_HTTPS, or sni_container_refs",
    ),
    *(
        ("listener", {"protocol": "HTTPS", name: value}, (name,), "listeners only: others do not end TLS")
        for name, value in (
            ("default_tls_container_ref", ID), ("sni_container_refs", [ID]), ("client_ca_tls_container_ref", ID),
            ("client_crl_container_ref", ID), ("hsts_max_age", 1), ("hsts_include_subdomains", True), ("hsts_preload", True),
        )
    ),
    (
        "listener", {**TLS, "client_authentication": "OPTIONAL"},
        ("client_authentication",), "needs client_ca_tls_container_ref",
    ),
    ("listener", {**TLS, "client_crl_container_ref": ID}, ("client_crl_container_ref",), "needs client_ca_tls_container_ref"),
    ("listener", {**TLS, "hsts_include_subdomains": True}, ("hsts_include_subdomains",), "needs hsts_max_age"),
    ("listener", {**TLS, "hsts_preload": True}, ("hsts_preload",), "needs hsts_max_age"),
    ("pool", {"crl_container_ref": ID}, ("crl_container_ref",), "needs ca_tls_container_ref"),
    ("pool", {"protocol": "HTTPS", "tls_enabled": True}, ("tls_enabled",), "does not go with HTTPS pools"),
    ("pool", {"protocol": "UDP", "tls_enabled": True}, ("tls_enabled",), "does not go with UDP pools"),
    *(
        (kind, {**good, **change}, at, says)
        for kind, good in (("listener", TLS), ("pool", {"tls_enabled": True}))
        for change, at, says in (
            ({"tls_versions": []}, ("tls_versions",), "at least"),
            ({"tls_versions": ["TLSv1.3", "TLSv1.1"]}, ("tls_versions",), "TLSv1.2 lies between"),
            ({"tls_versions": ["SSLv3"]}, ("tls_versions", 0), "is not one of"),
            ({"tls_ciphers": "TLS_AES_128_GCM_SHA256"}, ("tls_ciphers",), "has no cipher for TLS 1.2"),
            ({"tls_ciphers": "AES128-SHA", "tls_versions": ["TLSv1.3"]}, ("tls_ciphers",), "has no cipher suite of TLS 1.3"),
            ({"alpn_protocols": []}, ("alpn_protocols",), "at least"),
            ({"alpn_protocols": ["h3"]}, ("alpn_protocols", 0), "is not one of"),
        )
    ),
    ("tls_container", {**NOTHING, "intermediates": ABSENT}, ("certificate",), "is required, or ca_certificates, or crl"),
    ("tls_container", {"ca_certificates": CA.pem}, ("certificate",), "one sort of thing"),
    ("tls_container", {"private_key": ABSENT}, ("private_key",), "is required with certificate"),
    (
        "tls_container", {**NOTHING, "intermediates": ABSENT, "crl": pem.crl(CA), "private_key": PAIR.key_pem},
        ("private_key",), "goes with certificate only",
    ),
    ("tls_container", {**NOTHING, "ca_certificates": CA.pem}, ("intermediates",), "go with certificate only"),
    ("tls_container", {"private_key": ABSENT, "passphrase": "x"}, ("passphrase",), "goes with private_key only"),
    ("tls_container", {"certificate": PAIR.pem + MIDDLE.pem}, ("certificate",), "holds 2 certificates"),
    ("tls_container", {**SHORT.container(), "intermediates": ABSENT}, ("certificate",), "RSA key of 1024 bits"),
    ("tls_container", {**NARROW.container(), "intermediates": ABSENT}, ("certificate",), "a curve of 192 bits"),
    ("tls_container", {**NOTHING, "intermediates": ABSENT, "ca_certificates": SHORT.pem}, ("ca_certificates",), "1024 bits"),
    ("tls_container", {"private_key": STRANGER.key_pem}, ("private_key",), "does not belong to the certificate"),
    ("tls_container", {"private_key": PAIR.sealed_key("right")}, ("passphrase",), "is required: the private key is encrypted"),
    (
        "tls_container", {"private_key": PAIR.sealed_key("right"), "passphrase": "wrong"},
        ("passphrase",), "does not open the private key",
    ),
    ("tls_container", {"passphrase": "x"}, ("passphrase",), "the private key is not encrypted"),
    ("tls_container", {"intermediates": OTHER_CA.pem}, ("intermediates",), "number 1 has not signed the certificate"),
    ("tls_container", {"intermediates": MIDDLE.pem + OTHER_CA.pem}, ("intermediates",), "number 2 has not signed number 1"),
    ("pool", {"loadbalancer_id": ABSENT}, ("loadbalancer_id",), "is required, or listener_id"),
    (
        "pool", {"session_persistence": {"type": "APP_COOKIE"}},
        ("session_persistence", "cookie_name"), "is required with APP_COOKIE",
    ),
    (
        "pool", {"session_persistence": {"type": "SOURCE_IP", "cookie_name": "c"}},
        ("session_persistence", "cookie_name"), "goes with APP_COOKIE only",
    ),
    (
        "pool", {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "a b"}},
        ("session_persistence", "cookie_name"), "RFC 6265",
    ),
    (
        "pool", {"session_persistence": {"type": "APP_COOKIE", "cookie_name": "c" * 256}},
        ("session_persistence", "cookie_name"), "longer than 255",
    ),
    *(
        (
            "pool", {"session_persistence": {"type": type_, "cookie_name": cookie, name: value}},
            ("session_persistence", name), "goes with HTTP_COOKIE only",
        ) for name, value in (("cookie_secure", False), ("cookie_http_only", True), ("cookie_same_site", "LAX"))
        for type_, cookie in (("APP_COOKIE", "c"), ("SOURCE_IP", None))
    ),
    (
        "pool", {"session_persistence": {"type": "HTTP_COOKIE", "cookie_same_site": "NONE", "cookie_secure": False}},
        ("session_persistence", "cookie_same_site"), "NONE needs Secure",
    ),
    ("pool", {"session_persistence": {"type": "IP"}}, ("session_persistence", "type"), "is not one of"),
    ("pool", {"session_persistence": {}}, ("session_persistence", "type"), "is required"),
    ("pool", {"session_persistence": {"type": "SOURCE_IP", "x": 1}}, ("session_persistence", "x"), "can be given"),
    (
        "pool", {"protocol": "TCP", "session_persistence": {"type": "HTTP_COOKIE"}},
        ("session_persistence",), "needs a pool that speaks HTTP",
    ),
    *(
        ("health_monitor", {"type": "TCP", name: value}, (name,), "goes with HTTP and HTTPS monitors only")
        for name, value in (
            ("http_method", "GET"), ("url_path", "/"), ("expected_codes", "200"),
        )
    ),
    *(
        ("pool", {"protocol": protocol, "protocol_version": "HTTP2"}, ("protocol_version",), "goes with HTTP, PROXY and PROXYV2 pools")
        for protocol in ("TCP", "HTTPS", "UDP")
    ),
    *(
        ("pool", {"protocol_version": version, "alpn_protocols": offered}, ("protocol_version",), f"{version} {says}")
        for version, offered, says in (
            ("HTTP2", ["http/1.1"], "goes with alpn_protocols h2 alone"), ("HTTP2", ["h2", "http/1.1"], "goes with alpn_protocols h2"),
            ("HTTP1", ["h2"], "does not go with h2"),
        )
    ),
    ("health_monitor", {"domain_name": "a.example"}, ("domain_name",), "needs http_version 1.1"),
    ("health_monitor", {"http_version": "1.1", "domain_name": "a b"}, ("domain_name",), "is not a host name"),
    ("health_monitor", {"type": "UDP-CONNECT", "delay": 2, "timeout": 1}, ("delay",), "must be at least 3 with UDP-CONNECT"),
    ("health_monitor", {"grpc_service": "a.B"}, ("grpc_service",), "goes with GRPC monitors only"),
    ("health_monitor", {"type": "SCTP"}, ("type",), "SCTP is not served"),
    ("listener", {"protocol": "SCTP"}, ("protocol",), "SCTP is not served"),
    ("listener", {"protocol": "PROMETHEUS", "default_pool_id": ID}, ("default_pool_id",), "does not go with PROMETHEUS"),
    ("listener", {"protocol": "PROMETHEUS", "hsts_max_age": 1}, ("hsts_max_age",), "TERMINATED_HTTPS listeners only"),
    ("listener", {"protocol": "PROMETHEUS", "rate_limit": {"requests": 1}}, ("rate_limit",), "by HTTP listeners only"),
    *(
        ("listener", {"protocol": "PROMETHEUS", name: value}, (name,), "needs default_tls_container_ref")
        for name, value in (
            ("client_authentication", "OPTIONAL"), ("client_ca_tls_container_ref", ID), ("client_crl_container_ref", ID),
        )
    ),
    ("listener", {"protocol": "UDP", "insert_headers": {"X-Forwarded-For": "true"}}, ("insert_headers",), "HTTP listeners"),
    ("pool", {"protocol": "SCTP"}, ("protocol",), "SCTP is not served"),
    ("pool", {"protocol": "UDP", "lb_algorithm": "LEAST_CONNECTIONS"}, ("lb_algorithm",), "is not for UDP"),
    ("pool", {"protocol": "UDP", "session_persistence": {"type": "HTTP_COOKIE"}}, ("session_persistence",), "needs a pool"),
    *(
        ("pool", {"session_persistence": {"type": "SOURCE_IP", name: value}}, ("session_persistence",), "for UDP pools only")
        for name, value in (("persistence_timeout", 60), ("persistence_granularity", "255.255.255.0"))
    ),
    *(
        (
            "pool", {"protocol": "UDP", "session_persistence": {"type": "SOURCE_IP", "persistence_granularity": mask}},
            ("session_persistence", "persistence_granularity"), says,
        )
        for mask, says in (
            ("255.0.255.0", "is not a netmask"), ("0.0.0.255", "is not a netmask"), ("0.0.0.0", "is not a netmask"),
            ("24", "is not an IP address"),
        )
    ),
    (
        "pool", {"protocol": "UDP", "session_persistence": {"type": "SOURCE_IP", "persistence_timeout": 0}},
        ("session_persistence", "persistence_timeout"), "must be at least 1",
    ),
    *((kind, {"name": ""}, ("name",), "is required") for kind in NAMED),
    *(("flavor_profile", {"flavor_data": text}, ("flavor_data", *at), says) for text, at, says in FLAVOR_DATA),
    *(
        ("availability_zone_profile", {"availability_zone_data": text}, ("availability_zone_data", *at), says)
        for text, at, says in ZONE_DATA
    ),
    ("local_network", {"cidr": "fd00::/64"}, ("cidr",), "IPv4"),
    ("local_network", {"cidr": "10.0.0.0/30"}, ("cidr",), "/16 and a /29"),
    ("local_network", {"cidr": "8.8.8.0/24"}, ("cidr",), "private"),
    ("local_network", {"cidr": "127.9.0.0/24"}, ("cidr",), "private"),
    ("local_network", {"ipv6_cidr": "10.9.0.0/24"}, ("ipv6_cidr",), "IPv6"),
    ("local_network", {"ipv6_cidr": "fd00::/32"}, ("ipv6_cidr",), "/48 and a /120"),
    ("local_network", {"ipv6_cidr": "2600::/64"}, ("ipv6_cidr",), "private"),
    ("local_network", {"ipv6_cidr": "fe80::/64"}, ("ipv6_cidr",), "private"),
    ("local_host", {"command": ABSENT}, ("command",), "is required, or forward_port"),
    ("local_host", {"forward_port": 80}, ("command",), "and not both"),
    *(("local_host", {"environment": {name: "hunter2"}}, ("environment",), "a variable whose name") for name in ("", "A=B", "A\0")),
)  # fmt: skip


def _declared(kind: str, attribute: Attribute) -> Iterator[BadInput]:
    """What the declaration alone says."""
    name, at = attribute.name, (attribute.name,)
    if attribute.required:
        yield BadInput(kind, "required", {name: ABSENT}, at, "is required")
    yield BadInput(kind, "shape", {name: _misshapen(attribute)}, at, "must be")
    if attribute.minimum is not None:
        yield BadInput(kind, "minimum", {name: int(attribute.minimum) - 1}, at, "must be at least")
    if attribute.maximum is not None:
        yield BadInput(kind, "maximum", {name: int(attribute.maximum) + 1}, at, "must be at most")
    if attribute.choices and not attribute.is_list:
        yield BadInput(kind, "choices", {name: "NEITHER"}, at, "is not one of")
    if attribute.max_length is not None:
        long: Any = "/" + "x" * attribute.max_length
        inside = [long] if attribute.is_list else {"A": long} if attribute.is_map else long
        yield BadInput(kind, "length", {name: inside}, _items(attribute, inside), "must not be longer than")


def _misshapen(attribute: Attribute) -> Any:
    five = attribute.annotation in (str, bool) or attribute.is_list or attribute.is_map or attribute.nested
    return 5 if five else "five"


def _items(attribute: Attribute, value: Any) -> Path:
    """Where the fault of a bad value is: at the item, in a list or a map."""
    if attribute.is_list:
        return (attribute.name, len(value) - 1)
    return (attribute.name, next(iter(value))) if attribute.is_map else (attribute.name,)


def bad_inputs() -> Iterator[BadInput]:
    """The whole table."""
    for kind, cls in KINDS.items():
        yield BadInput(kind, "unknown", {"colour": "red"}, ("colour",), "is not an attribute that can be given")
        yield BadInput(kind, "computed", {"provisioning_status": "ACTIVE"}, ("provisioning_status",), "can be given")
        for attribute in inputs(cls).values():
            yield from _declared(kind, attribute)
    for kind, name, value, says in FORMATS:
        yield BadInput(kind, f"format-{says}", {name: value}, _items(inputs(KINDS[kind])[name], value), says)
    for kind, change, at, says in RULES:
        yield BadInput(kind, f"rule-{says}", change, at, says)


BAD_INPUTS: tuple[BadInput, ...] = tuple(bad_inputs())
NESTED = (SessionPersistence, HeaderChange)
"""Dataclasses inside kinds, whose rules the table has too."""
