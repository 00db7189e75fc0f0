# SPDX-License-Identifier: Apache-2.0
"""Relays: haproxy in TCP mode on a socket that somebody else has opened, so that no connection is refused without it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import fabric, namespaces
from .errors import Problem


@dataclass(frozen=True, slots=True)
class Relay:
    """``descriptor``: a listening socket (haproxy's ``fd@``). ``proxy``: say whose connection it is (PROXY protocol v2)."""

    descriptor: int
    target: tuple[str, int]
    proxy: bool


def configuration(relay: Relay) -> str:
    """haproxy's configuration (2.6, sections 3 and 4).

    A connection may be silent for a day: that is for the listener's own timeouts to judge. One whose other side is gone
    without a word is found by TCP's keep-alive.
    """
    address, port = relay.target
    host = f"[{address}]" if ":" in address else address
    return f"""global
    maxconn 20000
    no strict-limits
    nbthread 1
    hard-stop-after 10m
defaults
    mode tcp
    timeout connect 5s
    timeout client 24h
    timeout server 24h
    timeout client-fin 30s
    timeout server-fin 30s
    retries 3
    option clitcpka
    option srvtcpka
    clitcpka-idle 30s
    clitcpka-intvl 10s
    clitcpka-cnt 3
    srvtcpka-idle 30s
    srvtcpka-intvl 10s
    srvtcpka-cnt 3
listen relay
    bind fd@{relay.descriptor}
    server target {host}:{port}{" send-proxy-v2" if relay.proxy else ""}
"""


def write(name: str, relay: Relay, root: str = "") -> str:
    """Write the configuration to a folder in memory; its path as the relay sees it, whose root is ``root``."""
    path = _path(name)
    Path(root + path).write_text(configuration(relay), encoding="ascii")
    return path


def remove(name: str, root: str) -> None:
    """Remove what ``write`` wrote."""
    Path(root + _path(name)).unlink(missing_ok=True)


def _path(name: str) -> str:
    return f"{namespaces.SCRATCH}/{fabric.short('', name)}.cfg"


def command(path: str) -> list[str]:
    """haproxy in the foreground, without a master."""
    haproxy = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:{namespaces.PATH}")
    if haproxy is None:
        raise Problem("there is no haproxy on this machine", hint="install haproxy 2.6 or newer")
    return [haproxy, "-db", "-f", path]
