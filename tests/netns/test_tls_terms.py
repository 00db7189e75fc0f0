# SPDX-License-Identifier: Apache-2.0
"""Each version of TLS and each protocol of ALPN, as the client and as the member negotiate it; L7 rules on certificates."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest

import pem
from octavia_provider.model.l7_rule import COMPARE_TYPES

from .installation import Installation, ask, until
from .tls_client import ask as ask_by_tls
from .tls_client import refused
from .tls_teller import host

ANY_CIPHER = "ALL:@SECLEVEL=0"  # OpenSSL's level 2, Debian's default, has no cipher for what is older than TLS 1.2
VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}  # fmt: skip
ALPN = ("h2", "http/1.1", "http/1.0")


class Balancer:
    """A load balancer, made in one call, before a member that tells what it negotiated."""

    def __init__(self, site: Installation, pair: pem.Pair) -> None:
        self.site = site
        self.network = site.create("local_network", name="net")["id"]
        self.member = site.create("local_host", name="teller", network_id=self.network, **host(pair))["address"]
        self.listeners: dict[str, dict[str, Any]] = {}
        self.urls: dict[str, str] = {}

    def add(self, name: str, *, pool: dict[str, Any] | None = None, **listener: Any) -> None:
        behind = {
            "name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tls_enabled": True,
            "members": [{"address": self.member, "protocol_port": 443}], **(pool or {}),
        }  # fmt: skip
        self.listeners[name] = {
            "name": name, "protocol": "HTTP", "protocol_port": 1000 + len(self.listeners), "default_pool": behind, **listener,
        }  # fmt: skip

    def make(self) -> None:
        made = self.site.create(
            "load_balancer", name="lb", vip_network_id=self.network, listeners=list(self.listeners.values())
        )
        assert made["provisioning_status"] == "ACTIVE", made
        for listener in made["listeners"]:
            self.urls[listener["name"]] = self.site.get("listener", listener["id"])["url"]


@pytest.mark.shows(
    "pool.tls_enabled", "pool.tls_versions=TLSv1", "pool.tls_versions=TLSv1.1", "pool.tls_versions=TLSv1.2",
    "pool.tls_versions=TLSv1.3", "pool.alpn_protocols=h2", "pool.alpn_protocols=http/1.1", "pool.alpn_protocols=http/1.0",
    "listener.tls_versions=TLSv1", "listener.tls_versions=TLSv1.1", "listener.tls_versions=TLSv1.2",
    "listener.tls_versions=TLSv1.3", "listener.tls_ciphers", "pool.tls_ciphers",
)  # fmt: skip
def test_each_version_and_each_protocol__as_clients_and_members_negotiate_them(site: Installation) -> None:
    pair = pem.make("a.test")
    made = Balancer(site, pair)
    served = site.create("tls_container", name="served", **pair.container())["id"]
    for version in VERSIONS:
        terms = {"tls_versions": [version], "tls_ciphers": ANY_CIPHER}
        made.add(f"pool {version}", pool=terms)
        made.add(f"listener {version}", protocol="TERMINATED_HTTPS", default_tls_container_ref=served, **terms)
    for protocol in ALPN:
        made.add(f"pool {protocol}", pool={"alpn_protocols": [protocol]})
    made.make()

    def told(name: str) -> Any:
        status, body = ask(made.urls[name])
        return json.loads(body) if status == 200 else None

    for version in VERSIONS:
        assert until(lambda name=f"pool {version}": told(name))["version"] == version  # type: ignore[misc]
    for protocol in ALPN:
        assert until(lambda name=f"pool {protocol}": told(name))["alpn"] == protocol  # type: ignore[misc]
    for version in VERSIONS:
        url = made.urls[f"listener {version}"]
        for offered, number in VERSIONS.items():
            terms = {"oldest": number, "newest": number, "ciphers": ANY_CIPHER}
            if offered == version:
                assert ask_by_tls(url, **terms).version == version
            else:
                assert refused(url, **terms), f"{offered} where {version} is asked for"


NAME = "client's name"
PARTS = {"REGEX": "^cl.+e$", "STARTS_WITH": "client", "ENDS_WITH": "name", "CONTAINS": "'s ", "EQUAL_TO": NAME}


def rejected(port: int, *rules: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Policies by which what matches is answered with a redirect that names the rule."""
    return [
        {"action": "REDIRECT_TO_URL", "redirect_url": f"http://told/{number}", "rules": [
            {"type": "HEADER", "key": "X-Case", "compare_type": "EQUAL_TO", "value": str(number)},
            {"type": type_, "compare_type": compare, "value": value, "key": "CN" if type_ == "SSL_DN_FIELD" else None},
        ]} for number, (type_, compare, value) in enumerate(rules, port)
    ]  # fmt: skip
