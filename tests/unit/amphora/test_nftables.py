# SPDX-License-Identifier: Apache-2.0
"""Shares of servers: exact in turn, near by hash, and few clients move when a server comes or goes."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import threading
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_amphora.nftables import kernel, server_selection
from octavia_amphora.nftables.kernel import _flows
from octavia_amphora.nftables.ruleset import Flow, Ruleset

WEIGHTS = st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 256), min_size=1, max_size=12)


def shares(size: int, ranges: list[server_selection.Range]) -> dict[str, int]:
    found: dict[str, int] = {}
    at = 0
    for start, end, name in ranges:
        assert start == at
        at = end + 1
        found[name] = found.get(name, 0) + at - start
    assert at == size
    return found


@given(WEIGHTS)
def test_in_turn_each_has_its_weight(weights: dict[str, int]) -> None:
    size, ranges = server_selection.round_robin(weights)
    found = shares(size, ranges)
    total = sum(weights.values())
    assert all(found[name] * total == weight * size for name, weight in weights.items())


@given(WEIGHTS)
def test_hashed_each_has_about_its_share(weights: dict[str, int]) -> None:
    size, ranges = server_selection.maglev(weights)
    found = shares(size, ranges)
    total = sum(weights.values())
    for name, weight in weights.items():
        assert abs(found.get(name, 0) - size * weight / total) <= len(weights) + 1


def test_hashed_few_others_move_when_one_leaves() -> None:
    weights = {f"10.0.0.{n}": 1 for n in range(10)}
    owners = {}
    for some in (weights, dict.fromkeys(list(weights)[1:], 1)):
        _, ranges = server_selection.maglev(some)
        owners[len(some)] = [name for start, end, name in ranges for _ in range(start, end + 1)]
    stayed = [a == b for a, b in zip(owners[10], owners[9], strict=True) if a != "10.0.0.0"]
    assert stayed.count(False) <= len(stayed) * 0.1


def test_flows_are_read_as_conntrack_tells_them() -> None:
    text = (
        "udp      17 28 src=10.0.0.1 dst=10.0.0.9 sport=417 dport=53 "
        "src=10.0.1.2 dst=10.0.0.9 sport=5000 dport=417 [ASSURED] mark=0 use=1\n"
        "udp      17 9 src=10.0.0.1 dst=fd00:0000:0000:0000:0000:0000:0000:0009 sport=1 dport=53 [UNREPLIED] "
        "src=fd00::12 dst=fd00::9 sport=5000 dport=1\nconntrack v1.4.7: 2 flow entries have been shown.\n"
    )
    assert list(_flows(text)) == [Flow("10.0.0.9", 53, "10.0.1.2", 5000), Flow("fd00::9", 53, "fd00::12", 5000)]


async def test_rules_stay_while_flows_are_cut_that_they_do_not_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that came back meanwhile would lose what it was asked."""
    order: list[str] = []
    looked, go = threading.Event(), threading.Event()

    def delete(*_: Any) -> None:
        looked.set()
        go.wait(10)
        order.append("cut")

    monkeypatch.setattr(kernel, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(kernel, "_apply", lambda *_: order.append("applied"))
    monkeypatch.setattr(kernel, "_delete_stale_flows", delete)
    flow = Flow("10.0.0.9", 53, "10.0.1.2", 5000)
    with_it = Ruleset("lb", rules="with it", flows=frozenset({flow}), endpoints=frozenset({("10.0.0.9", 53)}))
    without = dataclasses.replace(with_it, rules="without it", flows=frozenset())
    rules = kernel.Kernel("lb", cast("Any", None))
    go.set()
    await rules.apply(with_it)
    for one in (go, looked, order):
        one.clear()
    await rules.apply(without, linger=True)
    await asyncio.to_thread(looked.wait, 10)
    back = asyncio.ensure_future(rules.apply(with_it, linger=True))
    assert not (await asyncio.wait({back}, timeout=0.1))[0]
    go.set()
    await back
    assert order == ["applied", "cut", "applied"]


@pytest.mark.netns
def test_what_a_process_left_that_came_to_no_end__goes_with_the_next_change() -> None:
    """Killed or out of memory between the transactions: rules that nothing leads to name sets that are to go."""
    script = """
import asyncio
from octavia_amphora.nftables import kernel
from octavia_amphora.nftables.claims import Claims
from octavia_amphora.nftables.ruleset import Ruleset, ruleset
from octavia_amphora.nftables.transactions import Present, transactions
from octavia_amphora.shortage import Shortage
from octavia_amphora.wire.config import Backend, Bind, Configuration, Datagrams, Frontend, Server
def made(limit):
    udp = Frontend("web", "", (Bind("10.1.0.2", 53),), datagrams=Datagrams("p", limit=limit, persistence=limit))
    pool = Backend("p", "", "", {"s": Server("s", "10.2.0.2", 5000)})
    return ruleset(Configuration("lb", "", {"web": udp}, {"p": pool}))
def there():
    return Present.read(kernel.run(["nft", "-t", "list", "table", "inet", "lb_lb"], good=(0, 1)))
async def main():
    rules = kernel.Kernel("lb_lb", Claims())
    await rules.apply(made(1))
    assert there() == Present.of(made(1)), there()
    for text in transactions(made(2), made(1), Present.of(made(1)))[:2]:
        kernel._nft(text)
        kernel._nft(transactions(made(3), made(2), there()).prepare)
    rules = kernel.Kernel("lb_lb", Claims())
    await rules.apply(made(4), made(3))
    assert there() == Present.of(made(4)), there()
    run, calls = kernel.run, []
    def short(command, *words, **more):
        calls.append(command)
        if len(calls) == 2:
            raise Shortage("no memory")
        return run(command, *words, **more)
    kernel.run = short
    try:
        await rules.apply(made(5))
    except Shortage:
        kernel.run = run
    assert len(there().objects) > len(made(4).objects)
    await rules.apply(made(6))
    assert there() == Present.of(made(6)), there()
    kernel.run(["nft", "flush", "ruleset"])
    await rules.apply(made(7))
    assert there() == Present.of(made(7)), there()
    await rules.apply(Ruleset("lb_lb"))
    assert there() == Present(), there()
asyncio.run(main())
"""
    command = ["unshare", "--net", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
