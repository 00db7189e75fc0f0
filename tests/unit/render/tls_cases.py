# SPDX-License-Identifier: Apache-2.0
"""Golden cases of TLS, and the files that their lines name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pem
from builders import graph, resource
from octavia_provider.model.common import Resource
from octavia_provider.model.graph import Graph
from octavia_provider.model.listener import HEADERS, TLS_HEADERS
from octavia_provider.model.tls_container import TlsContainer
from octavia_provider.render.haproxy import Placement, render

CA = pem.authority()
ONE, TWO = (TlsContainer.trusted({"id": name, **pem.make(f"{name}.test", CA).container()}) for name in ("one", "two"))
AUTHORITIES = TlsContainer.trusted({"id": "ca", "ca_certificates": CA.pem})
REVOKED = TlsContainer.trusted({"id": "crl", "crl": pem.crl(CA)})
CONTAINERS = (ONE, TWO, AUTHORITIES, REVOKED)
HERE = Placement(vips=("127.0.0.1",), proxy_address="127.0.0.2")
TLS = {"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "one"}


_CHECK = resource("health_monitor", "hm", type="HTTPS")


def _case(listener: dict[str, object], more: Sequence[Resource] = (), **pool: object) -> tuple[Graph, Placement]:
    parts = [resource("listener", "web", **listener), resource("member", "m1"), *more]
    return graph(*CONTAINERS, *parts, resource("pool", "pool", **pool)), HERE


CASES: dict[str, tuple[Graph, Placement]] = {
    "tls": _case(TLS),
    "tls-sni": _case({**TLS, "sni_container_refs": ("two", "one")}),
    "tls-terms": _case({
        **TLS, "tls_versions": ("TLSv1.2", "TLSv1", "TLSv1.1"), "alpn_protocols": ("http/1.1",),
        "tls_ciphers": "ALL:!aNULL:+SHA1:@SECLEVEL=0:ECDHE-RSA-AES128-GCM-SHA256",
    }),
    "tls-clients": _case({
        **TLS, "client_authentication": "MANDATORY", "client_ca_tls_container_ref": "ca",
        "client_crl_container_ref": "crl", "insert_headers": dict.fromkeys((*HEADERS, *TLS_HEADERS), "true"),
    }),
    "tls-clients-optional": _case({**TLS, "client_authentication": "OPTIONAL", "client_ca_tls_container_ref": "ca"}),
    "tls-hsts": _case({**TLS, "hsts_max_age": 31_536_000, "hsts_include_subdomains": True, "hsts_preload": True}),
    "tls-hsts-plain": _case({**TLS, "hsts_max_age": 0}),
    "https": _case({"protocol": "HTTPS", "protocol_port": 443}, protocol="HTTPS"),
    "tls-metrics": (graph(*CONTAINERS, resource(
        "listener", "web", **TLS | {"protocol": "PROMETHEUS"}, client_authentication="MANDATORY",
        client_ca_tls_container_ref="ca",
    )), HERE),
    "tls-proxy-v2": _case(TLS, protocol="PROXYV2", tls_enabled=True),
    "tls-members": _case({"protocol": "HTTP"}, tls_enabled=True),
    "tls-members-verified": _case(
        TLS, tls_enabled=True, tls_container_ref="two", ca_tls_container_ref="ca", crl_container_ref="crl",
        tls_versions=("TLSv1.3",), tls_ciphers="TLS_AES_128_GCM_SHA256", alpn_protocols=("h2",),
    ),
    "tls-members-http2": _case(
        TLS, [resource("health_monitor", "hm", type="HTTPS", http_version="1.1", domain_name="m.test")], tls_enabled=True,
        protocol_version="HTTP2",
    ),
    "tls-members-tcp": _case({"protocol": "TCP"}, protocol="TCP", tls_enabled=True),
    "tls-members-checked": _case(TLS, [_CHECK], tls_enabled=True, ca_tls_container_ref="ca"),
}  # fmt: skip


def lay_out(directory: Path) -> str:
    """Write the files of all cases; the lines of ``global`` that say where they are."""
    for case, placement in CASES.values():
        configuration = render(case, placement).configuration
        for name, one in configuration.files.items():
            (directory / name).write_text(one.content)
    for frontends in (render(*case).configuration.frontends for case in CASES.values()):
        if certificates := frontends["web"].certificates:
            (directory / "web.list").write_text("".join(f"{name}\n" for name in certificates))
    return f"    setenv OCTAVIA_FILES {directory}\n    crt-base {directory}\n    ca-base {directory}\n"
