# SPDX-License-Identifier: Apache-2.0
"""Parts of the holder that need no walls: messages, programs that are kept running, logs, relays."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from octavia_provider.clouds.netns.holder import fabric, relays, services, wire
from octavia_provider.clouds.netns.holder.confinement import Confinement


def program(*argv: str) -> services.Program:
    confinement = Confinement(uid=os.getuid(), gid=os.getgid())
    return services.Program(argv=argv, environment={"PATH": os.environ["PATH"]}, output=2, confinement=confinement)


def test_messages_carry_descriptors(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    (tmp_path / "file").write_text("through")
    with ours, theirs, (tmp_path / "file").open() as file:
        wire.send(ours, {"text": "line\n" * 20_000}, [file.fileno()])
        message, descriptors = wire.receive(theirs)
        assert message == {"text": "line\n" * 20_000}
        with os.fdopen(descriptors[0]) as received:
            assert received.read() == "through"
        wire.send(theirs, {})
        assert wire.receive(ours) == ({}, [])
        theirs.close()
        with pytest.raises(EOFError):
            wire.receive(ours)


def test_a_program_that_cannot_be_executed_says_why() -> None:
    with pytest.raises(FileNotFoundError):
        services.execute(program("/no/such/program"))
    with pytest.raises(PermissionError):
        services.execute(program("/etc/passwd"))


def test_waits_grow_and_a_good_run_ends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(services, "GOOD_RUN", 1e9)
    service = services.Service(program(sys.executable, "-c", "raise SystemExit(3)"), said.append)
    waits = []
    for _ in range(8):
        service.start()
        _, status = os.waitpid(service.pid, 0)
        service.ended(status)
        waits.append(float(said[-1].split()[-2]))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert "ended with status 3" in said[0]
    monkeypatch.setattr(services, "GOOD_RUN", 0.0)
    service.start()
    _, status = os.waitpid(service.pid, 0)
    service.ended(status)
    assert "again in 0 s" in said[-1]
    service.tick(time.monotonic())
    assert service.pid
    service.end()
    assert (service.pid, service.due) == (0, None)


def test_a_program_that_vanished_is_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    service = services.Service(program(str(path)), said.append)
    service.start()
    _, status = os.waitpid(service.pid, 0)
    service.ended(status)
    path.unlink()
    assert service.due
    service.tick(service.due)
    assert "cannot be started: No such file" in said[-1]
    assert service.due


def test_the_end_of_a_service_is_that_of_its_session() -> None:
    service = services.Service(program("sh", "-c", "sleep 100 & sleep 100"), print)
    service.start()
    pid = service.pid
    service.end(signal.SIGTERM)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = services.BoundedLog(str(tmp_path / "log" / "one.log"), limit=1000)
    for number in range(100):
        log.write(b"%03d\n" % number * 10)
    kept = sorted((tmp_path / "log").iterdir())
    assert [path.name for path in kept] == ["one.log", "one.log.1"] or [path.name for path in kept] == ["one.log.1"]
    assert sum(path.stat().st_size for path in kept) <= 2080
    assert b"099" in b"".join(path.read_bytes() for path in kept)


def test_old_logs_are_removed(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}.log"
        path.touch()
        os.utime(path, (number, number))
    services.prune_logs(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.log", "4.log"]


def test_names_fit_the_kernel_and_addresses_make_hardware_addresses() -> None:
    assert len(fabric.bridge("a" * 36)) <= 15
    assert fabric.port_name("amphora-1", "eth0") != fabric.port_name("amphora-1", "eth1")
    assert fabric.mac("10.1.0.5") == "02:fa:0a:01:00:05"


def test_a_relay_says_whose_connection_it_is() -> None:
    text = relays.configuration(relays.Relay(7, ("100.64.0.3", 80), proxy=True))
    assert "bind fd@7\n" in text
    assert "server target 100.64.0.3:80 send-proxy-v2\n" in text
    assert "send-proxy" not in relays.configuration(relays.Relay(7, ("127.0.0.1", 80), proxy=False))


def test_a_relay_of_a_pair_goes_to_the_other_one_where_one_does_not_answer() -> None:
    pair = relays.Relay(
        7, ("100.64.0.3", 80), True, (("100.64.0.5", 80),), (("100.64.0.2", 1026), ("100.64.0.4", 1026))
    )
    lines = relays.configuration(pair).splitlines()
    (first, second) = (line for line in lines if line.startswith("    server "))
    assert first.startswith("    server target 100.64.0.3:80 send-proxy-v2 check addr 100.64.0.2 port 1026 ")
    assert second.startswith("    server standby-1 100.64.0.5:80 send-proxy-v2 check addr 100.64.0.4 port 1026 ")
    assert second.endswith(" backup")
    assert "    option redispatch 1" in lines
