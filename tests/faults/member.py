# SPDX-License-Identifier: Apache-2.0
"""What both pairs balance to: a haproxy that answers each request with the address that it came from."""

from __future__ import annotations


def configuration(bind: str) -> str:
    """Its ``haproxy.cfg``. ``bind``: where it listens, as haproxy has it (``:80``)."""
    return f"""
global
    nbthread 1
defaults
    mode http
    timeout client 1m
    timeout connect 5s
    timeout server 1m
frontend web
    bind {bind}
    http-request return status 200 content-type text/plain lf-string "%[src]"
"""
