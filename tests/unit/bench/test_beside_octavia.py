# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks beside Octavia, of weights and of TLS are made of, without what they measure."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from bench import balancers, octavia, runtime, tls
from bench.topics import NotHere
from netns.agents import BACKEND, configuration
from octavia_amphora.wire.config import compose
from octavia_provider.render.haproxy import Placement, render

HERE = Placement(vips=(balancers.VIP,))
SEEN = "1\n# a comment\n3 pool 1 m1 10.0.0.1 2 0 7 1 1 6 0 0 0 0 0 0 - 80 - 0 0 - - 0\n"


@pytest.mark.parametrize(
    ("name", "frontends", "servers", "rules"),
    [("1000_members", 1, 1000, 0), ("100_listeners_100_members", 100, 10_000, 0), ("50_policies_50_rules", 1, 6, 2500)],
)
def test_the_balancers_are_as_large_as_they_are_called(name: str, frontends: int, servers: int, rules: int) -> None:
    subject = balancers.graph(balancers.CASES[name]())
    configuration = render(subject, HERE).configuration
    assert len(configuration.frontends) == frontends
    assert sum(len(backend.servers) for backend in configuration.backends.values()) == servers
    assert sum(map(len, subject.l7_rules.values())) == rules
    text = compose(configuration)
    assert len({line.split()[1] for line in text.splitlines() if line.startswith("    acl ")} - {"l7-decided"}) == (
        rules and rules + 50  # a policy has an ACL, too
    )


def test_a_balancer_is_the_same_each_time() -> None:
    assert balancers.members(3) == balancers.members(3)
    assert balancers.members(3) != balancers.members(4)


def test_what_was_not_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 1, "", "WARNING: first\nERROR: no network\n")

    monkeypatch.setattr(octavia, "PLACE", tmp_path / "octavia")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(NotHere, match=r"octavia 19.* could not be installed .*: ERROR: no network"):
        octavia.environment()


def test_a_weight_is_another_one_in_each_turn() -> None:
    for member in range(runtime.MEMBERS):
        found = [runtime.weight(member, turn) for turn in range(runtime.ROUNDS + 1)]
        assert len(set(found)) == len(found)
        assert 1 <= min(found) <= max(found) <= 256


def test_each_step_changes_one_weight() -> None:
    start = configuration("lb", *runtime.pool(1))
    steps = [start, *runtime._one_by_one(start, 1)]
    assert len(steps) == runtime.SINGLES + 1
    for old, new in itertools.pairwise(steps):
        before, after = old.backends[BACKEND].servers, new.backends[BACKEND].servers
        assert sum(before[name] != after[name] for name in before) == 1
        assert list(before) == list(after)


def test_handshakes_are_counted_and_none_is_resumed() -> None:
    said = "Collecting connection statistics for 1 seconds\n{}\n\n3 connections in 0.01s; 300 connections/user sec\n"
    said += "3 connections in 2 real seconds, 0 bytes read per connection\n"
    assert tls.handshakes(said.format("***")) == 3
    with pytest.raises(AssertionError, match="resumed"):
        tls.handshakes(said.format("*rr"))


def test_what_haproxy_says_of_weights() -> None:
    assert runtime.weights(SEEN) == {"m1": 7}
