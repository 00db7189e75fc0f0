# SPDX-License-Identifier: Apache-2.0
"""``octaviactl events``: what the control plane decided, and when; the latest, and what comes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import NotFound, OctaviaError, PermanentError, TransientError, Unreachable
from octavia_provider.model.events import ERROR, INFO, SEVERITIES, WARNING, Reason
from octavia_provider.model.events import since as moment

from . import exit_codes, options

if TYPE_CHECKING:
    from octavia_provider.client.client import Client

COLOURS = {INFO: "green", WARNING: "yellow", ERROR: "red"}
GROUP = "amphora_group"
SHORT = 8
"""Characters of an id that are shown to people."""


@click.command(epilog=options.exit_codes_help(exit_codes.OK, exit_codes.NO_CONTROL_PLANE, exit_codes.NOT_FOUND))
@click.option(
    "--load-balancer", "-l", "names", multiple=True, metavar="NAME|ID", help="Of this load balancer; repeatable."
)
@click.option("--group", "-g", "groups", multiple=True, metavar="NAME|ID", help="Of this amphora group; repeatable.")
@click.option("--reason", "-r", "reasons", multiple=True, help="For this reason, as AmphoraLost; repeatable.")
@click.option("--severity", "-s", type=click.Choice(SEVERITIES), default=INFO, help="This severe, or more.")
@click.option("--since", metavar="TIME", help="Of the last 90s, 30m, 2h or 1d, or after a time (UTC).")
@click.option("--lines", "-n", default=50, show_default=True, type=click.IntRange(0), help="How many of the latest.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until interrupted.")
@options.as_json
@options.control_plane
def events(
    *, names: tuple[str, ...], groups: tuple[str, ...], reasons: tuple[str, ...], severity: str, since: str | None,
    lines: int, follow: bool, as_json: bool, home: str | None, endpoint: str | None,
) -> None:  # fmt: skip
    """Show the latest events: what was decided, when, of what, and why.

    They outlive their load balancer. Where something happened several times it stands at the last, with how often since
    when. With --json each event is a JSON object, one a line. docs/reference/events.md lists the reasons.
    """
    filters = [("load_balancer", name) for name in names] + [("amphora_group", name) for name in groups]
    filters += [("reason", known(reason)) for reason in reasons]
    filters += [("severity", severity)] if severity != INFO else []
    if since is not None:
        filters.append(("since", _checked(since)))
    show = _print_json if as_json else _print
    with connected(home, endpoint) as client:
        from octavia_provider.client import events as api

        begin = api.newest(client) if follow else 0
        found = api.latest(client, filters, lines)
        for event in found:
            show(event)
        if follow:
            after = max([begin, *(event["sequence"] for event in found)])
            for event in api.follow(client, filters, after=after):
                show(event)
        elif not found and not as_json:
            console.echo("no events", err=True)


def known(reason: str) -> str:
    """A reason as it is spelled; wrong usage where there is none that is spelled so."""
    for name in Reason.__members__:
        if name.lower() == reason.lower():
            return name
    raise click.BadParameter(f"{reason!r} is none; docs/reference/events.md lists them", param_hint="--reason")


def _checked(since: str) -> str:
    try:
        moment(since, time.time())
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{since!r} {error}", param_hint="--since") from None
    return since


class connected:  # noqa: N801 - reads as a word: with connected(…) as client
    """A client of a running control plane. Without one, or where it does not answer or know the load balancer, the errors
    have exit codes of their own."""

    def __init__(self, home: str | None, endpoint: str | None) -> None:
        self._client = options.running_client(home, endpoint)
        if self._client is None:
            raise options.NoAnswer(
                Unreachable("does not run.", subject="the control plane", hint=options.start_hint(home))
            )

    def __enter__(self) -> Client:
        if self._client is None:
            raise ValueError
        return self._client

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if self._client is not None:
            self._client.close()
        if isinstance(error, (TransientError, NotFound)) or _does_not_run(error):
            raise options.NoAnswer(error) from None


def _does_not_run(error: object) -> TypeGuard[OctaviaError]:
    """Only where there is an error: httpx is imported for it."""
    if not isinstance(error, PermanentError):
        return False
    from octavia_provider.client.embedded import DoesNotRun

    return isinstance(error, DoesNotRun)


def _print_json(event: Mapping[str, Any]) -> None:
    console.echo_json(event, indent=None)


def _print(event: Mapping[str, Any]) -> None:
    console.echo(*line(event))


def line(event: Mapping[str, Any]) -> Sequence[object]:
    """``2026-01-31 12:00:00  warning  AmphoraLost  load balancer web, amphora 1b2c3d4e: it does not run any more``."""
    return (
        styled(f"{event['last_at'][:19].replace('T', ' ')}  ", dim=True),
        styled(f"{event['severity']:<7}", fg=COLOURS.get(event["severity"])),
        f"  {event['reason']:<22}  ",
        styled(about(event), bold=True),
        f": {event['message']}",
        styled(often(event), dim=True),
    )


def about(event: Mapping[str, Any]) -> str:
    """What it is about, from the whole to the part."""
    return ", ".join([*root(event), *part(event)]) or f"control plane {event['control_plane'] or ''}".rstrip()


def root(event: Mapping[str, Any]) -> list[str]:
    """The load balancer, or the amphora group, whose life it belongs to."""
    if event["load_balancer_id"]:
        return [f"load balancer {event['load_balancer_name'] or event['load_balancer_id'][:SHORT]}"]
    return [_object(event)] if event["object_kind"] == GROUP else []


def _object(event: Mapping[str, Any]) -> str:
    kind = event["object_kind"].removeprefix("local_").replace("_", " ")
    return f"{kind} {event['data'].get('name') or event['object_id'][:SHORT]}"


def part(event: Mapping[str, Any]) -> list[str]:
    """The amphora or the object that it is about, where that is not the whole load balancer or group."""
    parts = [f"amphora {event['amphora_id'][:SHORT]}"] if event["amphora_id"] else []
    if event["object_id"] and event["object_id"] != event["load_balancer_id"] and event["object_kind"] != GROUP:
        parts.append(_object(event))
    return parts


def often(event: Mapping[str, Any]) -> str:
    """How often it has happened, and since when."""
    return f" (×{event['count']} since {event['first_at'][:19].replace('T', ' ')})" if event["count"] > 1 else ""
