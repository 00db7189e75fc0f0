# SPDX-License-Identifier: Apache-2.0
"""From the moment at which a member stops answering until nobody is sent to it, and until it is shown in ERROR."""

from __future__ import annotations

import time
from collections.abc import Iterator

from netns.installation import Stack, make_stack, until

from .rows import Row, at_most, median
from .site import site
from .topics import Say

RUNS = 5
DELAY, TIMEOUT, FALLS = 1, 1, 2
MONITOR = {"type": "HTTP", "delay": DELAY, "timeout": TIMEOUT, "max_retries": 1, "max_retries_down": FALLS}
HEARTBEAT = 3
REFUSES, IS_SILENT = "deaf", "slow?60000"


def well(stack: Stack) -> bool:
    """Whether every member is ONLINE."""
    return all(stack.member(one["name"])["operating_status"] == "ONLINE" for one in stack.members)


def of_a_failure(stack: Stack, verb: str) -> tuple[float, float]:
    """Seconds until haproxy has it DOWN, and until the API shows ERROR. It is well again afterwards."""
    backend = f"{stack.pool['id']}:{stack.listener['id']}"
    stack.tell("m2", verb)
    began = time.monotonic()
    until(lambda: stack.server_status(backend, "m2").startswith("DOWN"), what="haproxy to know that m2 is down")
    down = time.monotonic() - began
    until(lambda: stack.member("m2")["operating_status"] == "ERROR", what="m2 to be in ERROR")
    shown = time.monotonic() - began
    stack.tell("m2", "hear" if verb == REFUSES else "slow?0")
    until(lambda: well(stack), what="m2 to be ONLINE again")
    return down, shown


def measure(say: Say) -> Iterator[Row]:
    """Of a member that refuses connections, and of one that takes them and is silent."""
    with site() as made:
        stack = make_stack(made, monitor=MONITOR)
        until(lambda: well(stack), what="every member to be ONLINE")
        note = f"monitor: delay {DELAY} s, timeout {TIMEOUT} s, {FALLS} failures"
        for verb, name, limit in (
            (REFUSES, "refusing", DELAY * FALLS + TIMEOUT), (IS_SILENT, "silent", (DELAY + TIMEOUT) * FALLS),
        ):  # fmt: skip
            say(f"a {name} member, {RUNS} times")
            times = [of_a_failure(stack, verb) for _ in range(RUNS)]
            yield Row(f"member.{name}.down", median(t[0] for t in times), "s", at_most(limit), RUNS, note)
            yield Row(f"member.{name}.error", median(t[1] for t in times), "s", at_most(limit + HEARTBEAT), RUNS, note)
