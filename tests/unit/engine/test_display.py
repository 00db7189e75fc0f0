# SPDX-License-Identifier: Apache-2.0
"""What a person at a terminal sees, and what lines there are without one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from octavia_engine import values
from octavia_engine.display.live import LiveDisplay
from octavia_engine.display.plain import PlainDisplay
from octavia_engine.events import Display, Step, Summary
from octavia_engine.provider import SOME, Diff, PropertyDiff
from octavia_engine.state import ResourceState

URN = "urn:pulumi:dev::prog::probe:index:Member::m0"


def state(**inputs: object) -> ResourceState:
    return ResourceState(URN, "probe:index:Member", custom=True, inputs=inputs)


def changed(op: str) -> Step:
    detailed = {
        "weight": PropertyDiff("update"),
        "key": PropertyDiff("update"),
        "address": PropertyDiff("update-replace"),
        "gone": PropertyDiff("delete"),
        "new": PropertyDiff("add"),
    }
    olds = state(weight=1, key=values.secret("a"), address="10.0.0.1", gone=True)
    news = state(weight=5, key=values.secret("b"), address=values.UNKNOWN, new=[1])
    return Step(op, URN, old=olds, new=news, diff=Diff(SOME, detailed=detailed))


def a_run(display: Display) -> None:
    display.begin("update", "dev", preview=False)
    display.started(changed("update"))
    display.status(URN, "waiting for the amphora")
    display.diagnostic("info", "", "hello from the program")
    display.diagnostic("debug", "", "internals")
    display.finished(changed("update"), 0.25, None)
    display.started(Step("create", URN, new=state(a=1)))
    display.finished(Step("create", URN, new=state(a=1)), 71, "no room")
    display.diagnostic("error", URN, "no room\non any host")
    summary = Summary(errors=1, seconds=185, outputs={"url": "http://x", "key": values.secret("hush")})
    summary.changes["update"] = 1
    display.end(summary)


SEEN = (
    "Updating (dev):",
    "  ~  probe:index:Member m0 updated (0.2s)",
    '      ~ address: "10.0.0.1" → [unknown]  [replaces]',
    "      ~ key: [secret] → [secret]",
    "      ~ weight: 1 → 5",
    "      - gone: true",
    "      + new: [1]",
    "hello from the program",
    "  +  probe:index:Member m0 create FAILED (1m11s)",
    "error: probe:index:Member m0: no room",
    "    on any host",
    "  key : [secret]",
    '  url : "http://x"',
    "   ~ 1 updated",
    "   ! 1 error",
    "Duration: 3m05s",
)


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_what_a_run_shows(kind: str) -> None:
    stream = io.StringIO()
    if kind == "plain":
        a_run(PlainDisplay(stream, diff=True))
    else:
        a_run(LiveDisplay(Console(file=stream, width=100, highlight=False), diff=True))
    lines = stream.getvalue().splitlines()
    for line in SEEN:
        assert line in lines
    assert "internals" not in stream.getvalue()
    assert "hush" not in stream.getvalue()


def test_a_terminal_shows_what_is_in_flight() -> None:
    stream = io.StringIO()
    display = LiveDisplay(Console(file=stream, force_terminal=True, width=100, highlight=False))
    display.begin("update", "dev", preview=False)
    display.started(Step("create", URN, new=state(a=1)))
    display.status(URN, "waiting for the amphora")
    display._live.refresh()
    display.end(Summary())
    assert "waiting for the amphora" in stream.getvalue()
