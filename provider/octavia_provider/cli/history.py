# SPDX-License-Identifier: Apache-2.0
"""``octaviactl history``: the life of a load balancer or an amphora group, from its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import NotFound

from . import exit_codes, options
from .events import COLOURS, connected, often, part, root

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

MOST = 1000
Event = Mapping[str, Any]
Row = tuple[str, str, str, str, str, str]
_HEAD: Row = ("time (UTC)", "after", "generation", "reason", "of", "what")


@click.command(epilog=options.exit_codes_help(exit_codes.OK, exit_codes.NO_CONTROL_PLANE, exit_codes.NOT_FOUND))
@click.argument("name", metavar="NAME|ID")
@options.as_json
@options.control_plane
def history(*, name: str, as_json: bool, home: str | None, endpoint: str | None) -> None:
    """Show the life of a load balancer or an amphora group: its amphorae, their roles and failovers, the generations that came into force, what was
    refused or failed, in order, and how long after each other. Also of one that is deleted, for as long as its events are kept.

    With --json each event is a JSON object, one a line, with `after`, the seconds since the one before.
    """
    with connected(home, endpoint) as client:
        found = _found(client, name)
    if as_json:
        for event, after in elapsed(found):
            console.echo_json({**event, "after": after}, indent=None)
        return
    for id_ in dict.fromkeys(map(_root, found)):  # a name may be that of several
        _show([event for event in found if _root(event) == id_])
    if not found:
        console.echo("no events", err=True)


def _found(client: Client, name: str) -> list[dict[str, Any]]:
    """Events of the load balancers that are called so, else of the amphora groups."""
    from octavia_provider.client import events as api

    try:
        return api.latest(client, [("load_balancer", name)], MOST)
    except NotFound as neither:
        try:
            return api.latest(client, [("amphora_group", name)], MOST)
        except NotFound:
            raise neither from None


def _root(event: Event) -> str:
    return str(event["load_balancer_id"] or event["object_id"])


def _show(events: Sequence[Event]) -> None:
    latest = events[-1]
    title = latest["load_balancer_name"] if latest["load_balancer_id"] else ", ".join(root(latest))
    console.echo(styled(title or "load balancer", bold=True), f"  {_root(latest)}")
    rows = [_HEAD, *(_row(event, after) for event, after in elapsed(events))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD) - 1)]
    colours = [None, *(COLOURS.get(event["severity"]) for event in events)]
    for row, colour in zip(rows, colours, strict=True):
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        time, after, generation, reason, of = cells
        console.echo(
            f"{time}  {after}  {generation}  ",
            styled(reason, fg=colour, dim=row is _HEAD),
            f"  {of}  {row[-1]}".rstrip(),
        )
    for line in _amphorae(events):
        console.echo(styled(line, dim=True))


def _row(event: Event, after: float | None) -> Row:
    generation = "" if event["generation"] is None else str(event["generation"])
    seconds = event["data"].get("seconds")
    took = f", in {span(seconds)}" if isinstance(seconds, (int, float)) else ""
    time = event["last_at"].replace("T", " ")
    words = f"{event['message']}{took}{often(event)}"
    return (time, "" if after is None else span(after), generation, event["reason"], ", ".join(part(event)), words)


def elapsed(events: Sequence[Event]) -> Iterator[tuple[Event, float | None]]:
    """Each event with the seconds since the one before; None for the first."""
    before: datetime | None = None
    for event in events:
        now = _moment(event["last_at"])
        yield event, None if before is None else round((now - before).total_seconds(), 3)
        before = now


def _amphorae(events: Sequence[Event]) -> Iterator[str]:
    """How long each amphora has lived, of those whose beginning is known."""
    for booted in events:
        if booted["reason"] != "AmphoraBooted":
            continue
        later = [e for e in events if e["amphora_id"] == booted["amphora_id"] and e["sequence"] > booted["sequence"]]
        ended = next((event for event in later if event["reason"] in ("AmphoraDeleted", "AmphoraLost")), None)
        until = _moment(ended["last_at"]) if ended else None
        lived = f"for {span((until - _moment(booted['last_at'])).total_seconds())}" if until else "and runs"
        yield f"amphora {booted['amphora_id']}: since {booted['last_at'][:19].replace('T', ' ')}, {lived}"


def span(seconds: float) -> str:
    """``0.021 s``, ``12.3 s``, ``5 min``, ``3.2 h``, ``12 d``."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if abs(seconds) < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
