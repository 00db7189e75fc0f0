# SPDX-License-Identifier: Apache-2.0
"""Following events from Python: across restarts of the control plane, without loss or repetition."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavia_provider.client import embedded, events
from octavia_provider.client.client import Client
from octavia_provider.model.errors import NotFound
from octavia_provider.model.events import Reason
from real_plane import RealPlane


@pytest.fixture(scope="module")
def plane() -> Iterator[RealPlane]:
    with RealPlane() as running:
        yield running


@pytest.fixture
def client(plane: RealPlane) -> Iterator[Client]:
    made = embedded.connect(home=plane.home, start=False)
    yield made
    made.close()


def record(plane: RealPlane, *messages: str, **about: Any) -> None:
    for message in messages:
        event = Reason.AmphoraBooted.event(message, **about)
        plane.run(plane.plane.store.write(lambda tx, event=event: tx.record(event)))


def messages(found: Iterator[dict[str, Any]], count: int) -> list[str]:
    return [next(found)["message"] for _ in range(count)]


def test_the_latest_of_many_come_in_their_order(
    plane: RealPlane, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PAGE", 3)
    record(plane, *map(str, range(10)), load_balancer_id="many")
    wanted = [("load_balancer_id", "many")]
    for limit, expected in ((1, range(9, 10)), (3, range(7, 10)), (7, range(3, 10)), (50, range(10))):
        assert [event["message"] for event in events.latest(client, wanted, limit)] == [*map(str, expected)]
    assert events.newest(client) == events.latest(client, (), 1)[0]["sequence"]
    assert events.latest(client, [("load_balancer_id", "none")], 5) == []


def test_who_follows_gets_each_event_once__also_over_lost_connections(
    plane: RealPlane, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stream is cut at an arbitrary place."""
    monkeypatch.setattr(events, "FIRST_RETRY", 0.001)
    draw, parse, cuts = random.Random(5), events.parse, [0]

    def cut(lines: Iterator[str]) -> Iterator[Any]:
        for number, found in enumerate(parse(lines)):
            yield found
            if number and draw.random() < 0.2:
                cuts[0] += 1
                return

    monkeypatch.setattr(events, "parse", cut)
    writing = threading.Thread(target=record, args=(plane, *map(str, range(100))), kwargs={"load_balancer_id": "cut"})
    found = events.follow(client, [("load_balancer_id", "cut")], after=events.newest(client))
    writing.start()
    assert messages(found, 100) == [*map(str, range(100))]
    writing.join()
    assert cuts[0] > 3


def test_following_ends_when_it_is_cancelled__and_tells_what_is_wrong(plane: RealPlane, client: Client) -> None:
    cancelled = threading.Event()
    found = events.follow(client, after=events.newest(client), cancelled=cancelled)
    record(plane, "one")
    assert messages(found, 1) == ["one"]
    cancelled.set()
    assert list(found) == []
    with pytest.raises(NotFound, match="nobody"):
        next(events.follow(client, [("load_balancer", "nobody")]))


@given(st.lists(st.tuples(st.integers(1, 99), st.none() | st.dictionaries(st.text(), st.text(), max_size=2))))
def test_blocks_are_read_as_they_were_written(written: list[tuple[int, dict[str, str] | None]]) -> None:
    import json

    lines: list[str] = ["retry: 1000", ""]
    for id_, data in written:
        lines += [": ", f"id: {id_}", *([] if data is None else [f"data: {json.dumps(data)}"]), ""]
    expected = [(str(id_), data) for id_, data in written]
    assert [*events.parse(lines)] == expected
    assert [*events.parse(lines[:-1])] == expected[:-1], "the last was cut off"
