# SPDX-License-Identifier: Apache-2.0
"""The words of TLS that a listener and a pool have alike."""

from __future__ import annotations

from octavia_provider.model.listener import Listener
from octavia_provider.model.pool import Pool
from octavia_provider.model.tls import DEFAULT_ALPN, DEFAULT_CIPHERS, DEFAULT_VERSIONS

from .tables import Facts

VERSIONS = {"TLSv1": "TLSv1.0", "TLSv1.1": "TLSv1.1", "TLSv1.2": "TLSv1.2", "TLSv1.3": "TLSv1.3"}
"""Octavia's names and haproxy's, the oldest first."""


def terms(of: Listener | Pool) -> Facts:
    """``tls.old`` and ``tls.new`` ciphers, ``tls.oldest`` and ``tls.newest`` version, ``tls.alpn``."""
    given = (of.tls_ciphers or DEFAULT_CIPHERS).split(":")
    versions = [VERSIONS[name] for name in VERSIONS if name in (of.tls_versions or DEFAULT_VERSIONS)]
    return {
        "tls.old": ":".join(name for name in given if name and name[:4] != "TLS_"),
        "tls.new": ":".join(name for name in given if name[:4] == "TLS_"),
        "tls.oldest": versions[0],
        "tls.newest": versions[-1],
        "tls.alpn": ",".join(of.alpn_protocols or _of_version(of) or DEFAULT_ALPN),
    }


def _of_version(of: Listener | Pool) -> tuple[str, ...]:
    if isinstance(of, Listener):
        return ()
    return {"HTTP1": ("http/1.1", "http/1.0"), "HTTP2": ("h2",)}.get(str(of.protocol_version), ())
