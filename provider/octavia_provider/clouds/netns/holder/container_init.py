# SPDX-License-Identifier: Apache-2.0
"""The first process of an amphora or a host: a fork of the holder that keeps one program running inside.

Whatever the program leaves behind (a haproxy whose agent died) becomes this process's child and lives on; when this
process ends, the kernel ends all of them. The holder asks over a socket pair, one message and one answer at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import selectors
import signal
import socket
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from octavia_amphora import announcing
from octavia_amphora.shortage import is_shortage

from . import credentials, errors, fabric, kernel, namespaces, relays, roots, services, wire

CHANNEL = 3
"""The descriptor of our end of the socket pair; the machine's network namespace is the next one."""
MACHINE = 4
PAUSE = 0.1
"""Seconds after a failure: what is short now (descriptors, memory) is not had at once."""


def main(channel: socket.socket, machine: int, order: Mapping[str, Any]) -> None:
    """Never returns. ``order``: name, kind, home, log, ``block`` (its first user), ``shown`` (what it sees besides what
    all do), and for an amphora ``state`` (its folder on the machine).
    """
    try:
        _let_go(channel.fileno(), machine)
        own = socket.socket(fileno=CHANNEL)
        log = Path(order["log"])  # opened now: what comes next does not see the home any more
        folder = os.open(log.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        inhabitants = credentials.Inhabitants(order)
        _settle(order, inhabitants)
        wire.send(own, {})
        Init(own, f"/proc/self/fd/{folder}/{log.name}", inhabitants).run()
    except BaseException as error:  # noqa: BLE001 - nothing above us could tell it
        wire.send(socket.socket(fileno=CHANNEL), {"error": errors.told(error)})
    finally:
        os._exit(1)


def _let_go(channel: int, machine: int) -> None:
    """Keep standard streams, our channel and the machine's network namespace; nothing else of the holder's is ours."""
    signal.set_wakeup_fd(-1)
    channel = fcntl.fcntl(channel, fcntl.F_DUPFD_CLOEXEC, MACHINE + 1)
    machine = fcntl.fcntl(machine, fcntl.F_DUPFD_CLOEXEC, MACHINE + 1)
    os.dup2(channel, CHANNEL, inheritable=False)
    os.dup2(machine, MACHINE, inheritable=False)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > MACHINE:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(descriptor)


def _settle(order: Mapping[str, Any], inhabitants: credentials.Inhabitants) -> None:
    """Our own namespaces and file system."""
    name = str(order["name"])
    kernel.set_name(name)
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SLAVE)
    kernel.unmount(namespaces.NAMES)  # or we would hold every other namespace alive
    if order["kind"] == "amphora":
        inhabitants.take(str(order["state"]))
        roots.amphora(str(order["state"]), order["shown"], str(order["home"]), order.get("seats", 0))
    else:
        roots.host(order["shown"], str(order["home"]))
    inhabitants.move_in()
    socket.sethostname(name[:60])
    for sysctl, value in (
        ("net.ipv4.ip_unprivileged_port_start", "0"),  # a web server that runs as nobody may take port 80 in here
        ("net.ipv4.ip_forward", "0"),  # a host is no router, whatever the machine's own default is
        ("net.ipv4.conf.default.arp_notify", "1"),  # neighbours learn at once when an address moved here
        # Shared addresses are on the loopback: whoever asks an interface for one hears nothing, and none is told as the asker's.
        ("net.ipv4.conf.all.arp_ignore", "1"),
        ("net.ipv4.conf.all.arp_announce", "2"),
        ("net.ipv4.conf.all.promote_secondaries", "1"),  # a VIP that goes must not take the others of its subnet along
        ("net.ipv4.tcp_tw_reuse", "1"),
        *namespaces.IPV6,
        ("net.ipv6.conf.all.ndisc_notify", "1"),  # as arp_notify, and for each address that is added later
        ("net.ipv6.conf.default.ndisc_notify", "1"),
    ):
        kernel.sysctl(sysctl, value)


class Init:
    """The loop: answers the holder, reaps, keeps the program running, writes its output to the log."""

    def __init__(self, channel: socket.socket, log: str, inhabitants: credentials.Inhabitants) -> None:
        self._channel = channel
        self._inhabitants = inhabitants
        self._log = services.BoundedLog(log)
        self._service: services.Service | None = None
        self._relay: socket.socket | None = None
        self._output, self._input = os.pipe()
        self._wake, wake = os.pipe()
        for descriptor in (self._output, self._wake, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        gc.freeze()  # the pages stay shared with the holder

    def run(self) -> None:
        """Until the holder is gone."""
        selector = selectors.DefaultSelector()
        for descriptor in (CHANNEL, self._output, self._wake):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            due = self._service.due if self._service else None
            ready = {key.fd for key, _ in selector.select(None if due is None else max(0.0, due - time.monotonic()))}
            try:
                self._turn(ready)
            except (OSError, ValueError) as error:  # this process holds the amphora or host together: it goes on
                self._log.say(f"failed, and going on: {type(error).__name__}: {error}")
                time.sleep(PAUSE)

    def _turn(self, ready: Collection[int]) -> None:
        if self._wake in ready:
            os.read(self._wake, 4096)
            self._reap()
        if self._output in ready:
            self._log.write(os.read(self._output, 65536))
        if CHANNEL in ready:
            self._answer()
        if self._service:
            self._service.tick(time.monotonic())

    def _reap(self) -> None:
        forwarder = {self._service.pid} if self._service and self._relay else set()
        for pid, status in services.reap(forwarder):
            if self._service and pid == self._service.pid:
                self._service.ended(status)

    def _answer(self) -> None:
        try:
            message, _ = wire.receive(self._channel)
            answer = getattr(self, f"do_{message['do']}")(message)
        except EOFError:
            os._exit(0)
        except Exception as error:  # noqa: BLE001 - who asked hears of it, and the amphora or host goes on
            answer = {"error": errors.told(error)}
        wire.send(self._channel, answer or {})

    def do_configure(self, message: Mapping[str, Any]) -> None:
        """Addresses and routes, of the interfaces that the holder has put in."""
        kernel.ip(fabric.inside(_interfaces(message["interfaces"])))

    def do_readdress(self, message: Mapping[str, Any]) -> None:
        """Other addresses on the interfaces that there are; what is served on the others goes on."""
        new = _interfaces(message["new"])
        added, removed = fabric.readdressed(_interfaces(message["old"]), new)
        kernel.ip(added)
        told = message["told"]
        for interface in new:
            announcing.announce(interface.name, (one for one in interface.addresses if told is None or one in told))
        with contextlib.suppress(errors.Problem):  # what is not there has not to be taken away
            kernel.ip(removed, force=True)

    def do_files(self, message: Mapping[str, Any]) -> None:
        """Write files, path → (mode, text in latin-1), before what reads them is started."""
        for path, (mode, content) in message["files"].items():
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode("latin-1"))
                os.fchmod(descriptor, mode)
                self._inhabitants.give(descriptor)

    def do_run(self, message: Mapping[str, Any]) -> None:
        """Run a program from now on, in the place of the one before. It is Refused when it cannot be executed."""
        self._stop()
        confinement = self._inhabitants.confine(message["identity"])
        self._inhabitants.give(self._input, confinement)  # so that it may open /dev/stdout too
        program = services.Program(
            argv=message["argv"], environment=message["environment"], output=self._input, confinement=confinement
        )
        self._start(program)

    def do_restart(self, _: Mapping[str, Any]) -> None:
        """End the program alone, and start it anew: what it left goes on."""
        if self._service is None:
            raise errors.Problem("nothing runs in it that could be started anew", kind="transient")
        self._service.end()
        self._start(self._service.program)

    def do_forward(self, message: Mapping[str, Any]) -> None:
        """Pass connections to a port of ours on to the same port of the machine's own loopback, from now on."""
        self._stop()
        port = int(message["port"])
        self._relay = socket.create_server(("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
        path = relays.write(
            f"forward-{message['id']}", relays.Relay(self._relay.fileno(), ("127.0.0.1", port), proxy=False)
        )
        program = services.Program(
            argv=relays.command(path), environment={"PATH": namespaces.PATH}, output=self._input,
            keep=self._relay.fileno(), network=MACHINE, confinement=self._inhabitants.relay(),
        )  # fmt: skip
        self._start(program)

    def do_status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """The process id of the program, 0 when it does not run now."""
        self._reap()
        return {"pid": self._service.pid if self._service else 0}

    def _start(self, program: services.Program) -> None:
        service = services.Service(program, self._log.say)
        try:
            service.start()
        except OSError as error:
            if is_shortage(error):
                raise
            raise errors.Problem(
                f"cannot run {program.argv[0]!r}: {error.strerror}",
                hint="give the path of a program that the user may execute",
            ) from error
        self._service = service

    def _stop(self) -> None:
        """End the program and what it left; at a restart of the program alone, what it left is kept."""
        if self._service:
            self._service.end()
            self._service = None
        try:
            os.kill(-1, signal.SIGKILL)  # all of our PID namespace but us
        except ProcessLookupError:
            pass
        else:
            _wait_for_all()
        if self._relay:
            self._relay.close()
            self._relay = None


def _interfaces(given: Sequence[Mapping[str, Any]]) -> list[fabric.Interface]:
    return [
        fabric.Interface(
            one["name"], one["network_id"], tuple(one["addresses"]), tuple(one["gateways"]), tuple(one["shared"])
        )
        for one in given
    ]


def _wait_for_all() -> None:
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return
