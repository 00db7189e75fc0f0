# SPDX-License-Identifier: Apache-2.0
"""TLS of the agent's checks, as haproxy speaks it with the same servers."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

from octavia_amphora.wire.config import ProbeTls

ALPN = "h2"
_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1, "TLSv1.1": ssl.TLSVersion.TLSv1_1, "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}  # fmt: skip
Files = tuple[tuple[str, str], ...]
"""Names of files, each with the digest of its content."""


def files(tls: ProbeTls, digests: dict[str, str]) -> Files:
    """Those that a check needs; ``digests``: of all files, by name."""
    return tuple((name, digests.get(name, "")) for name in (tls.ca, tls.crl, tls.certificate) if name)


@functools.lru_cache(maxsize=256)
def context(tls: ProbeTls, needed: Files, contents: Path) -> ssl.SSLContext:
    """A client's context; ``contents``: where contents lie by digest. ``OSError`` when one is not there, or is not PEM."""
    paths = {name: contents / digest for name, digest in needed}
    tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls_context.check_hostname = bool(tls.ca and tls.name)
    tls_context.verify_mode = ssl.CERT_REQUIRED if tls.ca else ssl.CERT_NONE
    for name in (tls.ca, tls.crl):
        if name:
            tls_context.load_verify_locations(cafile=paths[name])
    if tls.crl:
        tls_context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
    if tls.certificate:
        tls_context.load_cert_chain(paths[tls.certificate])
    if tls.ciphers:
        tls_context.set_ciphers(tls.ciphers)
    tls_context.minimum_version, tls_context.maximum_version = _VERSIONS[tls.oldest], _VERSIONS[tls.newest]
    tls_context.set_alpn_protocols([ALPN])
    return tls_context
