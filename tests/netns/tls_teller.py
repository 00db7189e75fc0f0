# SPDX-License-Identifier: Apache-2.0
"""A member that takes every version of TLS, HTTP/2 and HTTP/1, and tells what was negotiated: haproxy, as a host's command."""

from __future__ import annotations

from pem import Pair

CONFIGURATION = """
global
    ssl-default-bind-options ssl-min-ver TLSv1.0
    ssl-default-bind-ciphers ALL:@SECLEVEL=0
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend teller
    bind :443 ssl crt $FOLDER/pair.pem alpn h2,http/1.1,http/1.0
    http-request return status 200 content-type application/json lf-string '{"version":"%[ssl_fc_protocol]","alpn":"%[ssl_fc_alpn]"}'
"""
START = """
FOLDER=$(mktemp -d); export FOLDER
printf '%s' "$PAIR" > $FOLDER/pair.pem
printf '%s' "$CONFIGURATION" | sed "s,[$]FOLDER,$FOLDER," > $FOLDER/haproxy.cfg
exec haproxy -db -f $FOLDER/haproxy.cfg
"""


def host(pair: Pair) -> dict[str, object]:
    """The attributes of a local host with it."""
    return {
        "command": ["sh", "-c", START], "user": "root",
        "environment": {"PAIR": pair.pem + pair.key_pem, "CONFIGURATION": CONFIGURATION},
    }  # fmt: skip
