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
        for one in made["listeners"]:  # ids alone, where it took longer than one call waits
            listener = self.site.get("listener", one["id"])
            self.urls[listener["name"]] = listener["url"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.covers(
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
        terms = {"tls_versions": [version], "tls_ciphers": f"TLS_AES_128_GCM_SHA256:{ANY_CIPHER}"}
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
# the rule; whether it matches a client of that name, one of another, one without a certificate
ON_CERTIFICATES = [
    *(({"type": "SSL_DN_FIELD", "key": "CN", "compare_type": how, "value": value}, (True, False, False)) for how, value in PARTS.items()),
    ({"type": "SSL_CONN_HAS_CERT", "compare_type": "EQUAL_TO", "value": "true"}, (True, True, False)),
    ({"type": "SSL_CONN_HAS_CERT", "compare_type": "EQUAL_TO", "value": "true", "invert": True}, (False, False, True)),
    ({"type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "0"}, (True, True, True)),
    ({"type": "SSL_VERIFY_RESULT", "compare_type": "EQUAL_TO", "value": "10"}, (False, False, False)),
]  # fmt: skip


@pytest.mark.covers(
    "l7_rule.type=SSL_CONN_HAS_CERT", "l7_rule.type=SSL_VERIFY_RESULT", "l7_rule.type=SSL_DN_FIELD", "l7_rule.key",
    "listener.client_authentication=NONE", "listener.client_authentication=OPTIONAL",
)  # fmt: skip
def test_l7_rules_on_the_certificates_of_clients__and_a_listener_that_asks_for_none(site: Installation) -> None:
    assert set(PARTS) == {choice.value for choice in COMPARE_TYPES}
    pair, authority = pem.make("a.test"), pem.authority()
    made = Balancer(site, pair)
    tls = {
        "protocol": "TERMINATED_HTTPS", "client_ca_tls_container_ref": site.create("tls_container", ca_certificates=authority.pem)["id"],
        "default_tls_container_ref": site.create("tls_container", **pair.container())["id"], "l7policies": [
            {"action": "REJECT", "rules": [rule, {"type": "PATH", "compare_type": "EQUAL_TO", "value": f"/{number}"}]}
            for number, (rule, _) in enumerate(ON_CERTIFICATES)
        ],
    }  # fmt: skip
    for how in ("OPTIONAL", "NONE"):
        made.add(how, client_authentication=how, **tls)
    made.make()
    clients = (pem.make(NAME, authority), pem.make("another", authority), None)
    for url in made.urls.values():
        until(lambda url=url: not refused(url) and ask_by_tls(url).status == 200, what="the member to answer")  # type: ignore[misc]
    for number, (rule, matches) in enumerate(ON_CERTIFICATES):
        for client, match in zip(clients, matches, strict=True):
            seen = ask_by_tls(made.urls["OPTIONAL"], client=client, path=f"/{number}").status
            assert seen == (403 if match else 200), (rule, client)
        # Where none is asked for, a client that has one shows none.
        seen = ask_by_tls(made.urls["NONE"], client=clients[0], path=f"/{number}").status
        assert seen == (403 if matches[2] else 200), rule
