# SPDX-License-Identifier: Apache-2.0
"""What is the machine's and what is the configuration's; hangs; damaged files; floods of complaints."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from pathlib import Path

import pytest

from octavia_amphora import shortage
from octavia_amphora.apply import disk
from octavia_amphora.apply.disk import Disk, PushRecord
from octavia_amphora.haproxy import check
from octavia_amphora.haproxy.watchdog import HangDetector, ProcessSample, sample
from octavia_amphora.heartbeat.sender import next_boot
from octavia_amphora.log_limit import MAX_PER_KIND, MAX_TOTAL, WINDOW, FloodFilter, LogRateLimiter
from octavia_amphora.wire.config import Configuration, digest
from octavia_amphora.wire.messages import VersionStamp


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EROFS])
def test_what_the_machine_is_short_of_passes(number: int) -> None:
    assert shortage.is_shortage(OSError(number, os.strerror(number)))


@pytest.mark.parametrize(
    "error", [OSError(errno.EADDRINUSE, "x"), OSError(errno.ECONNREFUSED, "x"), TimeoutError(), ValueError("x")]
)
def test_what_others_do_is_no_shortage(error: Exception) -> None:
    assert not shortage.is_shortage(error)


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("haproxy is not ready after 15 s: it has not said READY=1", True),
        ("haproxy ended, killed by SIGKILL", True),
        ("[ALERT] (7) : parsing [/x/haproxy.cfg:12] : out of memory.", True),
        ("[ALERT] (7) : Current worker (9) exited with code 137 (Killed)", True),
        ("[ALERT] (7) : [haproxy.main()] Cannot raise FD limit to 224, limit is 64.", True),
        ("[ALERT] (7) : parsing [/x/haproxy.cfg:12] : unknown keyword 'no' in 'frontend' section", False),
        ("[ALERT] (7) : Current worker (9) exited with code 139 (Segmentation fault)", False),
        ("haproxy ended, killed by SIGSEGV", False),
    ],
)
def test_what_haproxy_says_of_its_end(said: str, passes: bool) -> None:
    assert shortage.may_pass(said) is passes


def test_as_many_connections_as_descriptors_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortage.resource, "getrlimit", lambda _: (128, 1024))
    assert shortage.possible_connections(50_000, 10) == (1024 - shortage.OWN_DESCRIPTORS - 10) // 2
    assert shortage.possible_connections(100, 10) == 100
    monkeypatch.setattr(shortage.resource, "getrlimit", lambda _: (32, 32))
    assert shortage.possible_connections(100, 10) == 0
    monkeypatch.setattr(shortage.resource, "getrlimit", lambda _: (32, shortage.resource.RLIM_INFINITY))
    assert shortage.possible_connections(100, 10) == 100


@pytest.mark.parametrize("program", ["/nowhere/haproxy", "/bin/sh", "/bin/sleep"])
async def test_a_check_that_does_not_come_to_a_verdict(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "TIMEOUT_SECONDS", 0.2)
    script = tmp_path / "haproxy"
    script.write_text(f"#!/bin/sh\n{'exec sleep 60' if program.endswith('sleep') else 'kill -9 $$'}\n")
    script.chmod(0o755)
    with pytest.raises(shortage.Shortage):
        await check.check(str(script) if program.startswith("/bin") else program, tmp_path / "x.cfg")


# ── hangs ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def verdicts(first: ProcessSample, *sights: ProcessSample) -> list[bool]:
    judgement = HangDetector(first)
    return [judgement.record_timeout(one) for one in sights]


def test_a_stopped_process_hangs_when_it_was_silent_twice() -> None:
    assert verdicts(ProcessSample("T", 1.0), ProcessSample("T", 1.0), ProcessSample("T", 1.0)) == [False, True]


def test_one_that_sleeps_through_our_questions_hangs() -> None:
    assert verdicts(ProcessSample("S", 1.0), ProcessSample("S", 1.0), ProcessSample("S", 1.0)) == [False, True]


def test_one_that_is_busy_hangs_once_it_had_seconds_of_a_processor() -> None:
    assert verdicts(
        ProcessSample("R", 1.0), ProcessSample("R", 2.0), ProcessSample("R", 3.0), ProcessSample("R", 4.1)
    ) == [False, False, True]


def test_on_a_loaded_machine_one_that_waits_for_a_processor_is_waited_for() -> None:
    starved = [ProcessSample("R", 1.0 + n * 0.01) for n in range(50)]
    assert not any(verdicts(*starved))


def test_one_that_gets_on_slowly_is_waited_for() -> None:
    assert not any(verdicts(*[ProcessSample("S", 1.0 + n * 0.01) for n in range(50)]))


def test_a_process_is_seen_with_its_processor_time() -> None:
    first = sample(os.getpid())
    assert first is not None
    sum(range(2_000_000))
    second = sample(os.getpid())
    assert second is not None
    assert second.cpu_seconds > first.cpu_seconds > 0
    assert sample(2**22 + 1) is None


# ── damaged files ────────────────────────────────────────────────────────────────────────────────────────────────────
CONFIGURATION = Configuration("lb", "global\n", {}, {})
RECORD = PushRecord(VersionStamp(0, 1, 7, 7, digest(CONFIGURATION)), CONFIGURATION)
GARBAGE = [b"", b"{", b"null", b"[]", b"\xff\xfe\x00", b"[" * 200_000, b'{"stamp": {}}', b"9" * 5000]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_damaged_record_is_none_and_is_set_aside(tmp_path: Path, garbage: bytes) -> None:
    made = Disk(tmp_path)
    made.save_newest(RECORD)
    (tmp_path / "newest.json").write_bytes(garbage)
    assert made.newest() is None
    assert (tmp_path / "newest.json.damaged").read_bytes() == garbage
    assert made.newest() is None  # there is none any more
    made.save_newest(RECORD)
    made.accept_newest()
    assert made.newest() == made.accepted() == RECORD


def test_a_folder_in_the_place_of_a_record(tmp_path: Path) -> None:
    made = Disk(tmp_path)
    (tmp_path / "accepted.json").mkdir()
    (tmp_path / "accepted.json" / "x").touch()
    assert made.accepted() is None
    (tmp_path / "newest.json").mkdir()
    made.save_newest(RECORD)
    made.accept_newest()
    assert made.newest() == made.accepted() == RECORD


def test_a_record_whose_configuration_is_not_that_of_its_stamp_is_damaged(tmp_path: Path) -> None:
    made = Disk(tmp_path)
    made.save_newest(RECORD)
    text = json.loads((tmp_path / "newest.json").read_bytes())
    text["configuration"]["base"] = "glowal\n"
    (tmp_path / "newest.json").write_text(json.dumps(text))
    assert made.newest() is None
    made.save_newest(PushRecord(RECORD.stamp))
    made.accept_newest()
    assert made.accepted() is None  # a refused push is nothing that is in force
    assert made.newest() == PushRecord(RECORD.stamp)


def test_what_could_not_be_written_leaves_the_old_and_no_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    disk.write(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        disk.write(path, b"new", durable=True)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("x", b"old")]


@pytest.mark.parametrize("garbage", [b"", b"no number", b"9" * 30, b"\xff\xfe", b"-5"])
def test_the_number_of_a_start_is_had_whatever_is_on_disk(tmp_path: Path, garbage: bytes) -> None:
    first = next_boot(tmp_path)
    (tmp_path / "boot").write_bytes(garbage)
    second = next_boot(tmp_path)
    assert first - 60_000 < second < first + 60_000
    (tmp_path / "boot").unlink()
    (tmp_path / "boot").mkdir()
    assert next_boot(tmp_path) > first - 60_000


# ── floods ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_same_complaint_is_written_a_few_times_and_counted() -> None:
    now = [0.0]
    limiter = LogRateLimiter(lambda: now[0])
    assert [limiter.admit("x") for _ in range(1000)] == [0] * MAX_PER_KIND + [None] * (1000 - MAX_PER_KIND)
    assert limiter.admit("y") == 0
    now[0] += WINDOW
    assert limiter.admit("x") == 1000 - MAX_PER_KIND
    assert limiter.admit("x") == 0


def test_many_different_complaints_are_limited_too() -> None:
    limiter = LogRateLimiter(lambda: 0.0)
    assert sum(limiter.admit(n) is not None for n in range(10_000)) == MAX_TOTAL


def test_a_log_does_not_take_12_000_lines_in_12_seconds(tmp_path: Path) -> None:
    handler = logging.FileHandler(tmp_path / "log")
    flood = FloodFilter()
    flood._limiter = LogRateLimiter(lambda: 0.0)  # a busy machine takes longer than a window
    handler.addFilter(flood)
    logger = logging.getLogger("flooded")
    logger.addHandler(handler)
    for n in range(12_000):
        logger.error("socket.accept() out of system resource")
        logger.info("done %d", n)
    logger.removeHandler(handler)
    handler.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines.count("socket.accept() out of system resource") == MAX_PER_KIND


async def test_a_silent_socket_is_no_shortage_and_a_shortage_is_no_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from octavia_amphora.haproxy import runtime

    with pytest.raises(runtime.RuntimeApiError):
        await runtime.execute(tmp_path / "none.sock", "show info")

    async def short(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio, "open_unix_connection", short)
    for asked in (runtime.execute(tmp_path / "x", "a"), runtime.execute_all(tmp_path / "x", ["a"])):
        with pytest.raises(OSError, match="Too many"):
            await asked
