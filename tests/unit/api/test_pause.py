# SPDX-License-Identifier: Apache-2.0
"""What was asked of a control plane before a pause is not carried out after it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from octavia_provider.api import pause
from octavia_provider.api.pause import Pauses
from octavia_provider.model.errors import TransientError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Caller:
    """Both ends of a connection."""

    def __init__(self) -> None:
        self.served, self.own = socket.socketpair()

    def request(self, method: str = "PUT") -> Any:
        transport = SimpleNamespace(get_extra_info=lambda _: self.served)
        return cast("Any", SimpleNamespace(method=method, transport=transport))


@pytest.fixture
def caller() -> Iterator[Caller]:
    made = Caller()
    with made.served, made.own:
        yield made


def test_writes_are_refused_right_after_a_pause_and_reads_are_not(clock: Clock, caller: Caller) -> None:
    pauses = Pauses(clock)
    clock.now += pause.PAUSE_SECONDS
    pauses.admit(caller.request())
    clock.now += pause.PAUSE_SECONDS + 0.1
    pauses.admit(caller.request("GET"))
    for _ in range(2):
        with pytest.raises(TransientError, match="was paused"):
            pauses.admit(caller.request())
    clock.now += pause.AFTERWARDS
    pauses.admit(caller.request())


def test_a_write_whose_caller_has_gone_is_refused(clock: Clock, caller: Caller) -> None:
    pauses = Pauses(clock)
    caller.own.send(b"the next request")
    pauses.admit(caller.request())
    caller.own.close()
    caller.served.recv(100)
    with pytest.raises(TransientError, match="caller has gone"):
        pauses.admit(caller.request())
    pauses.admit(caller.request("GET"))


async def test_a_write_that_waited_too_long_for_its_turn_is_not_carried_out(clock: Clock, caller: Caller) -> None:
    pauses = Pauses(clock)
    pauses.admit(caller.request())
    work = pauses.timely(lambda _: "written")
    clock.now += pause.WRITE_SECONDS
    assert await asyncio.to_thread(work, cast("Any", None)) == "written"
    clock.now += 0.1
    with pytest.raises(TransientError, match="nothing was written"):
        work(cast("Any", None))


def test_clients_ask_another_one_later_than_a_write_is_carried_out() -> None:
    from octavia_provider.client import client

    assert pause.WRITE_SECONDS < client.OTHERS_TIMEOUT
    assert pause.PAUSE_SECONDS < client.OTHERS_TIMEOUT
