# SPDX-License-Identifier: Apache-2.0
"""Events by the API: lists and pages, streams that resume without loss or repetition, slow clients, the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import select
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from octavia_provider.api import events as api
from octavia_provider.api.event_feed import PAGE, RECENT, EventFeed
from octavia_provider.model.events import EventFilter, Reason
from postgresql import postgresql, postgresql_server
from unit.api.settling import BASE, Plane
from unit.api.test_loopback_proxy import door
from unit.store.opening import opened
from unit.store.opening import record as stored

__all__ = ["postgresql", "postgresql_server"]

OF_ALL = "/octavia/events"


async def record(plane: Plane, *messages: str, reason: Reason = Reason.AmphoraBooted, **about: Any) -> None:
    """Each in a commit of its own, in this order."""
    for message in messages:
        event = reason.event(message, **about)
        await plane.store.write(lambda tx, event=event: tx.record(event))


def numbers(first: int, last: int) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


class Stream:
    """What a client of Server-Sent Events keeps."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id: str | None = None
        self.comments = 0

    async def next(self) -> dict[str, Any]:
        data: dict[str, Any] | None = None
        async for line in self.response.content:
            match line.decode().rstrip("\n").split(": ", 1):
                case ["id", value]:
                    self.last_id = value
                case ["data", value]:
                    data = json.loads(value)
                case ["", _] | [":"]:
                    self.comments += 1
                case [""] if data is not None:
                    return data
        raise EOFError

    async def take(self, count: int) -> list[str]:
        return [(await self.next())["message"] for _ in range(count)]


@contextlib.asynccontextmanager
async def stream(plane: Plane, path: str = OF_ALL, last_id: str | None = None) -> AsyncIterator[Stream]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    async with plane.session.get(BASE + path, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        assert response.headers["X-Octavia-Control-Plane"] == plane.store.control_plane_id
        yield Stream(response)


async def messages(plane: Plane, path: str) -> list[str]:
    answer = await plane.call("GET", path)
    assert answer.status == 200, answer.body
    return [event["message"] for event in answer.body["events"]]


async def test_an_event_is_shown_with_all_that_it_has(plane: Plane) -> None:
    lb = await plane.balancer("web")
    about = {"load_balancer_id": lb["id"], "amphora_id": "a", "control_plane": "one", "data": {"seconds": 1.5}}
    await record(plane, "the amphora runs", **about)
    created, event = (await plane.call("GET", OF_ALL)).body["events"]
    assert (created["reason"], created["data"]["addresses"]) == ("LoadBalancerCreated", [lb["vip_address"]])
    first, last = event.pop("first_at"), event.pop("last_at")
    assert first == last
    assert len(first) == len("2026-01-31T12:00:00.000")
    assert event == {
        **about, "id": 2, "sequence": 2, "reason": "AmphoraBooted", "severity": "info", "message": "the amphora runs",
        "count": 1, "load_balancer_name": "web", "object_kind": None, "object_id": None, "generation": 1,
        "project_id": lb["project_id"],
    }  # fmt: skip


async def test_lists_are_filtered(plane: Plane) -> None:
    for lb in "xy":
        await record(plane, f"boots {lb}", load_balancer_id=lb, amphora_id=f"a{lb}")
        await record(plane, f"lost {lb}", reason=Reason.AmphoraLost, load_balancer_id=lb, amphora_id=f"a{lb}")
        await record(plane, f"refused {lb}", reason=Reason.ConfigurationRefused, load_balancer_id=lb)
    for query, expected in {
        "": ["boots x", "lost x", "refused x", "boots y", "lost y", "refused y"],
        "load_balancer_id=x": ["boots x", "lost x", "refused x"],
        "amphora_id=ay": ["boots y", "lost y"],
        "severity=warning": ["lost x", "refused x", "lost y", "refused y"],
        "severity=error&load_balancer_id=y": ["refused y"],
        "reason=AmphoraLost&reason=ConfigurationRefused&load_balancer_id=x": ["lost x", "refused x"],
        "reason=AmphoraLost,AmphoraBooted&amphora_id=ax": ["boots x", "lost x"],
        "since=1h&load_balancer_id=x": ["boots x", "lost x", "refused x"],
        "since=2100-01-01T00:00": [],
    }.items():
        assert await messages(plane, f"{OF_ALL}?{query}") == expected, query


async def test_load_balancers_are_named_as_people_do__also_those_that_are_gone(plane: Plane) -> None:
    ids = [(await plane.balancer(name))["id"] for name in ("web-0a1b2c3", "api")]
    await plane.store.write(lambda tx: tx.insert(stored("load_balancer", name="quiet")))
    for id_ in ids:
        await record(plane, f"of {id_}", load_balancer_id=id_)
    assert (await plane.call("DELETE", f"/lbaas/loadbalancers/{ids[0]}", wait=10)).status == 204
    for query, expected in {
        "load_balancer=web": ids[:1],
        "load_balancer=web&load_balancer=api": ids,
        f"load_balancer_id={ids[0]}&load_balancer_id={ids[1]}": ids,
        f"load_balancer={ids[1]}": ids[1:],
        "load_balancer=quiet": [],
    }.items():
        assert await messages(plane, f"{OF_ALL}?reason=AmphoraBooted&{query}") == [f"of {id_}" for id_ in expected]
    assert (await plane.call("GET", f"{OF_ALL}?load_balancer=nobody")).status == 404


async def test_amphora_groups_are_named_too__one_that_is_gone_by_its_id(plane: Plane) -> None:
    group = stored("amphora_group", name="apps")
    await plane.store.write(lambda tx: tx.insert(group))
    for id_ in (group.id, "gone"):
        await record(plane, f"of {id_}", object_kind="amphora_group", object_id=id_)
    for query, expected in {
        "amphora_group=apps": [group.id],
        f"amphora_group={group.id}": [group.id],
        "amphora_group=gone": ["gone"],
        "amphora_group=apps&amphora_group=gone": [group.id, "gone"],
        f"object_id={group.id}": [group.id],
        "amphora_group=apps&load_balancer_id=x": [],
    }.items():
        assert await messages(plane, f"{OF_ALL}?reason=AmphoraBooted&{query}") == [f"of {id_}" for id_ in expected]
    assert (await plane.call("GET", f"{OF_ALL}?amphora_group=nobody")).status == 404


async def test_pages_go_both_ways(plane: Plane) -> None:
    await record(plane, *numbers(1, 7))
    for backwards in (False, True):
        path, found = f"{OF_ALL}?limit=3" + ("&page_reverse=true" if backwards else ""), list[str]()
        while path:
            body = (await plane.call("GET", path)).body
            some = [event["message"] for event in body["events"]]
            found = [*some, *found] if backwards else [*found, *some]
            links = {link["rel"]: link["href"] for link in body["events_links"]}
            path = links.get("previous" if backwards else "next", "")
            assert ("next" if backwards else "previous") in links or len(found) == 3
        assert found == numbers(1, 7)


async def test_what_is_wrong_with_a_query_is_told_together(plane: Plane) -> None:
    answer = await plane.call("GET", f"{OF_ALL}?severity=bad&since=tomorrow&limit=-1&name=x&marker=z")
    assert answer.status == 400
    assert {path for path, _ in answer.violations} == {("severity",), ("since",), ("limit",), ("name",), ("marker",)}


async def test_a_load_balancer_has_its_own__after_its_end_too(plane: Plane) -> None:
    lb = await plane.balancer("web")
    path = f"/lbaas/loadbalancers/{lb['id']}"
    await record(plane, "other", load_balancer_id="other")
    begin = "A load balancer was asked for; its address is 10.1.0.2"
    assert await messages(plane, f"{path}/events") == [begin]
    await record(plane, "its", load_balancer_id=lb["id"])
    assert (await plane.call("DELETE", path, wait=10)).status == 204
    assert await messages(plane, f"{path}/events?severity=info") == [begin, "its"]
    assert (await plane.call("GET", f"{path}/events?load_balancer_id=other")).status == 400
    assert (await plane.call("GET", "/lbaas/loadbalancers/nobody/events")).status == 404


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────
async def test_a_stream_brings_what_comes__and_with_a_time_or_a_marker_what_was(plane: Plane) -> None:
    await record(plane, "before")
    async with (
        stream(plane) as new,
        stream(plane, f"{OF_ALL}?since=1h") as whole,
        stream(plane, f"{OF_ALL}?marker=1") as after,
        stream(plane, f"{OF_ALL}?severity=error&since=1h") as errors,
    ):
        await record(plane, "after")
        await record(plane, "refused", reason=Reason.ConfigurationRefused)
        assert await new.take(2) == ["after", "refused"]
        assert await after.take(2) == ["after", "refused"]
        assert await whole.take(3) == ["before", "after", "refused"]
        assert await errors.take(1) == ["refused"]


async def test_a_stream_goes_on_where_it_was__without_loss_or_repetition(plane: Plane) -> None:
    """Cut at any point, behind by more than is kept in memory, beside others who follow."""
    draw = random.Random(11)
    last, count = "0", 0
    async with stream(plane, f"{OF_ALL}?since=1h") as other:
        writing = asyncio.create_task(record(plane, *numbers(1, 400)))
        seen: list[str] = []
        while count < 400:
            async with stream(plane, OF_ALL, last_id=last) as cut:
                some = min(draw.randint(1, 60), 400 - count)
                seen += await cut.take(some)
                count, last = count + some, cut.last_id or last
        await writing
        assert seen == numbers(1, 400)
        assert await other.take(400) == seen


async def test_a_stream_has_the_events_of_other_control_planes_on_the_database(tmp_path: Path, postgresql: str) -> None:
    stores = [opened(tmp_path, postgresql) for _ in range(2)]
    feed, at = EventFeed(stores[0]), 0
    async with contextlib.aclosing(feed.follow(EventFilter(), from_now=True)) as followed:
        assert await anext(followed) == ([], 0)
        for number in range(1, 7):
            event = Reason.AmphoraBooted.event(str(number), control_plane=str(number % 2))
            await stores[number % 2].write(lambda tx, event=event: tx.record(event))
        found: list[str] = []
        while at < 6:
            some, at = await anext(followed)
            found += [event.message for event in some]
        assert found == numbers(1, 6)
    for store in stores:
        await store.close()


async def test_who_is_behind_what_is_kept_reads_the_store(plane: Plane) -> None:
    feed, many = EventFeed(plane.store), RECENT + 2 * PAGE + 7

    def write(tx: Any) -> None:
        for number in range(1, many + 1):
            tx.record(Reason.AmphoraBooted.event(str(number)))

    one, other = (contextlib.aclosing(feed.follow(EventFilter(), from_now=True)) for _ in range(2))
    async with one as fast, other as slow:
        await anext(fast)
        await anext(slow)
        first = asyncio.ensure_future(anext(fast))  # the reader runs from here on
        await plane.store.write(write)
        found = [event.message for event in (await first)[0]]
        while len(found) < many:
            found += [event.message for event in (await anext(fast))[0]]
        assert found == numbers(1, many)
        behind: list[str] = []
        while len(behind) < many:  # it has read nothing yet, and the earliest are kept no more
            behind += [event.message for event in (await anext(slow))[0]]
        assert behind == found


async def test_a_folded_event_comes_again__with_its_count(plane: Plane) -> None:
    async with stream(plane) as followed:
        for count in (1, 2):
            await record(plane, "lost", reason=Reason.AmphoraLost)
            event = await followed.next()
            assert (event["id"], event["sequence"], event["count"]) == (1, count, count)
    async with stream(plane, last_id="1") as resumed:
        assert (await resumed.next())["count"] == 2


async def test_a_position_of_another_store_begins_anew(plane: Plane) -> None:
    await record(plane, "a", "b")
    async with stream(plane, last_id="77") as followed:
        assert await followed.take(2) == ["a", "b"]


async def test_a_stream_where_nothing_happens_has_comments(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "IDLE_SECONDS", 0.01)
    async with stream(plane) as followed:
        taking = asyncio.create_task(followed.next())
        while followed.comments < 3:  # noqa: ASYNC110 - comments are seen by who reads them alone
            await asyncio.sleep(0.01)
        await record(plane, "at last")
        assert (await taking)["message"] == "at last"


async def test_a_client_that_takes_nothing_is_sent_away__and_holds_up_nobody(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "SLOW_SECONDS", 5.0)  # in which the other one takes what there is
    big = "x" * 2000
    reader, writer = await asyncio.open_unix_connection(str(plane.path), limit=1024)
    writer.write(b"GET /v2/octavia/events?since=1h HTTP/1.1\r\nHost: octavia\r\nAccept: text/event-stream\r\n\r\n")
    assert b"200" in await reader.readline()
    async with stream(plane) as other:
        recording = asyncio.create_task(record(plane, *(f"{number} {big}" for number in range(1000))))
        assert [message.split()[0] for message in await other.take(1000)] == numbers(0, 999)
        await recording
    cut = select.poll()
    cut.register(writer.get_extra_info("socket").fileno(), select.POLLRDHUP)
    assert await asyncio.to_thread(cut.poll, 50_000), "it is not sent away"
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):  # to the end: it was cut off
            pass
    writer.close()


async def test_streams_end_with_the_control_plane(plane: Plane) -> None:
    async with stream(plane) as followed:
        closing = asyncio.create_task(plane.server.close())
        with pytest.raises(EOFError):
            await followed.next()
        await closing


async def test_the_door_hands_a_stream_on(plane: Plane) -> None:
    async with door(plane.path) as (host, port), aiohttp.ClientSession(f"http://{host}:{port}") as session:
        headers = {"Accept": "text/event-stream"}
        async with session.get("/v2/octavia/events", headers=headers) as response:
            await record(plane, "through the door")
            assert (await Stream(response).next())["message"] == "through the door"
