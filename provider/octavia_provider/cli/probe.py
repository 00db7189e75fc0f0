# SPDX-License-Identifier: Apache-2.0
"""Probes of a listener's published address, as a client would connect; for `start` and `status`."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 3.0
"""Seconds for one response."""
CLOSE_TIMEOUT = 0.1
"""Seconds: a relay without a backend closes a connection sooner than this."""
GATEWAY_ERRORS = (502, 503, 504)
"""haproxy's own statuses when no member responds (HAProxy configuration manual, section 1.3.1)."""


def accepts_connections(address: str | None, protocol: str, port: int) -> bool | None:
    """Whether the address accepts connections; None when that cannot be tested: UDP, or not published."""
    if address is None or protocol == "UDP":
        return None
    return connection_error(address, port) == ""


def connection_error(address: str, port: int) -> str:
    """Open a connection and check that it stays open; return the error, or ""."""
    try:
        opened = socket.create_connection((address, port), timeout=TIMEOUT)
    except OSError as error:
        return f"no connection: {(error.strerror or str(error)).lower()}"
    with opened:
        opened.settimeout(CLOSE_TIMEOUT)
        try:
            stays_open = bool(opened.recv(1))
        except TimeoutError:  # the server waits for our request
            return ""
        except OSError:
            stays_open = False
    return "" if stays_open else "connections are closed at once"


def request_error(url: str) -> str:
    """Send ``OPTIONS *`` (RFC 9110, section 9.3.7); return the error, or "".

    Any response of a member counts as an answer, as does a demand for a client certificate.
    """
    parts = urlsplit(url)
    opened: Any
    if parts.scheme == "https":
        no_verification = ssl.create_default_context()
        no_verification.check_hostname, no_verification.verify_mode = (
            False,
            ssl.CERT_NONE,
        )  # identity does not matter here
        opened = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT, context=no_verification)
    else:
        opened = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        opened.request("OPTIONS", "*", headers={"Connection": "close"})
        status = opened.getresponse().status
    except ssl.SSLError:
        return ""
    except TimeoutError:
        return "no answer"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {str(error).lower() or type(error).__name__}"
    finally:
        opened.close()
    return f"answers {status}" if status in GATEWAY_ERRORS else ""
