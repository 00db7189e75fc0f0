# SPDX-License-Identifier: Apache-2.0
"""Relays: haproxy in TCP mode on a socket that somebody else has opened, so that no connection is refused without it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import fabric, namespaces
from .errors import Problem

# Who is not connected to in this time is given up for the other one, before a client loses patience. Checks find a haproxy that hangs.
FAILOVER = """    timeout connect 150ms
    timeout check 250ms
    retries 2
    option redispatch 1
    option httpchk GET /
"""
CHECKS = "inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions"


@dataclass(frozen=True, slots=True)
class Relay:
    """``descriptor``: a listening socket (haproxy's ``fd@``). ``proxy``: say whose connection it is (PROXY protocol v2).

    ``standbys``, ``checks``: see ``specs.Publication``.
    """

    descriptor: int
    target: tuple[str, int]
    proxy: bool
    standbys: Sequence[tuple[str, int]] = ()
    checks: Sequence[tuple[str, int]] = ()


def configuration(relay: Relay) -> str:
    """haproxy's configuration (2.6, sections 3 and 4).

    A connection may be silent for a day: that is for the listener's own timeouts to judge. One whose other side is gone
    without a word is found by TCP's keep-alive.
    """
    proxy = " send-proxy-v2" if relay.proxy else ""
    servers = f"    server target {_at(relay.target)}{proxy}\n"
    if relay.standbys:
        asked = [f" check addr {address} port {port} {CHECKS}" for address, port in relay.checks]
        servers = f"{FAILOVER}    server target {_at(relay.target)}{proxy}{asked[0]}\n" + "".join(
            f"    server standby-{number} {_at(standby)}{proxy}{check} backup\n"
            for number, (standby, check) in enumerate(zip(relay.standbys, asked[1:], strict=True), start=1)
        )
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
{servers}"""


def _at(place: tuple[str, int]) -> str:
    address, port = place
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


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
