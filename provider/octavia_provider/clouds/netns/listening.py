# SPDX-License-Identifier: Apache-2.0
"""Listening sockets on this machine's own addresses, for published listeners, and who has a port that is taken."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import sys
from pathlib import Path

from octavia_amphora.shortage import is_shortage
from octavia_provider.model.errors import Refused

BACKLOG = 4096
LISTENS = {"tcp": "0A", "udp": "07"}
"""The state in /proc/net/tcp and udp (include/net/tcp_states.h: TCP_LISTEN; TCP_CLOSE for a UDP socket that is bound)."""


def open_listening(address: str, port: int, transport: str = "tcp", *, subject: str) -> socket.socket:
    """Bind and, for TCP, listen. Refused names address, port and, where it can be found, the process that has them."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        if transport == "tcp":  # with it, two UDP sockets would share a port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        if transport == "tcp":
            opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        if is_shortage(error):
            raise
        raise _refused(error, address, port, transport, subject) from error
    return opened


def _refused(error: OSError, address: str, port: int, transport: str, subject: str) -> Refused:
    if error.errno != errno.EADDRINUSE:
        return Refused(
            f"cannot listen at {_spelt(address, port)} of this machine: {error.strerror}", subject=subject,
            hint="publish it at an address of this machine, as 127.0.0.1",
        )  # fmt: skip
    owner = listener(address, port, transport)
    by = f" by {owner}" if owner else ""
    return Refused(
        f"{_spelt(address, port)} is in use on this machine{by}", subject=subject,
        hint="give the listener another protocol_port, or stop what uses this one",
    )  # fmt: skip


def _spelt(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def listener(address: str, port: int, transport: str = "tcp") -> str | None:
    """Who listens at an address and port of this machine, or at that port of all addresses: ``nginx (process 123)``.

    None where it is not seen.
    """
    inodes = _inodes(address, port, transport)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is another user's
            if any(_leads_to(descriptor) in inodes for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (process {process.name})"
    return None


def _leads_to(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # it was closed while we looked
        return ""


def _inodes(address: str, port: int, transport: str) -> set[str]:
    """The sockets in the way; addresses in these tables are hexadecimal words of the machine's byte order."""
    every = ("0.0.0.0", "::")  # noqa: S104 - who listens at all addresses is in the way too
    mapped = (f"::ffff:{address}",) if "." in address else ()
    wanted = {_hexadecimal(one) for one in (address, *every, *mapped)}
    found = set()
    for table in (f"/proc/net/{transport}", f"/proc/net/{transport}6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            host, _, at = fields[1].partition(":")
            if fields[3] == LISTENS[transport] and int(at, 16) == port and host in wanted:
                found.add(f"socket:[{fields[9]}]")
    return found


def listening_addresses() -> set[str]:
    """The IPv4 addresses of this machine at which anything listens now, in this network namespace: 127.0.0.1, …"""
    found = set()
    for table, width in (("tcp", 8), ("udp", 8), ("tcp6", 32), ("udp6", 32)):
        try:
            lines = Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            host = fields[1].partition(":")[0]
            if fields[3] == LISTENS[table[:3]] and (width == 8 or host[:24] == _hexadecimal("::ffff:0.0.0.0")[:24]):
                found.add(str(ipaddress.IPv4Address(int(host[-8:], 16).to_bytes(4, sys.byteorder))))
    return found


def _hexadecimal(address: str) -> str:
    packed = ipaddress.ip_address(address).packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
