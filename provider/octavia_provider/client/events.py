# SPDX-License-Identifier: Apache-2.0
"""Events of control planes, as the API shows them: the latest, and what comes (Server-Sent Events)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from octavia_provider.model.errors import TransientError

from .client import Client
from .deadline import Deadline

PATH = "/v2/octavia/events"
PAGE = 1000
SECONDS = 30.0
SILENT_SECONDS = 45.0
"""A stream in which nothing comes for so long, three comments of the control plane's, is taken for dead."""
FIRST_RETRY, LAST_RETRY = 0.2, 5.0

Filters = Sequence[tuple[str, str]]
"""Of the API: ``load_balancer``, ``reason``, … (docs/reference/api.md); a name may be repeated."""


def newest(client: Client) -> int:
    """The sequence of the newest event: what ``follow`` begins after, so that nothing is missed meanwhile."""
    found = _page(client, [("limit", "1"), ("page_reverse", "true")])
    return int(found[-1]["sequence"]) if found else 0


def latest(client: Client, filters: Filters, limit: int) -> list[dict[str, Any]]:
    """The latest events that match, at most ``limit``, in their order."""
    found: list[dict[str, Any]] = []
    while (room := limit - len(found)) > 0:
        before = [("marker", str(found[0]["sequence"]))] if found else []
        paging = [("limit", str(min(room, PAGE))), ("page_reverse", "true"), *before]
        page = _page(client, [*filters, *paging])
        found = [*page, *found]
        if len(page) < min(room, PAGE):
            break
    return found


def _page(client: Client, query: Filters) -> list[dict[str, Any]]:
    answer = client.request("GET", f"{PATH}?{urlencode(query)}", deadline=Deadline(SECONDS), subject="control plane")
    return list(answer.json()["events"])


def follow(
    client: Client, filters: Filters = (), *, after: int | None = None, cancelled: threading.Event | None = None
) -> Iterator[dict[str, Any]]:
    """Each event as it is recorded, for as long as it takes: after this sequence, or from now on.

    Where the control plane ends or the connection is lost, it connects again and goes on after the last event that it has
    had: none is missed, none comes twice. ``cancelled``, once it is set, ends it at the next event or comment.
    """
    last = None if after is None else str(after)
    delay, cancelled = FIRST_RETRY, cancelled or threading.Event()
    while not cancelled.is_set():
        try:
            for id_, event in _stream(client, filters, last):
                last, delay = id_, FIRST_RETRY
                if event is not None:
                    yield event
                if cancelled.is_set():
                    return
        except TransientError:
            cancelled.wait(delay)
            delay = min(delay * 2, LAST_RETRY)


def _stream(client: Client, filters: Filters, last: str | None) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Positions, and the event where there is one at it; ends with the connection."""
    import httpx2

    headers = {"Accept": "text/event-stream", **({} if last is None else {"Last-Event-ID": last})}
    path = f"{PATH}?{urlencode(filters)}" if filters else PATH
    response = client.stream(path, deadline=Deadline(SECONDS), headers=headers, timeout=SILENT_SECONDS)
    try:
        yield from parse(response.iter_lines())
    except httpx2.TransportError as error:
        raise TransientError(f"the stream of events was cut: {error}") from error
    finally:
        response.close()
    raise TransientError("the control plane has ended the stream of events")


def parse(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Blocks of Server-Sent Events: the id, and the data where there are; what was cut off is left out."""
    id_, data = "", list[str]()
    for line in lines:
        if not line:
            if id_:
                yield id_, json.loads("\n".join(data)) if data else None
            data.clear()
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            id_ = value
        elif name == "data":
            data.append(value)
