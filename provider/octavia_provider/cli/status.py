# SPDX-License-Identifier: Apache-2.0
"""``octaviactl status``: the load balancers, their parts, and how they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import PermanentError, Unreachable

from . import exit_codes, health, options, overview_source, tree

NOTHING = "No control plane runs here. One starts when `up` changes something, or by: octaviactl start"


@click.command(
    epilog=options.exit_codes_help(
        exit_codes.OK, exit_codes.DEGRADED, exit_codes.ERROR, exit_codes.NO_CONTROL_PLANE, exit_codes.NOT_FOUND
    )
)
@click.argument("names", nargs=-1, metavar="[NAME|ID]...")
@options.control_plane
@options.as_json
@click.option(
    "--watch", "-w", is_flag=True, help="Look again and again, until interrupted; with --json a document a line."
)
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(0.5), help="Seconds between two looks."
)
def status(
    *, names: tuple[str, ...], home: str | None, endpoint: str | None, as_json: bool, watch: bool, interval: float
) -> None:
    """Show the load balancers, or those that are named: their addresses, listeners, policies, pools, monitors and members,
    how they are, and what is wrong.

    UNKNOWN is not OFFLINE: nobody could say. Without a control plane the store tells what there is, and each listener is
    tried.
    """
    last = None
    while True:
        found = _look(names, home, endpoint)
        if not watch:
            _show(found, as_json=as_json)
            _leave(found)
        if found != last or (sys.stdout.isatty() and not as_json):
            _again(found, as_json=as_json)
        last = found
        time.sleep(interval)


def _again(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.say_json(found, indent=None)
        return
    click.clear()  # nothing where no terminal is
    _show(found, as_json=False)


def _look(names: tuple[str, ...], home: str | None, endpoint: str | None) -> dict[str, Any]:
    from octavia_provider.client import embedded
    from octavia_provider.kit import paths

    where = paths.home(home)
    why: Unreachable | None = None
    client = options.running_client(home, endpoint)
    if client is not None:
        try:
            return overview_source.overview(client, names)
        except Unreachable as error:
            if embedded.endpoint(endpoint, home):
                raise _Silent(error) from None
            why = error
        finally:
            client.close()
    return _without(where, names, why)


class _Silent(PermanentError):
    """No answer, and nothing to be read instead."""

    exit_code = exit_codes.NO_CONTROL_PLANE

    def __init__(self, error: Unreachable) -> None:
        super().__init__(error.message, subject=error.subject, hint=error.hint)


def _without(where: Path, names: tuple[str, ...], why: Unreachable | None) -> dict[str, Any]:
    from octavia_provider.model.naming import means

    found = overview_source.unknown(where, why)
    every = found["load_balancers"]
    found["missing"] = [word for word in names if not any(means(word, one["id"], one["name"]) for one in every)]
    if names:
        found["load_balancers"] = [one for one in every if any(means(word, one["id"], one["name"]) for word in names)]
    return found


def _leave(found: dict[str, Any]) -> None:
    if found["missing"]:
        console.fail(f"there is no load balancer {', '.join(found['missing'])}. Try: octaviactl status")
        sys.exit(exit_codes.NOT_FOUND)
    if found["control_plane"] is None:
        sys.exit(exit_codes.NO_CONTROL_PLANE if found["load_balancers"] or found["reason"] else exit_codes.OK)
    sys.exit(health.code(list(health.troubles(found))))


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.say_json({**found, "troubles": [str(one) for one in _troubles(found)]})
        return
    for line in _lines(found):
        console.say(*line)


def _troubles(found: dict[str, Any]) -> list[health.Trouble]:
    return list(health.troubles(found)) if found["control_plane"] else []


def _lines(found: dict[str, Any]) -> Iterator[tree.Line]:
    facts = found["control_plane"]
    if facts is not None:
        yield (styled(f"control plane {facts['version']}, pid {facts['pid']}, {facts['home']}", dim=True),)
    elif not found["load_balancers"] and not found["reason"]:
        yield (NOTHING,)
        return
    else:
        yield (styled(found["reason"] or "The control plane does not run. Try: octaviactl start", fg="yellow"),)
        yield ("How things are is unknown; nothing is watched or healed. This is what the store knows:",)
    yield from tree.balancers(found)
    if facts is not None:
        yield from tree.hosts(found)
    yield from tree.summary(_troubles(found))
