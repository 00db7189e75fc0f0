# SPDX-License-Identifier: Apache-2.0
"""``octaviactl status``: the load balancers, their parts and statuses."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from octavia_provider.kit import console
from octavia_provider.kit.console import styled
from octavia_provider.model.errors import TransientError, Unreachable

from . import exit_codes, health, options, overview_source, tree

NOT_RUNNING = "No control plane runs here. One starts when `up` changes something, or by: octaviactl start"
NOT_ON_OPENSTACK = "No control plane runs here, and `up` starts none on OpenStack. Try: {}"


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
    """Show the load balancers, or those that are named, or are on an amphora group that is named: their addresses, listeners,
    policies, pools, monitors and members, how they are, and what is wrong.

    UNKNOWN is not OFFLINE: nobody could say. Without a control plane the store tells what there is, and each listener is
    tried.
    """
    last = None
    while True:
        overview = _fetch(names, home, endpoint)
        if not watch:
            _show(overview, names, home, as_json=as_json)
            _exit(overview)
        if overview != last or (sys.stdout.isatty() and not as_json):
            _redraw(overview, names, home, as_json=as_json)
        last = overview
        time.sleep(interval)


def _redraw(overview: dict[str, Any], names: tuple[str, ...], home: str | None, *, as_json: bool) -> None:
    if as_json:
        console.echo_json(overview, indent=None)
        return
    click.clear()  # does nothing without a terminal
    _show(overview, names, home, as_json=False)


def _fetch(names: tuple[str, ...], home: str | None, endpoint: str | None) -> dict[str, Any]:
    from octavia_provider.client import embedded
    from octavia_provider.kit import paths

    where = paths.home(home)
    unreachable: Unreachable | None = None
    client = options.running_client(home, endpoint)
    if client is not None:
        try:
            return overview_source.overview(client, names)
        except Unreachable as error:
            if embedded.endpoint(endpoint, home):
                raise options.NoAnswer(error) from None
            unreachable = error
        except TransientError as error:  # it answers, and cannot read its store
            raise options.NoAnswer(error) from None
        finally:
            client.close()
    return _from_store(where, names, unreachable)


def _from_store(where: Path, names: tuple[str, ...], unreachable: Unreachable | None) -> dict[str, Any]:
    from octavia_provider.model.naming import means

    overview = overview_source.offline_overview(where, unreachable)
    balancers = overview["load_balancers"]
    overview["missing"] = [
        word for word in names if not any(means(word, balancer["id"], balancer["name"]) for balancer in balancers)
    ]
    if names:
        overview["load_balancers"] = [
            balancer for balancer in balancers if any(means(word, balancer["id"], balancer["name"]) for word in names)
        ]
    return overview


def _exit(overview: dict[str, Any]) -> None:
    if overview["missing"]:
        console.print_error(
            f"there is no load balancer or amphora group {', '.join(overview['missing'])}. Try: octaviactl status"
        )
        sys.exit(exit_codes.NOT_FOUND)
    if overview["control_plane"] is None:
        sys.exit(exit_codes.NO_CONTROL_PLANE if overview["load_balancers"] or overview["reason"] else exit_codes.OK)
    sys.exit(health.exit_code(list(health.problems(overview))))


def _show(overview: dict[str, Any], names: tuple[str, ...], home: str | None, *, as_json: bool) -> None:
    if as_json:
        console.echo_json({**overview, "troubles": [str(one) for one in _problems(overview)]})
        return
    for line in _lines(overview, names, home):
        console.echo(*line)


def _problems(overview: dict[str, Any]) -> list[health.Problem]:
    return list(health.problems(overview)) if overview["control_plane"] else []


def _not_running(home: str | None) -> str:
    from octavia_provider.kit import home_cloud, paths

    is_openstack = home_cloud.is_openstack(paths.home(home))
    return NOT_ON_OPENSTACK.format(options.start_hint(home)) if is_openstack else NOT_RUNNING


def _lines(overview: dict[str, Any], names: tuple[str, ...], home: str | None) -> Iterator[tree.Line]:
    facts = overview["control_plane"]
    if facts is not None:
        yield (styled(f"control plane {facts['version']}, pid {facts['pid']}, {facts['home']}", dim=True),)
        for process in overview.get("control_planes", ()):
            yield (styled(f"  {health.control_plane(process)}", dim=True),)
    elif not overview["load_balancers"] and not overview["reason"]:
        yield (_not_running(home),)
        return
    else:
        reason = overview["reason"] or f"The control plane does not run. Try: {options.start_hint(home)}"
        yield (styled(reason, fg="yellow"),)
        if not overview["load_balancers"]:
            return
        yield ("How things are is unknown; nothing is watched or healed. This is what the store knows:",)
    yield from tree.balancers(overview)
    if facts is not None:
        yield from tree.groups(overview, names)
    if facts is not None and not names:
        yield from tree.hosts(overview)
    yield from tree.summary(_problems(overview))
