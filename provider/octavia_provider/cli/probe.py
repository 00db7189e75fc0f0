# SPDX-License-Identifier: Apache-2.0
"""Whether a listener answers where it is published, by asking it as a client would; for `start` and `status`."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

TIMEOUT = 3.0
"""Seconds for one answer."""
CLOSE_TIMEOUT = 0.1
"""Seconds: who takes a connection and has nobody behind it closes it sooner."""
GATEWAY_ERRORS = (502, 503, 504)
"""What haproxy itself answers where no member does (HAProxy configuration manual, section 1.3.1)."""


def accepts_connections(address: str | None, protocol: str, port: int) -> bool | None:
    """Whether connections are taken there; None where that cannot be told: UDP, or not published."""
    if address is None or protocol == "UDP":
        return None
    return connection_error(address, port) == ""


def connection_error(address: str, port: int) -> str:
    """Open a connection and see whether it stays; why not, or ""."""
    try:
        opened = socket.create_connection((address, port), timeout=TIMEOUT)
    except OSError as error:
        return f"no connection: {(error.strerror or str(error)).lower()}"
    with opened:
        opened.settimeout(CLOSE_TIMEOUT)
        try:
            stays_open = bool(opened.recv(1))
        except TimeoutError:  # it waits for what we have to say
            return ""
        except OSError:
            stays_open = False
    return "" if stays_open else "connections are closed at once"


def request_error(url: str) -> str:
    """Ask for nothing in particular (``OPTIONS *``, RFC 9110, section 9.3.7); why nobody answers, or "".

    Whatever a member says is an answer, and so is a listener that wants a client's certificate.
    """
    parts = urlsplit(url)
    opened: Any
    if parts.scheme == "https":
        no_verification = ssl.create_default_context()
        no_verification.check_hostname, no_verification.verify_mode = (
            False,
            ssl.CERT_NONE,
        )  # who answers is not the question
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
