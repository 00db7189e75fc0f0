# SPDX-License-Identifier: Apache-2.0
"""Operating statuses and their roll-up."""

from __future__ import annotations

import pytest

from builders import record, web
from octavia_amphora.wire.messages import Counters, ListenerState, ServerState, States
from octavia_provider.controller.board import Board, roll_up
from octavia_provider.render.haproxy import Placement, render

CONFIGURATION = render(web(2), Placement(vips=("10.0.0.9",))).configuration


def board(m1: ServerState, m2: ServerState, *, serving: bool = True) -> Board:
    result = Board()
    states = States(
        load_balancer_id="lb", digest="", serving=serving, servers={"pool:web": {"m1": m1, "m2": m2}},
        listeners={"web": ListenerState(counters=Counters(bytes_in=7))},
    )  # fmt: skip
    result.see(CONFIGURATION, states)
    return result


def status(board: Board, kind: str, id_: str, **values: object) -> str:
    return board.operating_status(record(kind, id_, **values))


@pytest.mark.parametrize(
    ("state", "expected"),
    [("up", "ONLINE"), ("down", "ERROR"), ("drain", "DRAINING"), ("maint", "OFFLINE"), ("no_check", "NO_MONITOR")],
)
def test_member(state: ServerState, expected: str) -> None:
    assert status(board(state, "up"), "member", "m1") == expected


def test_pool_and_balancer_are_as_well_as_their_members() -> None:
    assert status(board("up", "up"), "pool", "pool") == "ONLINE"
    assert status(board("up", "down"), "pool", "pool") == "DEGRADED"
    assert status(board("up", "down"), "load_balancer", "lb") == "DEGRADED"
    assert status(board("down", "down"), "pool", "pool") == "ERROR"
    assert status(board("down", "down"), "load_balancer", "lb") == "ERROR"
    assert roll_up([]) == "ONLINE"


def test_nobody_has_seen_it__offline() -> None:
    assert status(Board(), "listener", "web") == "OFFLINE"


def test_switched_off__offline_whatever_is_seen() -> None:
    assert status(board("up", "up"), "listener", "web", admin_state_up=False) == "OFFLINE"


def test_haproxy_dead__error() -> None:
    assert status(board("up", "up", serving=False), "load_balancer", "lb") == "ERROR"
    assert status(board("up", "up", serving=False), "listener", "web") == "OFFLINE"


def test_lost_and_forgotten() -> None:
    seen = board("up", "up")
    seen.lost("lb")
    assert status(seen, "load_balancer", "lb") == "ERROR"
    assert status(seen, "member", "m1") == "OFFLINE"
    seen.forget("lb")
    assert status(seen, "load_balancer", "lb") == "OFFLINE"
    assert seen.statistics("lb", "web") == Counters()


def test_counters() -> None:
    assert board("up", "up").statistics("lb", "web").bytes_in == 7
