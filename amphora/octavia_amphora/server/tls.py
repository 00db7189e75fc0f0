# SPDX-License-Identifier: Apache-2.0
"""TLS of the agent's API: our own certificate, and who may call."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from octavia_amphora.wire.messages import Settings


def context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 or newer; a client certificate of our authority, made for clients, is required."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(settings.certificate, settings.key)
    made.load_verify_locations(settings.authority)
    return made


def is_controller(certificate: Mapping[str, Any] | None, controller: str) -> bool:
    """Whether a verified certificate (``ssl.SSLSocket.getpeercert``) carries the control plane's URI name (RFC 5280)."""
    names = (certificate or {}).get("subjectAltName", ())
    return ("URI", controller) in names
