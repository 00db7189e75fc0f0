# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from octavia_amphora.apply.errors import PushRefused
from octavia_amphora.heartbeat.receivers import HeartbeatReceivers
from octavia_amphora.heartbeat.sender import HeartbeatSender
from octavia_amphora.options import Options
from octavia_amphora.wire.heartbeat import Assembler
from octavia_amphora.wire.messages import AgentConfig, AgentOptions, Receivers

KEY = b"k" * 32


def options(folder: Path, *receivers: str, source: bytes = b"{}") -> Options:
    config = AgentConfig(
        "a", "127.0.0.1", 9443, "", "", "", "", KEY.hex(), receivers, heartbeat_interval=60.0,
        state_directory=str(folder),
    )  # fmt: skip
    return Options(config, source)


IDLE: Any = SimpleNamespace(balancers=list)


class Wake(asyncio.Event):
    """Tells when the sender waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.awaited.set()
        return await super().wait()


async def test_it_ends_when_it_is_cancelled_in_the_moment_in_which_it_is_woken(tmp_path: Path) -> None:
    """Or the agent does not end: a push wakes it, and the signal comes right after."""
    for turns in range(4):
        wake = Wake()
        running = asyncio.ensure_future(HeartbeatSender(options(tmp_path), IDLE, wake).run())
        await wake.awaited.wait()
        wake.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 20)


def receivers(folder: Path, *settings: str) -> HeartbeatReceivers:
    return HeartbeatReceivers(cast("Any", SimpleNamespace(receivers=settings, state_directory=str(folder))))


def test_receivers_are_those_of_the_settings_until_others_are_told_and_stay_over_a_restart(tmp_path: Path) -> None:
    first = receivers(tmp_path, "10.0.0.1:5555")
    assert first.addresses == [(socket.AF_INET, ("10.0.0.1", 5555))]
    first.replace(Receivers(("10.0.0.1:5556", "[fd00::1]:5557"), as_of=2.0))
    told = [(socket.AF_INET, ("10.0.0.1", 5556)), (socket.AF_INET6, ("fd00::1", 5557))]
    assert (first.addresses, receivers(tmp_path, "10.0.0.1:5555").addresses) == (told, told)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (Receivers(("10.0.0.2:1",), as_of=1.0), "stale"),
        (Receivers((), as_of=3.0), "bad_request"),
        (Receivers(("10.0.0.2:1",) * 17, as_of=3.0), "bad_request"),
        (Receivers(("example.org:1",), as_of=3.0), "bad_request"),
        (Receivers(("10.0.0.2",), as_of=3.0), "bad_request"),
    ],
)
def test_receivers_that_are_older_or_no_addresses_are_refused(tmp_path: Path, said: Receivers, kind: str) -> None:
    found = receivers(tmp_path)
    found.replace(Receivers(("10.0.0.1:1",), as_of=2.0))
    with pytest.raises(PushRefused) as refused:
        found.replace(said)
    assert refused.value.refusal.kind == kind
    assert found.addresses == receivers(tmp_path).addresses == [(socket.AF_INET, ("10.0.0.1", 1))]


def test_receivers_that_cannot_be_read_do_not_stop_the_agent(tmp_path: Path) -> None:
    (tmp_path / "receivers.json").write_text("{")
    assert receivers(tmp_path, "10.0.0.1:1").addresses == [(socket.AF_INET, ("10.0.0.1", 1))]


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(20)
        yield opened


def beat(opened: socket.socket) -> int:
    heard = Assembler().feed(opened.recv(2000), lambda _: KEY)
    assert heard
    return heard.sequence


async def test_the_interval_changes_while_it_runs__a_receiver_that_cannot_be_reached_delays_none(
    tmp_path: Path, receiver: socket.socket
) -> None:
    """Nothing listens at the first, and there is no route to the second."""
    port = receiver.getsockname()[1]
    made, wake = options(tmp_path, "127.0.0.1:1", "255.255.255.255:9", f"127.0.0.1:{port}"), Wake()
    running = asyncio.ensure_future(HeartbeatSender(made, IDLE, wake).run())
    await wake.awaited.wait()
    made.change(AgentOptions(heartbeat_interval=0.05))
    heard = [await asyncio.to_thread(beat, receiver) for _ in range(3)]
    assert heard == [heard[0], heard[0] + 1, heard[0] + 2]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 20)


def test_options_outlive_the_agent_until_its_settings_are_written_anew(tmp_path: Path) -> None:
    made = options(tmp_path)
    made.change(AgentOptions(heartbeat_interval=5.0))
    made.change(AgentOptions(log_level="debug"))
    again = options(tmp_path).config
    assert (again.log_level, again.heartbeat_interval) == ("debug", 5.0)
    anew = options(tmp_path, source=b"{ }").config
    assert (anew.log_level, anew.heartbeat_interval) == ("info", 60.0)


def test_options_that_cannot_be_used_change_nothing(tmp_path: Path) -> None:
    made = options(tmp_path)
    before = made.config
    with pytest.raises(PushRefused):
        made.change(AgentOptions(heartbeat_interval=0.0, log_level="debug"))
    assert made.config == before == options(tmp_path).config
