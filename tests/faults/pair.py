# SPDX-License-Identifier: Apache-2.0
"""Two amphorae of which one has the VIP: what a fault needs to know of them, whoever configured them."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

from netns.processes import command, parent
from netns.traffic import until

from .ownership import Recorder, socket_inside


class NotYet(str):
    """Why something is not so: false, for who waits for it, and shown where it was waited for too long."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


class Pair(abc.ABC):
    """``inside``: a process in the network of the clients. ``amphorae``: by name, the first process of each."""

    kind: str
    vip: str
    url: str
    inside: int

    def __init__(self) -> None:
        self.amphorae: dict[str, int] = {}
        self.workers: dict[str, list[int]] = {}
        self.recorder = Recorder(self.vip)

    def watch(self) -> None:
        """The recorder hears of every amphora that there is now; their present haproxies are remembered."""
        for name, pid in self.amphorae.items():
            self.recorder.watch(name, pid)
        self.workers = {name: self.haproxies(name)[1] for name in self.amphorae}

    def owner(self) -> str:
        """Who has the VIP, once exactly one has it."""
        (name,) = until(lambda: found if len(found := self.recorder.owners()) == 1 else None, what="one owner") or ()
        return name

    def haproxies(self, name: str) -> tuple[list[int], list[int]]:
        """Masters and workers of an amphora's haproxy."""
        found = [pid for pid in descendants(self.amphorae[name]) if "-Ws" in command(pid)]
        return [pid for pid in found if parent(pid) not in found], [pid for pid in found if parent(pid) in found]

    def keepaliveds(self, name: str) -> list[int]:
        """keepalived's processes, the parent first."""
        return [pid for pid in descendants(self.amphorae[name]) if Path(command(pid)[0]).name == "keepalived"]

    def ip(self, *lines: str, inside: int | None = None) -> None:
        """Lines of ``ip -batch``, in the network of the clients or of another process."""
        enter = ["nsenter", "--target", str(inside or self.inside), "--net"]
        done = subprocess.run(
            [*enter, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=False, capture_output=True
        )
        assert done.returncode == 0, done.stderr

    @abc.abstractmethod
    def link(self, name: str, state: str) -> None:
        """Set the amphora's port ``up`` or ``down``, seen from the network."""

    def serves(self) -> bool:
        """Whether a request is answered now."""
        try:
            return asked(self.inside, self.vip)
        except OSError:
            return False

    @abc.abstractmethod
    def over(self, harmed: str) -> object:
        """Whether what was done to this amphora is over for clients, and for all that repairs itself."""

    @abc.abstractmethod
    def restored(self) -> object:
        """Whether two amphorae work, one has the VIP, and the other would take it over."""

    @abc.abstractmethod
    def repair(self, harmed: str) -> None:
        """Do what nobody does by itself."""

    @abc.abstractmethod
    def close(self) -> None:
        """Nothing of it is left."""


def asked(inside: int, address: str, port: int = 80) -> bool:
    """Whether one request of a process's network is answered well."""
    with socket_inside(inside, socket.AF_INET6 if ":" in address else socket.AF_INET) as asking:
        asking.settimeout(1.0)
        asking.connect((address, port))
        asking.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        return asking.recv(4096).startswith(b"HTTP/1.1 200")


def descendants(pid: int) -> list[int]:
    """A process and all that come from it, parents first."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """A signal to processes that may be gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# ── What can happen to the amphora that has the VIP ──────────────────────────────────────────────────────────────────
def kill_haproxy(pair: Pair, name: str) -> None:
    """Master and worker at once."""
    masters, workers = pair.haproxies(name)
    send([*workers, *masters], signal.SIGKILL)


def stop_haproxy(pair: Pair, name: str) -> None:
    """The worker, which is who serves."""
    send(pair.haproxies(name)[1], signal.SIGSTOP)


def kill_keepalived(pair: Pair, name: str) -> None:
    """Parent and child at once: nobody is left to give up the VIP."""
    send(pair.keepaliveds(name), signal.SIGKILL)


def stop_keepalived(pair: Pair, name: str) -> None:
    send(pair.keepaliveds(name), signal.SIGSTOP)


def unplug(pair: Pair, name: str) -> None:
    pair.link(name, "down")


def lose(pair: Pair, name: str) -> None:
    """The host: its first process is killed, and all else with it, network and all."""
    send([pair.amphorae[name]], signal.SIGKILL)


FAULTS = {
    "haproxy killed": kill_haproxy,
    "haproxy hung": stop_haproxy,
    "keepalived killed": kill_keepalived,
    "keepalived hung": stop_keepalived,
    "link down": unplug,
    "host gone": lose,
}
"""Those that stock Octavia has as well."""
