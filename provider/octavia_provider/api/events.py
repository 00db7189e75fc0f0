# SPDX-License-Identifier: Apache-2.0
"""Events: lists, and streams of what is recorded (Server-Sent Events, HTML Living Standard section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import structlog
from aiohttp import web

from octavia_provider.model.echo import quoted
from octavia_provider.model.errors import Invalid, NotFound, Violation
from octavia_provider.model.events import INFO, SEVERITIES, Event, EventFilter, since, utc
from octavia_provider.model.naming import means
from octavia_provider.ports import Transaction

from .authorization import ALL_PROJECTS, narrowed_to, seen
from .context import CONTEXT, CONTROL_PLANE_HEADER
from .errors import answer
from .list_query import page_link
from .requests import FLAGS, path_id

log = structlog.get_logger(__name__)
PAGE, MOST = 100, 1000
STREAM = "text/event-stream"
IDLE_SECONDS, SLOW_SECONDS = 15.0, 30.0
"""A comment is sent when nothing else was for so long; a client that takes nothing for so long is sent away."""
_KNOWN = (
    "load_balancer",
    "load_balancer_id",
    "amphora_group",
    "object_id",
    "amphora_id",
    "reason",
    "severity",
    "since",
    "limit",
    "marker",
    "page_reverse",
    "project_id",
    ALL_PROJECTS,
)


async def events(request: web.Request) -> web.StreamResponse:
    """GET /v2/octavia/events."""
    query = _Query(request)
    store = request.app[CONTEXT].store
    if query.words:
        project_id = narrowed_to(request)
        ids = await store.read(lambda tx: list(_meant(tx, query.words, project_id)))
        query.filter = replace(query.filter, load_balancer_ids=tuple(ids))
    if query.groups:
        ids = await store.read(lambda tx: list(_meant_groups(tx, query.groups)))
        query.filter = replace(query.filter, object_ids=tuple(ids))
    return await _answer(request, query)


def _meant(tx: Transaction, words: Sequence[str], project_id: str | None) -> Iterator[str]:
    """The load balancers that are called so: those that have events, and those that have none yet; of one project those that are there."""
    there = [one for one in tx.find("load_balancer") if project_id in (None, one.project_id)]
    known = {(one.id, one.spec["name"]) for one in there} | set(() if project_id else tx.event_subjects())
    for word in words:
        found = [id_ for id_, name in known if means(word, id_, name)]
        if not found:
            raise NotFound("does not exist.", subject=f"load balancer {word}", hint="octaviactl status")
        yield from found


def _meant_groups(tx: Transaction, words: Sequence[str]) -> Iterator[str]:
    """The amphora groups that are called so; of one that is gone by its id, while there are events of it."""
    there = tx.find("amphora_group")
    for word in words:
        found = [one.id for one in there if means(word, one.id, one.spec["name"])]
        if not found and tx.events(EventFilter(object_ids=(word,)), limit=1):
            found = [word]
        if not found:
            raise NotFound("does not exist.", subject=f"amphora group {word}", hint="octaviactl status")
        yield from found


async def of_load_balancer(request: web.Request) -> web.StreamResponse:
    """GET …/loadbalancers/{id}/events: of one that is there, or of which there still are events."""
    id_ = path_id(request)
    query = _Query(request, of=id_)

    def known(tx: Transaction) -> bool:
        record = tx.get("load_balancer", id_)
        if record is not None:
            return query.filter.project_id in (None, record.project_id)
        return bool(tx.events(EventFilter(load_balancer_ids=(id_,), project_id=query.filter.project_id), limit=1))

    if not await request.app[CONTEXT].store.read(known):
        raise NotFound(f"load balancer {id_} does not exist in this control plane")
    return await _answer(request, query)


class _Query:
    """What is asked for. ``marker`` is a sequence; of a stream it may be in ``Last-Event-ID``. ``Invalid`` tells all that is wrong."""

    def __init__(self, request: web.Request, of: str | None = None) -> None:
        self._query, self._wrong = request.query, list[Violation]()
        for name in dict.fromkeys(self._query):
            if name not in _KNOWN or (of is not None and name.startswith("load_balancer")):
                self._refuse(name, "is nothing that events can be filtered by")
        self.streams = STREAM in request.headers.get("Accept", "")
        self.limit = min(self._number("limit", self._query.get("limit")) or PAGE, MOST)
        seen = request.headers.get("Last-Event-ID") if self.streams else None
        self.marker = self._number("Last-Event-ID" if seen else "marker", seen or self._query.get("marker"))
        self.newest = FLAGS.get(self._query.get("page_reverse", "false").lower(), False)
        self.words = self._query.getall("load_balancer", [])
        self.groups = self._query.getall("amphora_group", [])
        self.severity = self._query.get("severity", INFO)
        if self.severity not in SEVERITIES:
            self._refuse("severity", f"{quoted(self.severity)} is not one of {', '.join(SEVERITIES)}")
        self.filter = EventFilter(
            load_balancer_ids=(of,) if of else tuple(self._query.getall("load_balancer_id", ())),
            object_ids=tuple(self._query.getall("object_id", ())),
            amphora_id=self._query.get("amphora_id"),
            reasons=tuple(word for given in self._query.getall("reason", ()) for word in given.split(",") if word),
            severity=self.severity if self.severity in SEVERITIES else INFO,
            since=self._since(),
            after=0 if self.newest else self.marker or 0,
            project_id=narrowed_to(request) or self._query.get("project_id"),
        )
        if self._wrong:
            raise Invalid(self._wrong)

    def _refuse(self, name: str, message: str) -> None:
        self._wrong.append(Violation((name,), message))

    def _number(self, name: str, given: str | None) -> int | None:
        if given is None:
            return None
        if not (given.isascii() and given.isdecimal()) or len(given) > 18:
            self._refuse(name, f"{quoted(given)} is not a whole number")
            return None
        return int(given)

    def _since(self) -> float | None:
        given = self._query.get("since")
        try:
            return since(given, time.time()) if given is not None else None
        except (ValueError, OverflowError) as error:
            self._refuse("since", str(error))
            return None


async def _answer(request: web.Request, query: _Query) -> web.StreamResponse:
    if query.streams:
        return await _stream(request, query)

    before = query.marker if query.newest else None

    def work(tx: Transaction) -> list[Event]:
        return tx.events(query.filter, limit=query.limit + 1, newest=query.newest, before=before)

    found = await request.app[CONTEXT].store.read(work)
    more = len(found) > query.limit
    page = found[-query.limit :] if query.newest else found[: query.limit]
    return answer(
        {"events": [event_view(event) for event in page], "events_links": _links(request, query, page, more=more)}
    )


def _links(request: web.Request, query: _Query, page: Sequence[Event], *, more: bool) -> list[dict[str, str]]:
    inside = query.marker is not None
    later, earlier = (inside, more) if query.newest else (more, inside)
    links = []
    if page and later:
        links.append(page_link(seen(request), "next", str(page[-1].sequence), backwards=False))
    if page and earlier:
        links.append(page_link(seen(request), "previous", str(page[0].sequence), backwards=True))
    return links


async def _stream(request: web.Request, query: _Query) -> web.StreamResponse:
    """Events from the marker or the time on, else those that come; until the client or the process goes.

    An ``id`` without data tells the client where it is before there is an event for it.
    """
    context = request.app[CONTEXT]
    from_now = query.marker is None and query.filter.since is None
    feed = context.event_feed.follow(query.filter, from_now=from_now, idle_seconds=IDLE_SECONDS)
    response = web.StreamResponse(
        headers={"Cache-Control": "no-store", CONTROL_PLANE_HEADER: context.store.control_plane_id}
    )
    response.content_type = STREAM
    async with contextlib.aclosing(feed):
        _, begin = await anext(feed)
        await response.prepare(request)
        try:
            await _send(response, b"retry: 1000\nid: %d\n\n" % begin)
            async for some, at in feed:
                await _send(response, b"".join(map(_message, some)) or b": \nid: %d\n\n" % at)
            await response.write_eof()
        except TimeoutError:
            log.warning("a client that follows events takes none; it is sent away", seconds=SLOW_SECONDS)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # it has gone; what it missed it gets by Last-Event-ID
        except Exception as error:  # noqa: BLE001 - an answer has been begun, and no other can follow
            log.warning("a stream of events ended", reason=str(error))
    return response


async def _send(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(SLOW_SECONDS):
        await response.write(data)


def _message(event: Event) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.sequence, msgspec.json.encode(event_view(event)))


def event_view(event: Event) -> dict[str, Any]:
    """An event as the API shows it."""
    return {
        "id": event.id,
        "sequence": event.sequence,
        "reason": event.reason,
        "severity": event.severity,
        "message": event.message,
        "count": event.count,
        "first_at": utc(event.first_at),
        "last_at": utc(event.last_at),
        "load_balancer_id": event.load_balancer_id,
        "load_balancer_name": event.load_balancer_name,
        "object_kind": event.object_kind,
        "object_id": event.object_id,
        "amphora_id": event.amphora_id,
        "generation": event.generation,
        "project_id": event.project_id,
        "control_plane": event.control_plane,
        "data": event.data,
    }
