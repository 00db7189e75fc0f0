# SPDX-License-Identifier: Apache-2.0
"""The digest after small changes is that of the whole configuration, and costs what the change costs."""

from __future__ import annotations

import hashlib
from typing import Any
from unittest import mock

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from octavia_amphora.wire import encoding
from octavia_amphora.wire.config import Backend, Configuration, Frontend, Server, apply, difference, digest, file
from octavia_amphora.wire.encoding import Encoding

TRICKY = ["", '{"":{"name":"","address":"","port":0}}', '"servers":{"":', "ü\n\\"]
names = st.sampled_from([f"m{i}" for i in range(9)])
servers = st.builds(
    Server, names, st.sampled_from(["10.0.0.1", "::1"]), st.integers(1, 3), options=st.sampled_from(TRICKY)
)
backends = st.builds(
    Backend, st.sampled_from(["a:x", "b:x", "c:x"]), st.sampled_from(["a", "b"]), st.sampled_from(TRICKY), dynamic=st.booleans(),
    servers=st.lists(servers, max_size=12).map(lambda found: {one.name: one for one in found}),
)  # fmt: skip
configurations = st.builds(
    Configuration, st.just("lb"), st.sampled_from(TRICKY),
    frontends=st.sampled_from([{}, {"x": Frontend("x", "bind")}]),
    backends=st.lists(backends, max_size=3).map(lambda found: {one.name: one for one in found}),
    files=st.sampled_from([{}, {"k": file("k", "certificate", "a key")}]),
)  # fmt: skip
moves = st.lists(st.tuples(names, st.none() | servers), max_size=3)


def moved(configuration: Configuration, which: int, changes: list[tuple[str, Server | None]]) -> Configuration:
    """Some servers of a backend are set or removed."""
    found = list(configuration.backends.values())
    if not found:
        return configuration
    backend = found[which % len(found)]
    known = dict(backend.servers)
    for name, server in changes:
        if server is None:
            known.pop(name, None)
        else:
            known[server.name] = server
    backend = msgspec.structs.replace(backend, servers=known)
    return msgspec.structs.replace(configuration, backends={**configuration.backends, backend.name: backend})


@given(
    configurations,
    st.lists(st.tuples(st.integers(0, 2), moves) | configurations, max_size=8),
    st.sampled_from([2, 128]),
)
def test_it_is_the_digest_of_the_whole(first: Configuration, steps: list[Any], block: int) -> None:
    with mock.patch.object(encoding, "BLOCK", block):
        now, known = first, Encoding(first)
        assert known.digest == digest(first)
        for step in steps:
            new = step if isinstance(step, Configuration) else moved(now, *step)
            delta = difference(now, new)
            before, now = known, apply(now, delta)
            known = before.after(delta, now)
            assert known.digest == digest(now)
            assert before.after(delta, now).digest == known.digest  # the one before is as it was


def test_a_server_more_costs_the_same_among_ten_and_among_ten_thousand() -> None:
    assert work(10) == work(10_000)


def work(count: int) -> tuple[int, bool]:
    """How many servers are encoded when one is added to so many, and whether less than a few kilobytes are hashed."""
    many = {f"m{i}": Server(f"m{i}", "10.0.0.1", 80) for i in range(count)}
    before = Configuration("lb", "", backends={"a": Backend("a", "a", "", many)})
    known = Encoding(before)
    after = moved(before, 0, [("new", Server("new", "10.0.0.2", 80))])
    delta = difference(before, after)
    hashed: list[int] = []

    class Counting:
        def __init__(self, state: Any) -> None:
            self._state = state

        def copy(self) -> Counting:
            return Counting(self._state.copy())

        def update(self, data: bytes) -> None:
            hashed.append(len(data))
            self._state.update(data)

        def hexdigest(self) -> str:
            return str(self._state.hexdigest())

    known._states = [Counting(state) for state in known._states]
    with mock.patch.object(encoding, "_of_server", side_effect=encoding._of_server) as encoded:
        assert (
            known.after(delta, after).digest == digest(after) == hashlib.sha256(msgspec.json.encode(after)).hexdigest()
        )
    return encoded.call_count, sum(hashed) < 128 * 60
