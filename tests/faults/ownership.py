# SPDX-License-Identifier: Apache-2.0
"""Who has had a VIP and when, as the kernel says it: a recorder of the addresses of some network namespaces.

``python ownership.py VIP`` reads lines ``NAME PID`` and listens in the namespace of each of these processes until it ends; it
prints ``[monotonic time, NAME, whether it has the VIP]`` for each change. An address on the loopback interface is not had:
who has it there answers no ARP for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Self

NEW, DELETED, GET = 20, 21, 22  # RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
ADDRESSES_OF_IPV4, ADDRESSES_OF_IPV6 = 0x10, 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
ADDRESS, LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL
LOOPBACK = 1
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class Change:
    """From this moment on, ``who`` has the VIP or has it no more."""

    time: float
    who: str
    owns: bool


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two or more had the VIP."""

    owners: frozenset[str]
    since: float
    until: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.until - self.since


def overlaps(history: Iterable[Change], end: float) -> list[Overlap]:
    """When there was more than one owner; those of the end lasted until then."""
    return [Overlap(who, since, until) for who, since, until in _spans(history, end) if len(who) > 1]


def vacancies(history: Iterable[Change], end: float) -> list[tuple[float, float]]:
    """When nobody had it, after the first who did."""
    return [(since, until) for who, since, until in _spans(history, end) if not who][1:]


def owners_at(history: Iterable[Change], moment: float) -> set[str]:
    """Who had it then."""
    now: set[str] = set()
    for one in sorted(history, key=lambda one: one.time):
        if one.time <= moment:
            (now.add if one.owns else now.discard)(one.who)
    return now


def _spans(history: Iterable[Change], end: float) -> Iterator[tuple[frozenset[str], float, float]]:
    now: frozenset[str] = frozenset()
    since = float("-inf")
    for one in sorted(history, key=lambda one: one.time):
        after = now | {one.who} if one.owns else now - {one.who}
        if after != now:
            yield now, since, one.time
            now, since = after, one.time
    yield now, since, end


class Recorder:
    """The program in a process of its own; ``history`` grows while it runs."""

    def __init__(self, vip: str) -> None:
        self._command = [sys.executable, "-IS", str(Path(__file__)), vip]
        self.history: list[Change] = []
        self._watched: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._reader.join(10)
        self._process.wait(10)

    def watch(self, name: str, pid: int) -> None:
        """Listen in the network namespace of a process, until it ends. Once is enough."""
        assert self._process.stdin
        if (name, pid) not in self._watched:
            self._watched.add((name, pid))
            self._process.stdin.write(f"{name} {pid}\n")
            self._process.stdin.flush()

    def owners(self) -> set[str]:
        """Who has it now."""
        return owners_at(self.history, float("inf"))

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.history.append(Change(*json.loads(line)))


# ── The program ──────────────────────────────────────────────────────────────────────────────────────────────────────
class _Namespace:
    """A socket that hears of the addresses of one namespace, and what is known of them."""

    def __init__(self, name: str, pid: int, vip: bytes) -> None:
        self.name, self._vip = name, vip
        self._places = set[tuple[int, int]]()  # interface and prefix: it may be there twice, from the cloud and by VRRP
        self.ended = os.pidfd_open(pid)
        self.socket = socket_inside(pid, socket.AF_NETLINK, socket.SOCK_RAW)
        self.socket.bind((0, ADDRESSES_OF_IPV4 | ADDRESSES_OF_IPV6))
        self.socket.send(struct.pack("=IHHII", 17, GET, DUMP, 1, 0) + b"\0")

    def hear(self) -> None:
        """What has changed."""
        data = self.socket.recv(1 << 20)
        before = bool(self._places)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind in {NEW, DELETED}:
                self._take(kind, data[16:length])
            data = data[(length + 3) & ~3 :]
        if bool(self._places) != before:
            self.tell(bool(self._places))

    def _take(self, kind: int, message: bytes) -> None:
        prefix, interface = struct.unpack_from("=xBxxI", message)
        if interface != LOOPBACK and self._vip in _addresses(message[8:]):
            (self._places.add if kind == NEW else self._places.discard)((interface, prefix))

    def tell(self, owns: bool) -> None:
        """One line."""
        sys.stdout.write(json.dumps([time.monotonic(), self.name, owns]) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """At once: a socket keeps its namespace, and so the namespace's interfaces, alive."""
        self.socket.close()
        os.close(self.ended)
        if self._places:
            self.tell(False)


def _addresses(attributes: bytes) -> Iterator[bytes]:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind in {ADDRESS, LOCAL}:
            yield attributes[4:length]
        attributes = attributes[(length + 3) & ~3 :]


def socket_inside(pid: int, family: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket of the network namespace of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/self/ns/net").open() as mine, Path(f"/proc/{pid}/ns/net").open() as inside:
        if libc.setns(inside.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return socket.socket(family, kind)
        finally:
            libc.setns(mine.fileno(), CLONE_NEWNET)


def _main(vip: str) -> None:
    wanted, poll = ipaddress.ip_address(vip).packed, select.poll()
    poll.register(0, select.POLLIN)
    listening: dict[int, _Namespace] = {}
    rest = b""
    while True:
        for number, _ in poll.poll():
            if number == 0:
                data = os.read(0, 4096)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    name, pid = line.decode().split()
                    with contextlib.suppress(OSError):  # it has ended
                        one = _Namespace(name, int(pid), wanted)
                        listening |= {one.socket.fileno(): one, one.ended: one}
                        poll.register(one.socket, select.POLLIN)
                        poll.register(one.ended, select.POLLIN)
            elif (one := listening.get(number)) is not None and number == one.ended:
                for known in (one.socket.fileno(), one.ended):
                    poll.unregister(known)
                    del listening[known]
                one.close()
            elif one is not None:
                one.hear()


if __name__ == "__main__":
    _main(sys.argv[1])
