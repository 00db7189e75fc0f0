# SPDX-License-Identifier: Apache-2.0
"""Trying addresses and ports before haproxy does: a conflict passes ``haproxy -c``, and a reload that meets one has the
old process let go of its listeners while the new one tries again (measured: 2 s of refused connections)."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from octavia_amphora.shortage import is_shortage
from octavia_amphora.wire.config import Bind, Configuration, without_udp
from octavia_amphora.wire.messages import Complaint

_LISTENS = "0A"  # the state of a socket that listens


def bind_errors(running: Iterable[Configuration], new: Configuration) -> tuple[Complaint, ...]:
    """What stands against the binds of ``new``. ``running``: what our own haproxy may have loaded and so may hold."""
    held = [bind for one in running for frontend in without_udp(one).frontends.values() for bind in frontend.binds]
    taken: dict[tuple[str, int], str] = {}
    found = []
    for frontend in without_udp(new).frontends.values():
        for bind in frontend.binds:
            message = _duplicate_error(bind, frontend.name, taken) or ("" if _is_held(bind, held) else _try_bind(bind))
            if message:
                found.append(Complaint(message=message, proxy=frontend.name))
    return tuple(found)


def listening_sockets(processes: Iterable[int]) -> Iterator[Bind]:
    """What the user of these processes listens on, as the kernel tells (proc(5), ``/proc/net/tcp``).

    Of the user, for whose sockets those are cannot be seen from another user's process.
    """
    for process in processes:
        folder = Path("/proc", str(process))
        with contextlib.suppress(OSError):
            user = str(folder.stat().st_uid)
            for table in ("tcp", "tcp6"):
                for words in map(str.split, (folder / "net" / table).read_text().splitlines()[1:]):
                    if (words[3], words[7]) == (_LISTENS, user):
                        address, _, port = words[1].partition(":")
                        yield Bind(_address(address), int(port, 16))


def _address(words: str) -> str:
    """Hexadecimal, in words of four bytes, each in the machine's own order."""
    parts = [int(words[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(words), 8)]
    return str(ipaddress.ip_address(b"".join(parts)))


def _duplicate_error(bind: Bind, frontend: str, taken: dict[tuple[str, int], str]) -> str:
    """haproxy would share the port between both and answer with either."""
    owner = taken.setdefault((bind.address, bind.port), frontend)
    return "" if owner == frontend else f"{_format_bind(bind)} is bound by listener {owner} of the same load balancer"


def _is_held(bind: Bind, held: Iterable[Bind]) -> bool:
    """Whether our own haproxy has this port already, on this address or (then a try would fail) on all."""
    return any(
        have.port == bind.port and (have.address == bind.address or _is_any(have.address) or _is_any(bind.address))
        for have in held
    )


def _is_any(address: str) -> bool:
    return ipaddress.ip_address(address).is_unspecified


def _try_bind(bind: Bind) -> str:
    """Bind and let go. No SO_REUSEPORT: with it, another process that has set it would share its port with us."""
    family = socket.AF_INET6 if ":" in bind.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((bind.address, bind.port))
        except OSError as error:
            if is_shortage(error):
                raise
            return f"{_format_bind(bind)}: {_reason(error)}"
    return ""


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process of this amphora has this port"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this amphora does not have this address"
    return error.strerror or str(error)


def _format_bind(bind: Bind) -> str:
    return f"[{bind.address}]:{bind.port}" if ":" in bind.address else f"{bind.address}:{bind.port}"
